"""`tuner confirm` and `tuner ablate` from end to end: real trials, a study of their own, marks in the first."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.sabotage import study, tuner

TRAIN = """
import random

def train(*, x, width=8, seed=0):
    return (x - 0.3) ** 2 + 0.1 / width + random.Random(seed).gauss(0, 0.01)
"""
SEARCH = """
name = "noisy"
target = "noisy:train"
trials = 8
parallel = 2
[space]
x = { float = [0, 1] }
width = { int = [1, 64], log = true }
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("confirm")
    (here / "noisy.py").write_text(TRAIN)
    (here / "tuner.toml").write_text(SEARCH)
    run = tuner(here, "sweep", "--headless")
    assert run.returncode == 0, run.stderr
    return here


def test_a_confirmation_runs_the_best_with_new_seeds_and_marks_them(swept: Path) -> None:
    run = tuner(swept, "confirm", "noisy-1", "--top", "2", "--seeds", "3", "--headless")
    assert run.returncode == 0, run.stderr
    first, again = study(swept, "noisy-1").snapshot(), study(swept, "noisy-1-confirm-1").snapshot()
    ranked = sorted(first.trials.values(), key=first.rank)
    chosen = [ranked[0], ranked[1], ranked[3]]  # the best two, and the lower of the two in the middle
    assert [again.trials[n].params for n in range(9)] == [t.params for t in chosen] * 3
    seeds = {t.seed for t in again.trials.values()}
    assert len(seeds) == 9 and not seeds & {t.seed for t in first.trials.values()}
    for at, trial in enumerate(chosen):
        assert first.trials[trial.number].confirmed == tuple(again.trials[n].value for n in range(at, 9, 3))
        assert first.trials[trial.number].confirming_runs == 3
    assert "Confirmation" in run.stdout and "corrected for having been chosen" in run.stdout
    report = tuner(swept, "report", "noisy-1").stdout
    assert "confirmed" in report and "(3 runs)" in report


def test_a_search_that_gives_the_seed_itself_can_not_be_confirmed(swept: Path) -> None:
    tuner(swept, "sweep", "--headless", "--set", "fixed.seed=3", "--name", "seeded", "--trials", "1")
    refused = tuner(swept, "confirm", "seeded-1", "--headless")
    assert refused.returncode == 2 and "`seed` is one of its parameters" in refused.stderr


def test_an_ablation_runs_the_path_to_the_best_trial(swept: Path) -> None:
    first = study(swept, "noisy-1").snapshot()
    assert first.best is not None
    worst = max(first.trials.values(), key=first.rank)
    run = tuner(swept, "ablate", "noisy-1", "--from", str(worst.number), "--seeds", "2", "--headless")
    assert run.returncode == 0, run.stderr
    again = study(swept, "noisy-1-ablate-1").snapshot()
    assert again.trials[0].params == worst.params and again.trials[2].params == first.best.params
    assert [again.trials[n].params for n in range(3, 6)] == [again.trials[n].params for n in range(3)]
    assert "Ablation" in run.stdout and f"trial {worst.number}: " in run.stdout
    refused = tuner(swept, "ablate", "noisy-1", "--headless")
    assert (
        refused.returncode == 2
        and "no default of x is known; begin at a trial: --from TRIAL" in refused.stderr
    )
