"""The guards: each answer from made-up sights, and each reached by a real training that goes wrong."""

import math
from dataclasses import replace

import pytest
import torch

from meta import Hypers, hypergradient
from meta.problems.digits import digits
from meta.problems.nets import network
from meta.train import train
from meta.train.chaos import ACTIONS, Diverged, Guards, Sight, Verdict, Watch, sight, signs

FINE = Sight(value=1.0, norm=1.0, steps=100, growth=0.5, agreement=0.8, foretold=-0.1, came=-0.1)
WILD = replace(FINE, growth=9.0)
GUARDS = Guards()


def verdicts(*sights: Sight, guards: Guards = GUARDS) -> list[Verdict]:
    watch, said = Watch(), []
    for one in sights:
        verdict, watch = watch.see(one, guards)
        said.append(verdict)
    return said


def actions(*sights: Sight, guards: Guards = GUARDS) -> list[str]:
    return [verdict.action for verdict in verdicts(*sights, guards=guards)]


# ── made-up sights ──


def test_a_calm_training_is_left_alone():
    assert verdicts(*[FINE] * 10) == [Verdict("go")] * 10
    unknown = Sight(
        value=1.0, norm=1.0, steps=100
    )  # a method with no way back, one seed, other batches each time
    assert verdicts(*[unknown] * 3) == [Verdict("go")] * 3


GRAVE = {
    "Λ": replace(FINE, growth=GUARDS.chaotic + 0.1),
    "Λ without end": replace(FINE, growth=math.inf),
    "loss": replace(FINE, value=math.nan),
    "gradient": replace(FINE, norm=math.inf),
    "rise": replace(FINE, value=9.0, came=8.0),
}


@pytest.mark.parametrize("what", GRAVE)
def test_each_grave_sign_is_enough(what):
    grave, _ = signs(GRAVE[what], GUARDS)
    assert len(grave) == 1
    assert actions(FINE, GRAVE[what]) == ["go", "back"]


SLIGHT = {
    "Λ": replace(FINE, growth=GUARDS.wary + 0.1),
    "seeds": replace(FINE, agreement=-0.1),
    "spike": replace(FINE, norm=6.0),
    "uphill": replace(FINE, came=0.1),
    "farther than foretold": replace(FINE, came=-0.3),
}


@pytest.mark.parametrize("what", SLIGHT)
def test_a_slight_sign_only_clips_and_two_of_them_are_grave(what):
    one = replace(SLIGHT[what], norm=max(SLIGHT[what].norm, 2.0))
    verdict = verdicts(FINE, one)[1]
    assert (verdict.action, verdict.clip) == ("clip", 1.0) and verdict.why
    other = {"agreement": -0.1} if what != "seeds" else {"growth": 2.5}
    assert actions(FINE, replace(one, **other)) == ["go", "back"]


def test_the_ladder_in_order_each_half_as_far_then_half_as_long_then_smooth_then_stop():
    said = verdicts(FINE, *[WILD] * 4, WILD, replace(WILD, steps=50), replace(WILD, steps=25), WILD)
    assert [v.action for v in said] == ["go", *["back"] * 4, "shorten", "shorten", "smooth", "stop"]
    assert [v.scale for v in said[:5]] == [1.0, 0.5, 0.25, 0.125, 0.0625]
    assert said[7].smooth and "chaotic" in said[8].why
    for word in ("9.0", "3.5", "halving the meta step (4 times)", "inner steps (2 times)", "evolution"):
        assert word in said[8].why


def test_without_a_good_place_there_is_nothing_to_go_back_to():
    assert actions(WILD, WILD, WILD, WILD) == ["shorten", "shorten", "smooth", "stop"]
    assert actions(replace(WILD, steps=19), WILD) == ["smooth", "stop"]  # half would be shorter than 10


def test_calm_forgives():
    said = verdicts(FINE, WILD, WILD, FINE, FINE, FINE, WILD)
    assert [v.scale for v in said] == [1, 0.5, 0.25, 0.25, 0.25, 1, 0.5]


def test_smoothing_has_its_time_and_then_the_gradient_another_chance():
    smoothed = Sight(value=1.0, norm=3.0, steps=19, agreement=-0.5, smoothed=True)  # its noise is no sign
    said = verdicts(replace(WILD, steps=19), *[smoothed] * GUARDS.smooths, FINE)
    assert [v.action for v in said] == ["smooth", *["go"] * GUARDS.smooths, "go"]
    assert [v.smooth for v in said] == [*[True] * GUARDS.smooths, False, False]
    assert actions(replace(WILD, steps=19), smoothed, replace(smoothed, value=math.nan))[-1] == "stop"


def test_seeing_changes_nothing_that_was():
    _, watch = Watch().see(FINE, GUARDS)
    first, _ = watch.see(WILD, GUARDS)
    watch.see(WILD, GUARDS)
    assert watch.see(WILD, GUARDS)[0] == first


# ── real trainings ──


def at(log_lr: float) -> Sight:
    few = digits(200, 100)
    p = network(few.train, few.valid, (20,), steps=40, batch=50)
    h = Hypers(log_lr=torch.full((40, p.layout.G), log_lr), log_init_scale=torch.full((p.layout.G,), -1.0))
    return sight(hypergradient(p, h, "tape", seeds=(0, 1, 2)), 40)


def test_signs_of_a_real_training_left_and_right_of_the_edge():
    calm, wild, lost = at(0.0), at(3.0), at(90.0)
    assert calm.growth < GUARDS.wary and signs(calm, GUARDS) == ([], [])
    assert math.isfinite(wild.value) and wild.growth > GUARDS.chaotic and signs(wild, GUARDS)[0]
    assert not math.isfinite(lost.value) and len(signs(lost, GUARDS)[0]) >= 2


SMALL = {
    "train_examples": 200,
    "valid_examples": 100,
    "batch": 50,
    "hidden": 20,
    "method": "tape",
    "seeds": 2,
}


def walked(**hypers) -> tuple[list[str], list[dict[str, float]], Exception | None]:
    """The answers, the measurements and the end of a real meta-training."""
    seen: list[dict[str, float]] = []
    end = None
    try:
        for measured in train(say=lambda _: None, **SMALL | hypers):
            seen.append(measured)
    except Diverged as error:
        end = error
    return [ACTIONS[int(m["guard"])] for m in seen], seen, end


def test_a_start_far_in_chaos_ends_as_diverged_after_all_was_tried():
    said, seen, end = walked(lr=100, steps=40, learn="log_lr", tie="constant", meta_iterations=12)
    assert said[:3] == ["shorten", "shorten", "smooth"] and said[-1] == "stop"
    assert [m["inner_steps"] for m in seen[:3]] == [40, 20, 10]
    assert type(end).__name__ == "Diverged"  # the tuner goes by this name
    assert "chaotic" in str(end) and "evolution strategies" in str(end)
    assert f"{seen[-1]['growth']:.1f}" in str(end)


def test_shortening_alone_may_be_enough():
    said, seen, end = walked(lr=8, steps=60, learn="log_lr", tie="constant", meta_iterations=8)
    assert said[0] == "shorten" and end is None
    assert seen[-1]["inner_steps"] < 60 and seen[-1]["growth"] < GUARDS.chaotic


CLIFF = {
    "hidden": 0, "learn": "log_l2", "l2": 1.0, "train_examples": 40, "batch": 40, "steps": 40, "init_scale": 0.5,
    "meta_optimizer": "sign", "meta_lr": 1.0, "seeds": 1, "meta_iterations": 12,
}  # fmt: skip


def test_penalties_walk_over_the_cliff_unless_they_are_capped():
    """The penalties of a real meta-training grow until heavy ball can't bear them."""
    _, seen, end = walked(**CLIFF, guards=False, l2_cap=False)
    assert end is not None and "outer loss became" in str(end)
    assert any(m["loss/valid"] > 1e6 for m in seen[:-1])
    said, seen, end = walked(**CLIFF, guards=False, l2_cap=True)
    assert end is None and max(m["loss/valid"] for m in seen) < 3
    assert set(said) == {"go"}  # nobody watched


def test_the_guards_go_back_from_the_cliff_with_shorter_steps():
    said, seen, end = walked(**CLIFF, guards=True, l2_cap=False)
    assert "back" in said and end is None
    back = seen[said.index("back")]
    assert "loss/valid" not in back and back["meta_scale"] == 0.5  # no figure of what was rejected
    told = [m["loss/valid"] for m in seen if "loss/valid" in m]
    assert max(told) < 3 and told[-1] < min(told[:3])
    assert "clip" in said
