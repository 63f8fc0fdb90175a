"""The verification ladder, every check of it: rung 7 as a complete grid of kinds and methods.

What the checks are made of is tested here too: a ladder that could not fail would prove nothing.
"""

import math

import pytest
import torch

from meta.hypers import STARTS
from meta.ladder import RUNGS, climb, slopes
from meta.ladder.cases import DYNAMICS, Case, convex, kinds, tanh_network
from meta.ladder.check import above, at_most, refusal, relative_error, within
from meta.ladder.differences import STEPS, central, order
from meta.methods.choice import METHODS
from meta.methods.tape import Tape
from meta.verify import WHAT

pytestmark = pytest.mark.xdist_group("ladder")  # each rung is climbed once, by one process
CPU = torch.device("cpu")

KINDS = [
    "log_lr",
    "logit_momentum",
    "log_init_scale",
    "init_bins",
    "init",
    "log_l2 by one",
    "log_l2 by layer",
    "log_l2 by unit",
    "log_l2 by weight",
    "data",
    "labels",
    "generator",
    "other",
]
STRUCTURAL = KINDS[:5]  # what no minimum depends on
WHOLE = ["unroll", "tape", "checkpoint", "replay", "reversible", "forward", "truncated, K=T", "evolution"]


@pytest.fixture(scope="module")
def climbed():
    """rung -> its checks; a rung is climbed when it is first asked for."""
    done = {}

    def checks(rung):
        if rung not in done:
            done[rung] = list(climb(CPU, [rung]))
        return done[rung]

    return checks


@pytest.mark.parametrize(
    ("rung", "at_least"), [(1, 10), (2, 10), (3, 8), (4, 16), (5, 4), (6, 4), (8, 15), (10, 1)]
)
def test_every_check_of_a_rung_holds(climbed, rung, at_least):
    checks = climbed(rung)
    assert {check.rung for check in checks} == {rung}
    assert len(checks) >= at_least
    assert [check for check in checks if check.ok is False] == []
    assert max(len(check.what) for check in checks) <= WHAT  # or its line would be longer than 80 columns
    if rung != 10:
        assert [check for check in checks if check.ok is None] == []


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", WHOLE)
def test_error_falls_as_h_squared(climbed, method, kind, dynamics):
    (check,) = [check for check in climbed(7) if check.what == f"{method} × {kind}, {dynamics}"]
    assert check.ok, check
    assert check.figure == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_gradient_is_that_of_the_last_steps(climbed, kind, dynamics):
    (check,) = [check for check in climbed(7) if check.what == f"truncated, K<T × {kind}, {dynamics}"]
    assert check.ok, check
    assert (check.figure is None) == (kind in STARTS)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind != "log_l2 by layer"]
)  # it has but one layer
def test_implicit_answers_for_what_a_minimum_depends_on_and_refuses_the_rest(climbed, kind):
    (check,) = [check for check in climbed(7) if check.what == f"implicit × {kind}"]
    assert check.ok, check
    assert (check.bound == "refused") == (kind in STRUCTURAL)
    if kind in STRUCTURAL:
        assert kind in check.note and "does not depend" in check.note


def test_the_grid_has_nothing_else(climbed):
    whole = len(WHOLE) * len(KINDS) * len(DYNAMICS)
    truncated = len(KINDS) * len(DYNAMICS)
    implicit = len(kinds(convex(CPU), CPU))
    assert len(climbed(7)) == whole + truncated + implicit
    assert list(kinds(tanh_network(CPU), CPU)) == KINDS


def test_no_registered_method_is_left_out(climbed):
    held = {check.what.split(" × ")[0].split(",")[0] for check in climbed(7)}
    assert held == set(METHODS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rung", RUNGS)
def test_every_rung_holds_on_a_gpu(rung):
    assert [check for check in climb(torch.device("cuda"), [rung]) if not check.ok] == []


# ── what the checks are made of ──


def test_what_is_not_a_number_never_holds():
    for check in (at_most, above):
        assert not check(1, "", math.nan, 1.0).ok
    assert not within(1, "", math.nan, 2, 0.2).ok


def test_bounds_are_kept_from_both_sides():
    assert at_most(1, "", 1.0, 1.0).ok and not at_most(1, "", 1.1, 1.0).ok
    assert above(1, "", 1.1, 1.0).ok and not above(1, "", 1.0, 1.0).ok
    assert within(1, "", 2.1, 2, 0.2).ok and not within(1, "", 1.7, 2, 0.2).ok


def test_a_refusal_must_be_the_one_expected():
    assert refusal(7, "", "can't", expected=True).ok
    assert not refusal(7, "", "can't", expected=False).ok
    assert not refusal(7, "", None, expected=True).ok


def test_a_gradient_that_lacks_a_part_is_infinitely_wrong():
    one = torch.ones(3)
    assert relative_error({"data": one}, {"data": one}) == 0
    assert relative_error({}, {"data": one}) == math.inf
    assert relative_error({"data": one, "log_lr": 1.5 * one}, {"data": one, "log_lr": one}) == pytest.approx(
        0.5
    )


def test_a_right_gradient_has_slope_two_and_a_wrong_one_slope_zero():
    x = {"x": torch.tensor([0.7], dtype=torch.float64)}
    v = {"x": torch.ones(1, dtype=torch.float64)}
    found = central(lambda parts: parts["x"].sin().item(), x, v)
    assert order([each - math.cos(0.7) for each in found]) == pytest.approx(2, abs=0.01)
    assert order([each - 1.01 * math.cos(0.7) for each in found]) == pytest.approx(0, abs=0.1)


def test_an_error_of_exactly_zero_is_no_slope():
    assert math.isnan(order([0.0] * len(STEPS)))


def test_an_unexpected_refusal_fails_the_slope():
    class Refusing(Tape):
        def refuses(self, inner, parts):
            return "not today"

    problem = tanh_network(CPU)
    case = Case(problem, kinds(problem, CPU)["log_lr"], CPU)
    check = slopes.slope("refusing × log_lr", case, Refusing())
    assert check.ok is False and check.note == "not today"
