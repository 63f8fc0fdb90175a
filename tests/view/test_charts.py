"""From a snapshot to scatterplots: every trial is somewhere, on axes that can be trusted."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from support import studies
from support.snapshot_strategies import snapshots
from support.studies import Made

from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot
from tuner_tui.view.axes import Axes, Spacing
from tuner_tui.view.charts import scatters
from tuner_tui.view.fitting import y_ticks
from tuner_tui.view.loss import best_tenth, edges, loss_scale


def test_one_panel_for_each_hyperparameter_in_the_order_of_the_file():
    found = scatters(studies.seed_snapshot())
    assert [scatter.name for scatter in found] == list(studies.SEED_SPACE.names)
    assert [scatter.group for scatter in found][:3] == ["optimizer", "optimizer", "convnet"]


def test_all_panels_share_the_loss_axis():
    snapshot = studies.seed_snapshot()
    found = scatters(snapshot)
    assert len({scatter.y for scatter in found}) == 1
    axis = found[0].y
    assert (axis.label, axis.scale) == ("loss/valid", "log")
    assert [tick.label for tick in axis.ticks] == ["0.5", "1", "2"]
    losses = [math.log10(trial.value) for trial in snapshot.trials.values() if trial.value]
    assert axis.low < min(losses) and max(losses) < axis.high


def test_the_scale_of_x_is_that_of_the_space():
    found = {scatter.name: scatter.x for scatter in scatters(studies.small_snapshot())}
    assert found["lr"].scale == "log"
    assert [t.label for t in found["lr"].ticks] == ["1e-5", "1e-4", "1e-3", "0.01", "0.1"]
    assert found["lr"].low < -5 and found["lr"].high > -1  # from the space, with a margin for the border
    assert found["momentum"].scale == "linear"
    assert found["activation"].scale == "categorical"
    assert [(t.position, t.label) for t in found["activation"].ticks] == [
        (0, "relu"),
        (1, "gelu"),
        (2, "tanh"),
    ]


def test_limits_of_x_do_not_move_with_the_data():
    assert [s.x for s in scatters(studies.empty_snapshot())] == [
        s.x for s in scatters(studies.one_trial_snapshot())
    ]


def test_trials_without_a_conditional_value_are_counted_and_not_drawn():
    snapshot = studies.small_snapshot()
    dropout = next(s for s in scatters(snapshot) if s.name == "dropout")
    without = [t for t in snapshot.trials.values() if "dropout" not in t.params]
    assert dropout.absent == len(without) > 0
    assert not {mark.trial for mark in dropout.marks} & {trial.number for trial in without}


def test_a_diverged_trial_stands_at_its_last_finite_loss():
    snapshot = studies.study_of(
        studies.SMALL_SPACE, [studies.Made({"width": 20}, (3.0, 2.0, math.nan), Reason.DIVERGED)]
    )
    mark = scatters(snapshot)[2].marks[0]
    assert mark.diverged and mark.kind == "unfinished" and mark.y == math.log10(2.0)
    assert mark.infinite and edges(snapshot).diverged == edges(snapshot).infinite == 1


def test_a_trial_that_said_it_diverged_stands_at_its_last_loss_and_was_never_infinite():
    made = [studies.Made({"width": 20}, (3.0, 2.0), Reason.DIVERGED), studies.Made({"width": 20}, (4.0,))]
    snapshot = studies.study_of(studies.SMALL_SPACE, made)
    mark = scatters(snapshot)[2].marks[0]
    assert mark.diverged and not mark.infinite and mark.y == math.log10(2.0)
    assert (edges(snapshot).diverged, edges(snapshot).infinite) == (1, 0)


def test_few_losses_at_or_below_zero_stand_under_a_log_axis():
    made = [Made({"lr": 0.01}, (1.0 + i / 10,)) for i in range(20)]
    made += [Made({"lr": 0.01}, (-1.0,), Reason.TIMEOUT), Made({"lr": 0.01}, (0.0,), Reason.TIMEOUT)]
    snapshot = studies.study_of(studies.SMALL_SPACE, made)
    scatter = scatters(snapshot)[0]
    low = [mark for mark in scatter.marks if mark.edge == "low"]
    assert scatter.y.scale == "log" and len(low) == 2 and scatter.y.under
    assert all(mark.y == scatter.y.low for mark in low)
    assert edges(snapshot).not_positive == 2 and edges(snapshot).below == 0


def test_the_best_trial_has_a_height_of_its_own_where_it_lies_below_zero():
    scatter = scatters(studies.few_negative_snapshot())[0]
    heights = {mark.trial: mark.y for mark in scatter.marks}
    assert not any(mark.edge for mark in scatter.marks)
    assert heights[8] < heights[2] < heights[5]  # -0.4, 0, 0.2
    labels = [tick.label for tick in y_ticks(scatter.y, 10)]
    assert "0" in labels and len(labels) >= 3


def test_a_running_trial_that_begins_high_does_not_squeeze_the_others():
    made = [Made({"lr": 0.01}, (1.0 + i / 10,)) for i in range(5)]
    before = scatters(studies.study_of(studies.SMALL_SPACE, made))[0].y
    late = Made({"lr": 0.01}, (1e6,), running=True)
    after = scatters(studies.study_of(studies.SMALL_SPACE, [*made, late]))[0]
    assert (after.y.low, after.y.high) == (before.low, before.high)
    assert after.marks[-1].edge == "high"
    assert not after.y.over  # a row that came and went with it would shift the others


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_excess_spreads_the_best_and_its_labels_are_honest(direction):
    sign = 1 if direction == "minimize" else -1
    losses = [sign * (0.1 + 10.0**-k) for k in range(8)] + [sign * 0.1]
    made = [Made({"lr": 0.01}, (loss,)) for loss in losses]
    snapshot = studies.study_of(studies.SMALL_SPACE, made, direction=direction)
    scatter = scatters(snapshot, Axes(y=Spacing.EXCESS))[0]
    heights = [mark.y for mark in scatter.marks]
    gaps = [abs(a - b) for a, b in pairwise(heights[:6])]
    assert gaps == pytest.approx([1.0] * 5)  # a decade each, where a plain log axis has them all in one row
    assert (min if sign > 0 else max)(heights) == heights[-1] and not any(m.edge for m in scatter.marks)
    for tick in scatter.y.ladder[-1]:
        excess = float(tick.label.replace("−", "-").replace("+", ""))
        loss = sign * 0.1 + excess
        found = loss_scale(snapshot, Axes(y=Spacing.EXCESS)).place(loss)[0]
        assert found == pytest.approx(tick.position, abs=1e-4)


def test_ranks_spread_the_trials_evenly_and_are_labelled_with_losses():
    made = [Made({"lr": 0.01}, (10.0**k,)) for k in range(11)]
    scatter = scatters(studies.study_of(studies.SMALL_SPACE, made), Axes(y=Spacing.RANK))[0]
    assert [mark.y for mark in scatter.marks] == pytest.approx([k / 10 for k in range(11)])
    assert [tick.label for tick in scatter.y.ladder[1]] == ["1", "1e5", "1e10"]


def test_it_is_said_where_the_best_tenth_shares_a_row():
    crowded = studies.study_of(
        studies.SMALL_SPACE, [Made({"lr": 0.01}, (0.1 + (i / 100) ** 4,)) for i in range(100)]
    )
    assert best_tenth(crowded, loss_scale(crowded)) < 1 / 10
    assert best_tenth(crowded, loss_scale(crowded, Axes(y=Spacing.EXCESS))) is None
    spread = studies.study_of(
        studies.SMALL_SPACE, [Made({"lr": 0.01}, (10 ** (i / 50),)) for i in range(100)]
    )
    assert best_tenth(spread, loss_scale(spread)) > 1 / 20


def test_any_measurement_can_be_the_y_axis():
    made = [Made({"lr": 0.01}, (1.0,), extra={"accuracy": k / 10}) for k in range(1, 9)]
    made += [Made({"lr": 0.02}, (1.0,)), Made({"lr": 0.03}, (), Reason.EXCEPTION)]
    scatter = scatters(studies.study_of(studies.SMALL_SPACE, made), Axes(measurement="accuracy"))[0]
    assert scatter.y.label == "accuracy" and scatter.absent == 1  # a loss, but no accuracy
    assert [mark.y for mark in scatter.marks][-1] is None  # what never started is a line on any axis
    assert 10 ** scatter.marks[0].y == pytest.approx(0.1)


def test_many_losses_below_zero_make_the_axis_linear():
    assert scatters(studies.negative_snapshot())[0].y.scale == "linear"


def test_one_extreme_loss_does_not_squash_the_others():
    snapshot = studies.outlier_snapshot()
    axis = scatters(snapshot)[0].y
    assert axis.low > -10 and axis.high < 10
    assert edges(snapshot).above == 1
    beyond = [mark for mark in scatters(snapshot)[0].marks if mark.edge == "high"]
    assert [mark.y for mark in beyond] == [axis.high]


def test_an_extreme_loss_on_a_log_axis_stands_at_the_edge_too():
    snapshot = studies.losses_snapshot([1.0, 1.2, 1.5, 1.1, 1.3, 1.4, 1.6, 1.25, 1.35, 1.45, 1e20])
    assert scatters(snapshot)[0].y.high < 2 and edges(snapshot).above == 1


def test_a_spread_out_study_keeps_every_loss_inside():
    assert edges(studies.huge_range_snapshot()).above == 0
    assert edges(studies.seed_snapshot()).above == 0


@pytest.mark.parametrize("name", studies.ODD)
def test_no_axis_is_empty(name):
    for scatter in scatters(studies.ODD[name]()):
        for axis in (scatter.x, scatter.y):
            assert axis.low < axis.high
            assert axis.ticks in axis.ladder
            assert all(axis.low <= tick.position <= axis.high for ticks in axis.ladder for tick in ticks)


def test_no_search_no_panels():
    assert scatters(Snapshot()) == ()


def test_equal_snapshots_give_equal_scatters_and_a_new_trial_does_not():
    assert scatters(studies.small_snapshot()) == scatters(studies.small_snapshot())
    assert hash(scatters(studies.small_snapshot())) == hash(scatters(studies.small_snapshot()))
    snapshot = studies.small_snapshot()
    trials = {number: trial for number, trial in snapshot.trials.items() if number != 3}
    assert scatters(replace(snapshot, trials=trials)) != scatters(snapshot)


def test_the_best_trial_is_marked_once_in_each_panel():
    snapshot = studies.seed_snapshot()
    assert snapshot.best
    for scatter in scatters(snapshot):
        best = [mark.trial for mark in scatter.marks if mark.best]
        assert best == [snapshot.best.number] * (scatter.name in snapshot.best.params)


@settings(max_examples=150, deadline=None)
@given(snapshots)
def test_every_ended_trial_with_a_value_is_a_mark_inside_its_panel(snapshot):
    for scatter in scatters(snapshot):
        marks = {mark.trial: mark for mark in scatter.marks}
        assert len(marks) == len(scatter.marks)
        for trial in snapshot.trials.values():
            value = trial.params.get(scatter.name)
            drawable = scatter.name in trial.params and (
                scatter.x.scale == "categorical" or (isinstance(value, int | float) and value == value)
            )
            if trial.running and trial.value is None:
                drawable = False
            assert (trial.number in marks) == drawable
        for mark in scatter.marks:
            trial = snapshot.trials[mark.trial]
            assert scatter.x.low <= mark.x <= scatter.x.high
            assert (mark.y is None) == (trial.value is None)
            assert mark.y is None or scatter.y.low <= mark.y <= scatter.y.high
            if trial.outcome is Outcome.FINISHED:
                assert mark.kind == "finished"
        hidden = sum(
            t.running and t.value is None and scatter.name in t.params for t in snapshot.trials.values()
        )
        assert len(scatter.marks) + scatter.absent + hidden == len(snapshot.trials)
