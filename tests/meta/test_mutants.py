"""Mistakes made on purpose: each is caught by the check that is responsible for it, and by no other's merit."""

from unittest.mock import patch

import pytest
import torch

from meta.dynamics import HeavyBall
from meta.ladder.mutants import MUTANTS, Mutant, caught

pytestmark = pytest.mark.xdist_group("ladder")
CPU = torch.device("cpu")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(mutant):
    check = caught(mutant, CPU)
    assert check.ok, check


def test_a_change_that_changes_nothing_is_not_called_caught():
    tape = next(mutant.responsible for mutant in MUTANTS if mutant.name.startswith("dv +="))
    harmless = Mutant("harmless", lambda: patch.object(HeavyBall, "pull", HeavyBall.pull), tape)
    assert not caught(harmless, CPU).ok


def test_a_check_that_fails_by_itself_catches_nothing():
    broken = next(mutant for mutant in MUTANTS if mutant.name.startswith("dv +="))
    with broken.change():
        again = caught(broken, CPU)
    assert not again.ok
    assert "fails without it too" in again.note


def test_every_mutant_is_gone_afterwards():
    before = HeavyBall.pull
    for mutant in MUTANTS:
        with mutant.change():
            pass
    assert HeavyBall.pull is before
