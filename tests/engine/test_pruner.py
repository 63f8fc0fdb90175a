"""Pruning: trials that do worse than others at the same step are asked to end, whatever kind of target they run."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_tui.engine.pruner import make_pruner
from tuner_tui.engine.run import run_study
from tuner_tui.search.file import parse_search
from tuner_tui.search.search import Search
from tuner_tui.study.events import TrialEnded, TrialMeasured, TrialStarted
from tuner_tui.study.folder import create_study
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot, Trial, fold_all

STEPS = 120
TARGETS = f"""
import time

def generator(*, x):
    for step in range({STEPS}):
        yield {{"step": step, "loss": x}}
        time.sleep(0.004)

def reports(*, x, report):
    for measured in generator(x=x):
        report(measured)

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    for step in range({STEPS}):
        trial.report(x, step)
        time.sleep(0.004)
        if trial.should_prune():
            import optuna
            raise optuna.TrialPruned()
    return x

if __name__ == "__main__":
    import json, sys
    for measured in generator(x=float(sys.argv[1].partition("=")[2])):
        print(json.dumps(measured), flush=True)
"""
KINDS = {
    "generator": 'target = "slow:generator"',
    "reports": 'target = "slow:reports"',
    "objective": 'target = "optuna:slow:objective"',
    "command": 'command = ["python", "slow.py", "--x={x}"]',
}


def searched(pruner: str, *options: str, direction: str = "minimize") -> Search:
    text = f'target = "slow:generator"\ndirection = "{direction}"\n[space]\nx = {{ float = [0, 1] }}\n'
    return parse_search(text, "x.toml", [f"pruner={pruner}", *(f"pruner.{option}" for option in options)])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_target_is_pruned(tmp_path: Path, kind: str) -> None:
    (tmp_path / "slow.py").write_text(TARGETS)
    text = f"""{KINDS[kind]}
    trials = 7
    [pruner]
    name = "median"
    startup_trials = 2
    [space]
    x = {{ float = [0, 1] }}
    """
    search = parse_search(text, str(tmp_path / "x.toml"))
    folder = create_study(tmp_path / "mlruns", "x")
    snapshot = run_study(folder, search, gpus="none").snapshot
    assert snapshot.counts.ended == 7
    pruned = [t for t in snapshot.trials.values() if t.reason is Reason.PRUNED]
    assert pruned, [t.message for t in snapshot.trials.values()]
    for trial in pruned:
        assert trial.outcome is Outcome.UNFINISHED and trial.steps < STEPS
        assert trial.message.startswith("pruned at step ") and "worse than the median" in trial.message
        before = [t.params["x"] for t in snapshot.trials.values() if t.number < trial.number and not t.failed]
        assert trial.params["x"] > statistics.median(before)


def run(search: Search, curves: list[list[float]], kept: int | None = None) -> tuple[Snapshot, list[str]]:
    """One trial after the other, each with its losses; what was said of each. `kept`: a new engine begins here."""
    pruner, snapshot, said = make_pruner(search), Snapshot(search=search), []
    for number, losses in enumerate(curves):
        if number == kept:
            pruner = make_pruner(search, list(snapshot.trials.values()))
        pruner.started(number)
        events: list = [TrialStarted(float(number), number, {"x": 0.0}, 0)]
        why = ""
        for step, loss in enumerate(losses):
            events.append(TrialMeasured(number + 0.01 * step, number, step, {"loss": loss}))
            if why := pruner.measured(number, step, loss):
                break
        outcome = Outcome.UNFINISHED if why else Outcome.FINISHED
        events.append(TrialEnded(number + 0.9, number, outcome, Reason.PRUNED if why else None))
        snapshot = fold_all(snapshot, events)
        pruner.ended(snapshot.trials[number])
        said.append(why)
    return snapshot, said


def test_the_median_pruner_waits_and_then_ends_what_is_worse_than_the_median() -> None:
    search = searched("median", "startup_trials=3", "warmup_steps=2")
    flat = [[loss] * 6 for loss in (1.0, 2.0, 3.0, 2.5, 1.5, 9.0)]
    _, said = run(search, flat)
    assert said[:3] == ["", "", ""]  # the first three finish, whatever they bring
    assert said[3] == (
        "pruned at step 2: its best loss so far is worse than the median of the finished trials at this step"
    )
    assert said[4] == "" and said[5].startswith("pruned at step 2")
    upwards = replace(search, direction="maximize")
    assert [bool(why) for why in run(upwards, flat)[1]] == [False, False, False, False, True, False]


def test_successive_halving_keeps_one_in_so_many_at_each_rung() -> None:
    search = searched("successive_halving", "min_resource=1", "reduction_factor=2")
    _, said = run(search, [[float(8 - n)] * 9 for n in range(8)])
    assert not any(said)  # each is the best so far
    snapshot, said = run(search, [[float(n)] * 9 for n in range(8)])
    assert said[7] == "pruned at step 1: its loss is not among the best 1/2 of those that came as far"
    assert not said[0] and snapshot.counts.unfinished >= 4


def test_hyperband_prunes_and_its_brackets_do_not_depend_on_the_process() -> None:
    search = searched("hyperband", "max_resource=27")
    curves = [[(n * 7) % 10 + 1.0] * 27 for n in range(30)]
    first, again = run(search, curves)[1], run(search, curves)[1]
    assert first == again and sum(map(bool, first)) > 5


@pytest.mark.parametrize("pruner", ["median", "successive_halving", "hyperband"])
@settings(max_examples=15, deadline=None)
@given(
    curves=st.lists(st.lists(st.floats(0, 10), min_size=1, max_size=12), min_size=2, max_size=14),
    cut=st.integers(0, 14),
)
def test_a_resumed_study_prunes_as_an_unbroken_one(pruner: str, curves: list[list[float]], cut: int) -> None:
    options = {
        "median": ["startup_trials=2"],
        "successive_halving": ["min_resource=2", "reduction_factor=2"],
        "hyperband": ["max_resource=9"],
    }
    search = searched(pruner, *options[pruner])
    assert run(search, curves)[1] == run(search, curves, kept=cut)[1]


def test_a_trial_that_is_tried_again_is_judged_by_its_new_losses() -> None:
    search = searched("median", "startup_trials=1")
    pruner = make_pruner(search)
    pruner.started(0)
    pruner.measured(0, 0, 1.0)
    pruner.ended(Trial(0, {}, outcome=Outcome.FINISHED, value=1.0))
    pruner.started(1)
    assert pruner.measured(1, 0, 5.0)
    pruner.started(1)
    assert not pruner.measured(1, 0, 0.5)


def test_losses_that_are_no_numbers_and_long_curves_do_no_harm() -> None:
    search = searched("median", "startup_trials=1")
    pruner = make_pruner(search)
    for number, loss in enumerate((1.0, 2.0)):
        pruner.started(number)
        said = {pruner.measured(number, step, loss) for step in range(-1, 3000)}
        pruner.measured(number, 3000, float("inf"))
        pruner.measured(number, 3001, float("nan"))
        pruner.ended(Trial(number, {}, outcome=Outcome.FINISHED, value=loss))
    assert any(why.startswith("pruned at step 2988") for why in said)  # still looked at, if not each one
