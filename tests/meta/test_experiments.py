"""The experiments: the claim of each in small, its pictures, and that the same run twice gives the same numbers."""

import inspect
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from meta import Hypers, hypergradient
from meta.experiments import convnet, edge, penalties, schedules, starts, ten, transforms, vertigo
from meta.experiments.__main__ import EXPERIMENTS
from meta.experiments.splits import Source
from meta.problems.nets import network
from meta.threads import one_thread
from tuner_tui.search.builtin import find_search
from tuner_tui.search.file import load_search

SEARCHES = {name: load_search(find_search(name, Path("/"))) for name in EXPERIMENTS}


def last(train, **settings):
    return list(train(**settings))[-1]


def pictures(folder: Path) -> set[str]:
    for path in folder.glob("*.png"):
        assert Image.open(path).size[0] > 300
    return {path.name for path in folder.iterdir()}


# ── the claims ──


def test_a_penalty_for_each_weight_beats_a_shared_one(tmp_path):
    small = {"steps": 60, "meta_iterations": 8, "splits": 1, "batch": 50}
    each = last(penalties.train, out=str(tmp_path), **small)
    one = last(penalties.train, per="one", **small)
    assert each["loss/test"] < one["loss/test"] - 0.01  # of about .25
    assert pictures(tmp_path) == {"map.png", "weights.png", "curves.png", "penalties.npz"}
    assert np.load(tmp_path / "penalties.npz")["log_l2"].shape == (10, 64)


def test_ten_examples_teach_and_overfit_a_small_validation_set(tmp_path):
    few = {"meta_iterations": 30, "splits": 1, "meta_lr": 0.06}
    large = last(ten.train, valid_examples=800, out=str(tmp_path), **few)
    little = last(ten.train, valid_examples=50, **few)
    assert large["error/test"] < 0.12
    assert little["gap/error"] > 0.08 > 0.05 > large["gap/error"]
    assert pictures(tmp_path) == {"digits.png", "curves.png", "digits.npz"}


def test_beyond_the_edge_a_gradient_is_right_and_useless(tmp_path):
    seen = last(edge.train, steps=50, values=40, low=-1.0, seeds=2, hidden=16, out=str(tmp_path))
    assert (
        max(seen["wrong/float64"], seen["wrong/integers"]) < 1e-4
    )  # the derivative of a loss that is truly wiggly
    assert (
        seen["apart/integers"] < 1e-6 and seen["apart/float32"] < 0.05
    )  # and no arithmetic makes the wiggles
    assert seen["useful/calm"] > seen["useful"] + 0.1
    assert min(seen["auc/growth"], seen["auc/smoothness"]) > 0.85
    assert pictures(tmp_path) == {"edge.png", "zoom.png", "edge.npz"}


def test_a_schedule_gains_on_seeds_it_was_not_learned_on_while_calm(tmp_path):
    small = {"hidden": 20, "steps": 60, "meta_iterations": 8, "splits": 2, "seeds": 2}
    seen = last(schedules.train, out=str(tmp_path), **small)
    assert seen["held/drop"] > 0.1 and seen["growth"] < 2
    assert pictures(tmp_path) == {"schedule.png", "curves.png", "schedules.npz"}


def test_the_guards_end_a_schedule_that_becomes_chaotic():
    settings = {
        "hidden": 20,
        "steps": 60,
        "lr": 1.0,
        "meta_lr": 0.4,
        "meta_iterations": 15,
        "splits": 1,
        "seeds": 2,
    }
    seen = list(schedules.train(**settings))
    assert seen[-1]["ended"] == 1 and seen[-1]["growth"] < 2 and len(seen) < 16


def test_the_notebooks_mistake_makes_a_spike_of_the_largest_weights_and_spares_biases(tmp_path):
    small = {
        "hidden": 20,
        "steps": 30,
        "meta_iterations": 4,
        "splits": 1,
        "seeds": 2,
        "held": 2,
        "meta_lr": 0.02,
    }
    gaps = {}
    for way in ("edges", "notebook"):
        seen = last(starts.train, way=way, out=str(tmp_path / way), **small)
        assert seen["edges/weights"] > 10 * seen["edges/biases"]  # on biases no mistake could show
        assert pictures(tmp_path / way) == {"distributions.png", "gradients.png", "starts.npz"}
        learned = torch.tensor(np.load(tmp_path / way / "starts.npz")["init_bins"])
        gaps[way] = starts.quantiles(learned).diff()[:, -1]
    begin = starts.quantiles(starts.bins_of(0.1 * starts.quantiles(starts.normal_bins(11)))).diff()[-1].item()
    for tensor in (0, 2):  # weights
        assert gaps["edges"][tensor] > 0.9 * begin and gaps["notebook"][tensor] < 0.7 * begin
    for tensor in (1, 3):  # biases
        assert gaps["notebook"][tensor] == pytest.approx(begin, rel=0.1)


def test_the_last_quantiles_gradient_has_the_opposite_sign_of_the_second():
    """Which is why moving the one by the other is no small mistake: both halves of the weights want to grow."""
    few = Source(train=200, valid=100).split(0)
    problem = network(few.train, few.valid, (20,), steps=30, batch=50, dynamics=starts.HeavyBall(0.3, 0.9))
    begin = starts.start(problem, "bins", 0.1, 11)
    found = hypergradient(problem, begin, seeds=range(4))
    d = starts.by_edge(begin.init_bins, found.grads.init_bins)
    for tensor in (0, 2):  # the weights
        assert d[tensor, 1] * d[tensor, -1] < 0 and d[tensor, 0] * d[tensor, 1] > 0


def test_gradients_by_edges_are_those_of_the_edges():
    raw = starts.bins_of(torch.tensor([-1.0, -0.3, 0.4, 2.0], dtype=torch.float64))
    towards = torch.tensor([0.3, -2.0, 1.0, 0.7], dtype=torch.float64)
    leaf = raw.clone().requires_grad_()
    (grad,) = torch.autograd.grad(starts.quantiles(leaf) @ towards, leaf)
    torch.testing.assert_close(starts.by_edge(raw, grad), towards)


def test_a_learned_transformation_lowers_the_test_error(tmp_path):
    small = {"kind": "dense", "steps": 60, "meta_iterations": 8, "splits": 1, "out": str(tmp_path)}
    seen = last(transforms.train, **small)
    assert seen["error/test"] < seen["without/error"] - 0.02  # of about .15
    assert pictures(tmp_path) == {"digits.png", "flow.png", "transform.npz"}


def test_a_learned_distance_from_the_convolutions_beats_the_dense_network_on_validation(tmp_path):
    """What is learned lowers the validation loss; one small split says nothing about the test loss."""
    small = {"steps": 100, "meta_lr": 1.0, "meta_iterations": 6, "splits": 1, "out": str(tmp_path)}
    seen = last(convnet.train, **small)
    assert seen["log_strength"] > -7  # from -8
    assert seen["loss/valid"] < seen["dense/valid"] - 0.005
    assert pictures(tmp_path) == {"layer.png", "curves.png", "convnet.npz"}


def test_a_dense_layer_that_must_be_a_convolution_is_trained_as_one():
    """As λ grows the penalised dense net becomes the convnet, with an error of 1/λ. Its kernels move n times slower:
    the gradient by a kernel is the sum over its n places, and Π takes the mean."""
    few = Source(train=50, valid=50).split(0)
    window = convnet.Window(8, 2)
    how = {"steps": 40, "batch": 25, "dynamics": convnet.HeavyBall(0.02, 0.5)}
    conv, dense = window.convnet(few, **how), window.dense(few, **how)
    begin = window.widened(conv, conv.init(0))
    slow = window.slow(40, 0.02)
    trained = hypergradient(conv, Hypers(init=conv.init(0), log_lr=slow), "tape", precision="float64")
    end = window.spread(conv.layout.split(trained.weights[0])[0].reshape(2, 9))
    moved, errors = (end - dense.layout.split(begin)[0]).norm(), []
    for strength in (10.0, 100.0):
        hypers = Hypers(init=begin, other={"log_strength": torch.tensor([math.log(strength)])})
        found = hypergradient(dense, hypers, "tape", precision="float64")
        errors.append((dense.layout.split(found.weights[0])[0] - end).norm() / moved)
    assert errors[1] < 0.4 and 5 < errors[0] / errors[1] < 20


def test_a_convolution_is_a_dense_layer_in_the_subspace():
    window = convnet.Window(8, 3)
    kernels, images = torch.randn(3, 9), torch.randn(5, 64)
    wide = window.spread(kernels)
    convolved = torch.nn.functional.conv2d(images.view(5, 1, 8, 8), kernels.view(3, 1, 3, 3)).flatten(1)
    torch.testing.assert_close(images @ wide.T, convolved)
    torch.testing.assert_close(window.kernels(wide), kernels)
    other = torch.randn_like(wide)
    nearest = window.spread(window.kernels(other))
    assert (other - nearest).flatten() @ nearest.flatten() == pytest.approx(0, abs=1e-3)  # orthogonal


def test_meta_learning_at_a_rate_of_zero_is_elementary_learning_exactly():
    """Each meta-step on the first weights is a step of gradient descent on the validation loss, bit for bit."""
    few = Source(train=50, valid=50).split(0)
    problem = vertigo.small(
        network(few.train, few.valid, test=few.test, steps=20, batch=25, dynamics=vertigo.HeavyBall(0.0, 0.9))
    )
    places = vertigo.descend(problem, Hypers(init=problem.init(0)), vertigo.Outer(vertigo.Sgd(), 0.5), 10)
    x = problem.init(0)
    for place in places:
        assert place.hypers.init is not None and torch.equal(place.hypers.init, x)
        leaf = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(problem.outer_loss(leaf, Hypers()), leaf)
        x = x - 0.5 * g


@pytest.mark.parametrize("method", ["unroll", "checkpoint", "reversible"])
def test_first_weights_have_the_gradient_of_their_scale(method):
    """d/d log scale = Σ x₀ · d/dx₀, group by group."""
    few = Source(train=50, valid=50).split(0)
    problem = network(few.train, few.valid, steps=10, batch=25)
    x = 0.1 * problem.init(0)
    own = {"precision": "float64"}
    found = hypergradient(problem, Hypers(init=x, log_init_scale=torch.zeros(2)), method, **own)
    by_hand = problem.layout.dot(x.double(), found.grads.init)
    torch.testing.assert_close(found.grads.log_init_scale, by_hand, rtol=1e-7, atol=1e-12)


def test_first_weights_of_a_wrong_length_are_refused():
    few = Source(train=50, valid=50).split(0)
    problem = network(few.train, few.valid, steps=10, batch=25)
    with pytest.raises(ValueError, match=r"hypers\.init: has shape \[3\]; this problem needs \[650\]"):
        hypergradient(problem, Hypers(init=torch.zeros(3)))


# ── what they share ──


def test_metasmoothness_of_a_straight_line_and_of_a_zigzag():
    line = np.arange(5.0)[:, None, None] * np.array([1.0, -2.0])
    assert edge.metasmoothness(line)[1:-1] == pytest.approx(1)
    zigzag = (np.arange(5) % 2)[:, None, None] * np.array([1.0, -2.0])
    assert edge.metasmoothness(zigzag)[1:-1] == pytest.approx(-1)
    assert np.isnan(edge.metasmoothness(line)[[0, -1]]).all()


def test_the_area_under_the_curve():
    score, positive = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert edge.area(score, positive) == pytest.approx(0.75)  # scikit-learn's example for roc_auc_score
    assert edge.area(np.zeros(4), positive) == 0.5


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_same_run_twice_gives_the_same_numbers(name):
    """Of the first measurements of the search's first trial, made small."""
    search = SEARCHES[name]
    tiny = {"steps": 12, "values": 4, "seeds": 2, "splits": 2, "hidden": 4, "meta_iterations": 2,
            "trials": 2, "held": 2, "pieces": 4}  # fmt: skip
    settings = dict(search.fixed) | {
        n: v for n, v in tiny.items() if n in inspect.signature(EXPERIMENTS[name]).parameters
    }
    runs = [[*itertools.islice(EXPERIMENTS[name](**settings), 2)] for _ in range(2)]
    assert repr(runs[0]) == repr(runs[1])  # as text: not-a-number equals itself


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_search_sets_what_there_is(name):
    search, known = SEARCHES[name], inspect.signature(EXPERIMENTS[name]).parameters
    assert search.target == f"meta.experiments.{name}:train"
    assert {h.name for h in search.space} | set(search.fixed) <= set(known)
    assert "data" in known


def test_small_matrices_get_one_thread_and_the_process_keeps_its_own():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = [torch.get_num_threads() for _ in one_thread(lambda: iter(range(2)))()]
        assert seen == [1, 1] and torch.get_num_threads() == 2
        assert (
            "data" in inspect.signature(penalties.train).parameters
        )  # what a search file is checked against
    finally:
        torch.set_num_threads(before)
