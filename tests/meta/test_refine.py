"""Refinement: what hypergradients add to a random search's best trial, on seeds that nobody learned or chose by."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.sabotage import study, tuner

from meta import HeavyBall, Hypers, Layout, Piece, Problem, plain
from meta.experiments import refined
from meta.refine import Start, descend, refiner
from meta.train.chaos import Diverged
from tuner_tui.search.builtin import find_search
from tuner_tui.search.file import load_search
from tuner_tui.search.space import Float

QUICK = {"hidden": 16, "steps": 60}
FAR = {"lr": 0.3, "momentum": 0.8} | QUICK  # a good trial, and not the best there is


def test_it_lowers_the_loss_on_seeds_that_were_not_learned_on():
    walk = [*descend(plain.start(**FAR), meta_iterations=8, seeds=2, held=6, meta_lr=0.1)]
    found = walk[-1][1].figures()
    assert found["held/drop"] > 0.1 and found["held/drop"] > 3 * found["held/se"]
    assert found["test/drop"] > 0.1 and found["test/drop"] > 3 * found["test/se"]
    assert found["error/after"] < found["error/before"]


def test_it_gains_more_than_as_many_trainings_of_a_random_search(tmp_path):
    settings = {
        "trials": 12,
        "meta_iterations": 8,
        "seeds": 2,
        "held": 6,
        "splits": 1,
        "meta_lr": 0.08,
    } | QUICK
    (seen,) = refined.train(out=str(tmp_path), **settings)
    assert seen["test/after"] < 0.95 * seen["test/before"] and seen["test/after"] < 0.97 * seen["test/random"]
    assert Image.open(tmp_path / "refined.png").size[0] > 300


def test_no_seed_is_learned_on_twice_or_held_out_and_learned_on():
    seen: list[int] = []
    start = plain.start(steps=10, hidden=4)
    init = start.problem.init

    def told(seed: int) -> torch.Tensor:
        seen.append(seed)
        return init(seed)

    start = replace(start, problem=replace(start.problem, init=told))
    learned: list[set[int]] = []
    for _, place in descend(start, meta_iterations=3, seeds=2, held=4, seed=5):
        learned.append(set(seen) - set(place.held))
        seen.clear()
    assert [len(some) for some in learned] == [2, 2, 2, 2]
    assert len(set.union(*learned)) == 8


def test_it_ends_at_the_edge_of_chaos_with_the_last_calm_hyperparameters():
    walk = [*descend(plain.start(lr=1.5, momentum=0.8, steps=60, hidden=16), meta_iterations=40, seeds=2, held=2,
                     meta_lr=0.2)]  # fmt: skip
    last, before = walk[-1], walk[-2]
    assert last[1].ended and len(walk) < 41
    assert last[1].hypers is before[1].hypers and before[0]["growth"] < 2


def test_a_chaotic_start_is_refused_with_the_reason():
    with pytest.raises(Diverged, match=r"Λ = .* at the start: training is chaotic.*lower learning rate"):
        next(descend(plain.start(lr=60.0, steps=60, hidden=16), seeds=2, held=2))


@pytest.mark.parametrize(
    ("wrong", "words"), [({"held": 1}, "held = 1: give 2"), ({"seeds": 10**6}, "seeds = ")]
)
def test_numbers_that_can_not_be_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        next(descend(plain.start(steps=10, hidden=4), **wrong))


def test_a_hyperparameter_out_of_its_range_is_refused():
    with pytest.raises(ValueError, match=r"lr = -1\.0: give a number above 0"):
        plain.start(lr=-1.0)


# ── as a training function ──


def bowl(*, lr: float = 0.1, steps: int = 20) -> Start:
    """Of a stranger: a valley, a rate, and nothing that scores."""
    slopes = torch.tensor([1.0, 0.05])
    problem = Problem(
        Layout((Piece("x", (2,)),)), steps, lambda seed: torch.ones(2) + 0.1 * seed,
        lambda x, h, batch: 0.5 * (slopes * x * x).sum(), lambda x, h: 0.5 * (slopes * x * x).sum(),
        lambda t, seed: (), HeavyBall(lr, 0.5),
    )  # fmt: skip
    return Start(problem, Hypers(log_lr=torch.full((steps, 1), math.log(lr))))


def test_a_problem_of_ones_own_is_refined_and_leaves_what_was_learned(tmp_path, capsys):
    refine = refiner(bowl)
    assert refine.hypers == ("lr", "steps")
    seen = list(refine(lr=0.2, meta_iterations=5, meta_lr=0.2, held=3, out=str(tmp_path)))
    assert [m["step"] for m in seen] == [0, 1, 2, 3, 4, 5]
    assert seen[-1]["loss/held"] == seen[-1]["held/after"] < 0.9 * seen[0]["loss/held"]
    assert "test/after" not in seen[-1]
    assert np.load(tmp_path / "refined.npz")["log_lr"].shape == (20, 1)
    assert "on seeds that were not learned on: outer loss" in capsys.readouterr().out


def test_a_problem_whose_first_weights_alone_are_improved(tmp_path):
    def scaled() -> Start:
        return replace(bowl(), hypers=Hypers(log_init_scale=torch.zeros(1)))

    seen = list(refiner(scaled)(meta_iterations=2, held=2, out=str(tmp_path)))
    assert seen[-1]["held/after"] < seen[-1]["held/before"]


def test_the_experiment_draws_what_the_search_draws():
    search = load_search(find_search("plain", Path("/")))
    assert search.refiner == "meta.plain:refine"
    for h in search.space:
        assert isinstance(h.distribution, Float)
        assert (h.distribution.low, h.distribution.high) == refined.RANGES[h.name]
        assert h.distribution.log == (h.name not in refined.EVEN)


MINE = """
import math, torch
from meta import Hypers, of_module, constant
from meta.refine import Start, refiner
images = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
labels = (images[:, 0] > 0).long()

def start(*, lr, width=4):
    problem = of_module(
        torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Tanh(), torch.nn.Linear(width, 2)),
        train=(images[:40], labels[:40]), valid=(images[40:], labels[40:]), steps=10, batch=10,
    )
    rates = torch.full((1, problem.layout.G), math.log(lr))
    return Start(problem, Hypers(log_lr=rates), {"log_lr": constant(10)})

def train(*, lr, width=4, seed=0):
    begun = start(lr=lr, width=width)
    return begun.trained(begun.hypers, range(seed, seed + 1)).value.item()

refine = refiner(start)
"""
SEARCH = """
name = "mine"
target = "mine:train"
trials = 3
[space]
lr = { log = [0.01, 0.1] }
[fixed]
width = 5
"""


@pytest.mark.slow
def test_the_tuner_refines_the_best_trial_of_a_strangers_search(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "tuner.toml").write_text(SEARCH)
    gpus = ("--gpus", "none")
    assert tuner(tmp_path, "sweep", "--headless", *gpus).returncode == 0
    refused = tuner(tmp_path, "refine", "mine")
    assert refused.returncode == 2 and "refiner: missing; name what improves a trial" in refused.stderr

    (tmp_path / "tuner.toml").write_text('refiner = "mine:refine"\n' + SEARCH)
    checked = tuner(tmp_path, "check")
    assert checked.returncode == 0, checked.stderr
    assert tuner(tmp_path, "sweep", "--headless", *gpus).returncode == 0
    missing = tuner(tmp_path, "refine", "mine-2", "--trial", "7")
    assert missing.returncode == 2 and "mine-2: --trial 7: there is no such trial" in missing.stderr

    best = study(tmp_path, "mine-2").snapshot().best
    assert best is not None
    done = tuner(tmp_path, "refine", "mine-2", "--headless", "--trials", "1", "--set", "fixed.meta_iterations=3",
                 "--set", "meta_lr=0.1", *gpus)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    made = study(tmp_path, "mine-refined-1").snapshot()
    [trial] = made.trials.values()
    assert (
        trial.outcome == "finished"
        and trial.value == trial.latest["held/after"] < trial.latest["held/before"]
    )
    assert made.search.fixed["lr"] == best.params["lr"] and made.search.fixed["width"] == 5
    assert (
        f"trial 0 refines mine-2 trial {best.number}: on seeds that were not learned on its loss is"
        in done.stdout
    )
    assert list(tmp_path.glob("mlruns/mine-refined-1/trials/0/out/refined.png"))
