"""The path of an ablation, conditions included, and what is said of its steps."""

from __future__ import annotations

from typing import Any

from tuner_tui.analysis.ablation import path
from tuner_tui.search.again import Again, Point
from tuner_tui.search.file import parse_search
from tuner_tui.search.search import ABLATION, Search
from tuner_tui.search.space import Space
from tuner_tui.study.outcomes import Outcome
from tuner_tui.study.snapshot import Snapshot, Trial
from tuner_tui.view.ablation import find, sentences


def swept(space: str, best: dict[str, Any], fixed: str = "") -> Snapshot:
    search = parse_search(f'target = "a:b"\n{fixed}\n[space]\n{space}', "x.toml")
    trial = Trial(7, {**search.fixed, **best}, outcome=Outcome.FINISHED, value=0.5)
    return Snapshot(search=search, trials={7: trial})


def test_each_step_changes_one_hyperparameter_and_the_last_is_the_best_trial() -> None:
    snapshot = swept("a = { float = [0, 1] }\nb = { int = [1, 9] }\nc = [1, 2]", {"a": 0.3, "b": 4, "c": 1})
    points = path(snapshot, {"a": 0.1, "b": 2, "c": 1}, "the defaults")
    assert [(p.label, p.params) for p in points] == [
        ("the defaults", {"a": 0.1, "b": 2, "c": 1}),
        ("a = 0.3", {"a": 0.3, "b": 2, "c": 1}),
        ("b = 4", {"a": 0.3, "b": 4, "c": 1}),
    ]
    assert (points[-1].trial, points[-1].value) == (7, 0.5)
    assert len(path(snapshot, {"a": 0.3, "b": 4, "c": 1}, "the defaults")) == 1  # nothing to do
    assert path(Snapshot(), {}, "the defaults") == ()


def test_what_a_condition_brings_or_takes_comes_along() -> None:
    space = 'kind = ["plain", "deep"]\ndepth = { int = [1, 9], when = { kind = "deep" } }\nlr = { log = [1e-4, 1] }'
    deep = swept(space, {"kind": "deep", "depth": 5, "lr": 0.1})
    labels = [p.label for p in path(deep, {"kind": "plain", "lr": 0.01}, "the defaults")]
    assert labels == ["the defaults", "kind = deep (with depth)", "lr = 0.1"]
    plain = swept(space, {"kind": "plain", "lr": 0.1})
    points = path(plain, {"kind": "deep", "depth": 3, "lr": 0.01}, "the defaults")
    assert [p.params for p in points[1:]] == [{"kind": "plain", "lr": 0.01}, {"kind": "plain", "lr": 0.1}]


def test_what_is_said_of_the_steps() -> None:
    points = tuple(Point(label, {}) for label in ("the defaults", "lr = 0.1", "width = 64"))
    runs = [[0.9, 0.91, 0.92], [0.5, 0.51, 0.52], [0.505, 0.515, None]]
    search = Search("x", "a:b", "loss", Space(), kind=ABLATION, again=Again("x-1", points), trials=9)
    trials = {}
    for number in range(9):
        value = runs[number % 3][number // 3]
        trials[number] = Trial(
            number, {}, outcome=Outcome.NO_START if value is None else Outcome.FINISHED, value=value
        )
    found = find(Snapshot(search=search, planned=9, trials=trials))
    assert found is not None
    assert sentences(found) == (
        "the defaults: 0.91 ± 0.025",
        "lr = 0.1: 0.51 ± 0.025, better by 0.4 ± 0.023",
        "width = 64: 0.51 ± 0.064; 1 run failed",
        "can't be told from the noise between seeds: width = 64",
    )
    assert find(Snapshot()) is None
