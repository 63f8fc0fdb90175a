"""What the rules make of a loss curve: patience, medians that forgive one bad number, and sentences."""

import io
import math
from dataclasses import FrozenInstanceError, asdict
from statistics import median

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import Config
from models.train.stopping import Divergence, EarlyStop, Plateau, Rules, diverged

UNIFORM = 42.7


def of(**hypers) -> Config:
    return Config.of({name.replace("__", "."): value for name, value in hypers.items()})


def followed(config: Config, losses: list[float], every: int = 100) -> list[Rules]:
    """The rules after each of the losses, measured `every` steps."""
    seen = [Rules()]
    for i, loss in enumerate(losses):
        seen.append(seen[-1].step(loss, (i + 1) * every, config))
    return seen[1:]


def scales(config: Config, losses: list[float]) -> list[float]:
    return [rules.plateau.scale for rules in followed(config, losses)]


def test_plateau_waits_for_more_than_its_patience_and_then_as_long_again():
    config = of(schedule__kind="plateau", schedule__patience=300, schedule__decay=0.5, stop__window=1)
    assert scales(config, [5.0] * 9) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert scales(config, [5, 5, 5, 5, 4, 4, 4, 4, 4]) == [1, 1, 1, 1, 1, 1, 1, 1, 0.5]


def test_plateau_sees_medians():
    """Single lucky losses are no improvement, single bad ones no reason to wait."""
    config = of(schedule__kind="plateau", schedule__patience=300, stop__window=3)
    assert scales(config, [5, 5, 5, 1, 5, 5, 5])[-1] == pytest.approx(0.1)
    falling = [9 - 0.1 * i for i in range(30)]
    falling[10] = falling[20] = 1000
    assert set(scales(config, falling)) == {1}


def test_plateau_decides_nothing_before_its_window_is_full():
    config = of(schedule__kind="plateau", schedule__patience=1, stop__window=5)
    assert scales(config, [1, 9, 9, 9, 9, 8]) == [1, 1, 1, 1, 1, pytest.approx(0.1)]


def stopped_at(config: Config, losses: list[float]) -> int | None:
    for i, rules in enumerate(followed(config, losses)):
        if rules.early.enough(config.stop):
            return i
    return None


def test_early_stop_counts_measurements_without_a_better_median():
    config = of(stop__patience=4, stop__window=3)
    assert (
        stopped_at(config, [9, 8, 7] + [7] * 9) == 3 + 1 + 3
    )  # the median falls once more, then 4 are stale
    assert stopped_at(config, [9 - 0.01 * i for i in range(100)]) is None
    assert stopped_at(of(stop__window=3), [9] * 1000) is None  # patience 0: never


def test_a_lucky_first_loss_stops_nothing():
    config = of(stop__patience=5, stop__window=5)
    assert stopped_at(config, [0.1] + [9 - 0.1 * i for i in range(60)]) is None


def test_min_delta_is_what_counts_as_better():
    creeping = [9 - 0.01 * i for i in range(30)]
    assert stopped_at(of(stop__patience=10, stop__window=1, stop__min_delta=0.5), creeping) == 10
    # Measured from the best that counted, not from the last one: slow progress adds up.
    assert stopped_at(of(stop__patience=10, stop__window=1, stop__min_delta=0.05), creeping) is None


def test_early_stop_says_why():
    config = of(stop__patience=3, stop__window=2, stop__min_delta=0.1)
    [*_, last] = followed(config, [9, 8, 12.34, 8.5, 8.5])
    assert last.early.enough(config.stop) == (
        "loss/valid has not improved by more than 0.1 in 3 measurements: the median of 2 was 8.5 at step 200 "
        "and is 8.5"
    )


def sentence(config: Config, losses: list[float]) -> str | None:
    [*_, rules] = followed(config, losses)
    return diverged({"loss/valid": losses[-1]}, 100 * len(losses), rules.divergence, UNIFORM)


@pytest.mark.parametrize(
    ("bad", "said"), [(math.nan, "nan"), (math.inf, "infinite"), (-math.inf, "infinite")], ids=str
)
def test_what_is_not_finite_has_diverged_at_once(bad, said):
    measured = {"loss/train": 3.0, "loss/valid": bad}
    assert diverged(measured, 120, Divergence(), UNIFORM) == f"loss/valid became {said} at step 120"
    assert diverged({"loss/train": bad}, 1, Divergence(), UNIFORM) is not None


def test_worse_than_uniform_after_the_warm_up_has_diverged():
    config = of(stop__warmup=300, stop__window=10)
    assert sentence(config, [99.0] * 5) is None  # the warm-up's do not count, and two are too few
    assert sentence(config, [51.2] * 6) == (
        "loss/valid is 51.2 at step 600 (the median of 3), worse than a uniform answer (42.7)"
    )
    assert sentence(config, [99.0] * 4 + [30.0] * 4) is None


def test_one_bad_measurement_ends_nothing():
    config = of(stop__warmup=300, stop__window=3)
    for i in range(4, 9):
        losses = [30.0] * 9
        losses[i] = 1e9
        assert sentence(config, losses) is None
    assert sentence(config, [30.0] * 7 + [1e9] * 2) is not None  # two of three are


def test_not_even_a_window_of_one_trusts_a_single_measurement():
    config = of(stop__warmup=300, stop__window=1)
    assert sentence(config, [30.0] * 5 + [50.0]) is None
    assert sentence(config, [30.0] * 5 + [50.0] * 2) is not None


losses = st.lists(st.one_of(st.floats(0, 100), st.just(math.nan), st.just(math.inf)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(losses=losses, window=st.integers(1, 12))
def test_the_best_is_the_lowest_full_median_of_any_curve(losses, window):
    config = of(schedule__kind="plateau", stop__window=window)
    worst = [math.inf if math.isnan(loss) else loss for loss in losses]
    medians = [median(worst[i - window : i]) for i in range(window, len(worst) + 1)]
    [*_, last] = followed(config, losses)
    assert last.plateau.best == last.early.best == min(medians, default=math.inf)


@settings(max_examples=60, deadline=None)
@given(losses=losses, cut=st.integers(0, 40), patience=st.integers(1, 500), window=st.integers(1, 12))
def test_the_rules_go_on_from_a_checkpoint_as_if_nothing_had_been(losses, cut, patience, window):
    config = of(schedule__kind="plateau", schedule__patience=patience, stop__window=window, stop__patience=5)
    straight = followed(config, losses)
    rules = Rules()
    for i, loss in enumerate(losses):
        if i == cut:
            file = io.BytesIO()
            torch.save(asdict(rules), file)
            file.seek(0)
            rules = Rules.of(torch.load(file, weights_only=True))
        rules = rules.step(loss, (i + 1) * 100, config)
    assert repr(rules) == repr(straight[-1])  # repr: nan is not equal to itself


def test_the_rules_are_frozen_and_the_window_may_change_on_the_way():
    with pytest.raises(FrozenInstanceError):
        Plateau().scale = 2.0  # type: ignore[misc]
    wide, narrow = of(stop__window=5).stop, of(stop__window=2).stop
    rule = EarlyStop()
    for at in range(5):
        rule = rule.step(float(at), at, wide)
    assert rule.step(9.0, 5, narrow).recent == (4.0, 9.0)
