"""A problem whose functions are not pure is refused before any training, with what is impure and the right way."""

from dataclasses import replace

import pytest
import torch
from support.trainings import training
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from meta import Hypers, Problem, hypergradient
from meta.batches import Batches, generator_at
from meta.dynamics import HeavyBall
from meta.methods.choice import METHODS
from meta.problem import Layout, Piece

IMAGES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 3
ONE = Hypers(log_l2=torch.tensor([-3.0]))


def own(module: nn.Module, dynamics=None) -> Problem:
    """As a user would write it who does not know that a loss must be pure."""
    named = dict(module.named_parameters())
    layout = Layout(tuple(Piece(name, tuple(p.shape)) for name, p in named.items()))
    rows = Batches(40, 8)

    def weights(x):
        return dict(zip(named, layout.split(x), strict=True))

    def init(seed):
        return 0.3 * torch.randn(layout.P, generator=generator_at(seed, 0))

    def inner(x, h, batch):
        images, labels = batch
        return cross_entropy(functional_call(module, weights(x), (images,)), labels)

    def outer(x, h):
        return cross_entropy(torch.tanh(IMAGES.to(x.dtype)) @ layout.split(x)[0].T[:6, :3], LABELS)

    def batch(t, seed):
        return IMAGES[rows(t, seed)], LABELS[rows(t, seed)]

    return Problem(layout, 6, init, inner, outer, batch, dynamics or HeavyBall())


def net(*middle: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 5), *middle, nn.Linear(5, 3))


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_dropout_is_refused_by_every_method(method, seeds):
    said = r"inner_loss: is not pure: .*1 \(Dropout\).*draw the mask in `batch`"
    with pytest.raises(ValueError, match=said):
        hypergradient(own(net(nn.Dropout(0.3))), ONE, method, seeds=seeds)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_running_statistics_are_refused(precision, seeds):
    said = r"inner_loss: .*1 \(BatchNorm1d\).*track_running_stats=False"
    with pytest.raises(ValueError, match=said):
        hypergradient(own(net(nn.BatchNorm1d(5))), ONE, precision=precision, seeds=seeds)


def test_batch_statistics_and_a_silent_dropout_are_fine():
    fine = net(nn.BatchNorm1d(5, track_running_stats=False), nn.Dropout(0.3).eval(), nn.Dropout(0.0))
    found = [hypergradient(own(fine), ONE, m, precision="float64") for m in ("tape", "unroll", "reversible")]
    assert found[2].exact is True
    for one in found[1:]:
        torch.testing.assert_close(one.grads.log_l2, found[0].grads.log_l2, rtol=1e-8, atol=0)


def test_running_statistics_outside_of_a_module_are_seen():
    mean, var = torch.zeros(6), torch.ones(6)
    plain = own(net())

    def inner(x, h, batch):
        images = nn.functional.batch_norm(batch[0], mean, var, training=True)
        return plain.inner_loss(x, h, (images, batch[1]))

    with pytest.raises(ValueError, match=r"inner_loss: is not pure: .*it changes mean, var"):
        hypergradient(replace(plain, inner_loss=inner), ONE)


def test_global_random_numbers_are_named():
    plain = own(net())
    noisy = replace(plain, inner_loss=lambda x, h, b: plain.inner_loss(x, h, b) + torch.randn(()) * x.sum())
    with pytest.raises(ValueError, match=r"inner_loss: is not pure: .*generator_at\(seed, t\)"):
        hypergradient(noisy, ONE)


def test_a_counter_shows_by_its_values():
    plain, calls = own(net()), iter(range(10**6))
    noisy = replace(plain, inner_loss=lambda x, h, b: plain.inner_loss(x, h, b) + next(calls) * x.sum())
    with pytest.raises(ValueError, match=r"inner_loss: is not pure: .*gave .* and then"):
        hypergradient(noisy, ONE)


@pytest.mark.parametrize("name", ["init", "batch", "outer_loss"])
def test_the_other_functions_must_be_pure_as_well(name):
    plain = own(net())
    noisy = {
        "init": lambda seed: torch.randn(plain.layout.P),
        "batch": lambda t, seed: plain.batch(int(torch.randint(99, ())), seed),
        "outer_loss": lambda x, h: plain.outer_loss(x, h) * torch.rand(()),
    }
    with pytest.raises(ValueError, match=rf"{name}: is not pure"):
        hypergradient(replace(plain, **{name: noisy[name]}), ONE)


def test_a_loss_that_seeds_itself_is_pure_and_the_global_state_stays():
    plain = own(net())

    def inner(x, h, batch):
        torch.manual_seed(4)
        return plain.inner_loss(x, h, batch) + torch.rand(()) * x.sum()

    tape, unroll = (
        hypergradient(replace(plain, inner_loss=inner), ONE, m, precision="float64")
        for m in ("tape", "unroll")
    )
    torch.testing.assert_close(tape.grads.log_l2, unroll.grads.log_l2, rtol=1e-10, atol=0)
    dropout = own(net(nn.Dropout(0.3)))
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="not pure"):
        hypergradient(dropout, ONE)
    assert torch.equal(before, torch.get_rng_state())


def test_a_module_that_is_turned_to_training_later_is_looked_at_again():
    module = net(nn.Dropout(0.3)).eval()
    problem = own(module)
    hypergradient(problem, ONE)
    module.train()
    with pytest.raises(ValueError, match="Dropout"):
        hypergradient(problem, ONE)


def test_the_right_way_of_dropout_agrees_between_methods():
    plain = own(net())
    layout = plain.layout

    def batch(t, seed):
        images, labels = plain.batch(t, seed)
        mask = (torch.rand(len(images), 5, generator=generator_at(seed, t, stream=2)) > 0.3) / 0.7
        return images, labels, mask

    def inner(x, h, batch):
        images, labels, mask = batch
        w, b, w_, b_ = layout.split(x)
        return cross_entropy((images @ w.T + b) * mask @ w_.T + b_, labels)

    right = replace(plain, inner_loss=inner, batch=batch)
    found = {m: hypergradient(right, ONE, m, precision="float64", seeds=(0, 1)) for m in
             ("tape", "unroll", "checkpoint", "reversible")}  # fmt: skip
    assert found["reversible"].exact is True
    for one in found.values():
        torch.testing.assert_close(one.grads.log_l2, found["tape"].grads.log_l2, rtol=1e-7, atol=0)


# ── what losses return and read ──


def test_a_loss_of_many_numbers_is_named_with_its_shape():
    plain = own(net())
    many = replace(plain, inner_loss=lambda x, h, b: plain.inner_loss(x, h, b) + x[:8].square())
    with pytest.raises(ValueError, match=r"inner_loss: has shape \[8\]; give one number, as loss\.mean\(\)"):
        hypergradient(many, ONE)


def test_a_loss_that_does_not_use_the_weights_is_named():
    module = net()
    plain = own(module)
    forgot = replace(plain, inner_loss=lambda x, h, b: cross_entropy(module(b[0]), b[1]))
    with pytest.raises(ValueError, match=r"inner_loss: does not depend on the weights x; .*functional_call"):
        hypergradient(forgot, ONE)


def test_first_weights_of_a_wrong_length_are_named():
    with pytest.raises(ValueError, match=r"init: has shape \[4\]; the layout has 53 parameters, give \[53\]"):
        hypergradient(replace(own(net()), init=lambda seed: torch.zeros(4)), ONE)


def test_an_error_within_a_loss_comes_with_what_it_was_given():
    plain = own(net())
    wrong = replace(plain, inner_loss=lambda x, h, b: h.other["rows"][99] * x.sum())
    said = r"inner_loss: IndexError on the first batch: .*; it was given x \[53\], hypers\.other\.rows \[3\]"
    with pytest.raises(ValueError, match=said):
        hypergradient(wrong, Hypers(other={"rows": torch.zeros(3)}))


@pytest.mark.parametrize("part", ["generator", "data", "other.zz"])
@pytest.mark.parametrize("many", [False, True])
def test_a_part_that_no_loss_reads_is_refused(part, many):
    unread = Hypers.of({part: torch.zeros(2, 3)})
    with pytest.raises(ValueError, match=rf"hypers\.{part}: neither loss depends on it"):
        hypergradient(own(net()), unread, many=many)


def test_a_part_that_is_read_late_or_by_the_outer_loss_alone_is_not():
    plain = training()
    late = replace(
        plain,
        batch=lambda t, seed: (*plain.batch(t, seed), torch.tensor(t)),
        inner_loss=lambda x, h, b: (
            plain.inner_loss(x, h, b) + (h.other["late"] * x.sum() if b[-1] == 4 else 0)
        ),
    )
    found = hypergradient(late, Hypers(other={"late": torch.tensor(0.5)}), "tape")
    assert found.grads.other["late"] != 0
    outer = replace(plain, outer_loss=lambda x, h: plain.outer_loss(x, h) * h.other["last"])
    assert hypergradient(outer, Hypers(other={"last": torch.tensor(0.5)}), "tape").grads.other["last"] != 0


def test_evolution_may_learn_what_has_no_derivative():
    plain = training()
    steps = replace(plain, outer_loss=lambda x, h: plain.outer_loss(x, h) + h.other["jump"].round())
    found = hypergradient(steps, Hypers(other={"jump": torch.tensor(0.45)}), "evolution")
    assert found.grads.other["jump"] != 0
