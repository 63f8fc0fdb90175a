"""The model of survival: it finds a planted crash region, and is asked no more often than it says."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from support.search_files import TARGET

from tuner_tui.engine.sampler import make_sampler
from tuner_tui.engine.samplers.survival import DRAWS, EACH, Survival
from tuner_tui.search.file import parse_search
from tuner_tui.search.problems import SearchError
from tuner_tui.search.search import Search
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Trial

SPACE = """[space]
lr = { log = [1e-5, 1] }
x = { float = [-1, 1] }
kind = ["small", "large"]
depth = { int = [1, 64], when = { kind = "large" } }
"""


def search(*overrides: str) -> Search:
    return parse_search(TARGET + SPACE, "x.toml", ["sampler=tpe", "sampler.survival=true", *overrides])


def ended(number: int, params: dict[str, Any], crashed: bool, reason: Reason = Reason.EXCEPTION) -> Trial:
    outcome = Outcome.NO_START if crashed else Outcome.FINISHED
    return Trial(
        number, params, outcome=outcome, value=None if crashed else 1.0, reason=reason if crashed else None
    )


def drawn(n: int) -> list[dict[str, Any]]:
    sampler = make_sampler(replace(search(), sampler="random", sampler_options={}))
    return [sampler.ask(number) for number in range(n)]


REGIONS = {
    "an end": lambda p: p["lr"] > 1e-2,
    "both ends": lambda p: abs(p["x"]) > 0.6,
    "an option": lambda p: p["kind"] == "large",
    "under a condition": lambda p: p.get("depth", 0) > 30,
    "a product": lambda p: p["lr"] * (1.5 if p["kind"] == "large" else 1) > 1e-3,
}


@pytest.mark.parametrize("name", REGIONS)
def test_it_finds_a_planted_region(name: str) -> None:
    """Of new trials, nine in ten are judged rightly after 60."""
    crashes, model = REGIONS[name], Survival(search())
    points = drawn(260)
    for number, params in enumerate(points[:60]):
        model.tell(ended(number, params, crashes(params)))
    kept = model.choose(lambda attempt: points[60], lambda params: params)
    assert kept == points[60]
    right = sum((model.chance(p) > 0.5) == crashes(p) for p in points[60:])
    assert right >= 180, right


def asked(model: Survival, lr: float) -> int:
    """How often it asks for a proposal where all have this learning rate."""
    attempts: list[int] = []

    def propose(attempt: int) -> dict[str, Any]:
        attempts.append(attempt)
        return {"lr": lr, "x": 0.0, "kind": "small"}

    model.choose(propose, lambda params: params)
    assert attempts == list(range(len(attempts)))
    return len(attempts)


def test_it_draws_again_only_what_will_likely_crash_and_not_for_ever() -> None:
    model = Survival(search())
    for number, params in enumerate(drawn(40)):
        model.tell(ended(number, params, params["lr"] > 1e-2))
    assert asked(model, 1e-4) == 1 and asked(model, 0.9) == DRAWS


def test_of_proposals_that_will_all_crash_it_takes_the_least_likely() -> None:
    model = Survival(search())
    for number, params in enumerate(drawn(40)):
        model.tell(ended(number, params, params["lr"] > 1e-2))
    rates = [0.5, 0.9, 0.3, *[0.8] * DRAWS]
    chosen = model.choose(
        lambda attempt: {"lr": rates[attempt], "x": 0.0, "kind": "small"}, lambda params: params
    )
    assert chosen["lr"] == 0.3


@pytest.mark.parametrize("reason", [Reason.STOPPED, Reason.INTERRUPTED, Reason.PRUNED])
def test_ends_that_are_no_crashes_and_too_few_crashes_change_nothing(reason: Reason) -> None:
    model = Survival(search())
    crashed = 0
    for number, params in enumerate(drawn(40)):
        crash = params["lr"] > 1e-2
        crashed += crash
        model.tell(ended(number, params, crash, Reason.EXCEPTION if crash and crashed < EACH else reason))
    assert crashed > EACH and asked(model, 0.9) == 1


def test_without_the_option_nothing_is_drawn_again() -> None:
    model = Survival(search("sampler.survival=false"))
    for number, params in enumerate(drawn(40)):
        model.tell(ended(number, params, params["lr"] > 1e-2))
    assert asked(model, 0.9) == 1


def test_it_does_not_depend_on_the_order_of_the_ends() -> None:
    trials = [ended(n, params, params["x"] > 0.3) for n, params in enumerate(drawn(50))]
    shuffled = random.Random(1).sample(trials, 50)
    chances = []
    for told in (trials, shuffled):
        model = Survival(search())
        for trial in told:
            model.tell(trial)
        asked(model, 1e-3)
        chances.append(model.chance(trials[0].params))
    assert chances[0] == chances[1]


def test_a_sampler_that_does_not_learn_has_no_such_option() -> None:
    with pytest.raises(SearchError, match="the sampler random has no such option"):
        search("sampler=random", "sampler.survival=true")
