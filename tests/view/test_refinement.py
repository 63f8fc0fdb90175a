"""What a refinement gained: of the best trial, in sentences, and nowhere else."""

from dataclasses import replace

from support import studies

from tuner_tui.analysis.refinement import refinement
from tuner_tui.view.findings import REFINEMENT, all_findings
from tuner_tui.view.refinement import sentences

OUTER = {"held/before": 0.16, "held/after": 0.12, "held/drop": 0.25, "held/se": 0.02}
TEST = {"test/before": 0.2, "test/after": 0.21, "test/drop": -0.05, "test/se": 0.1}


def of(*latest, fixed=None):
    """A study whose trials measured these, each better than the last."""
    made = [studies.Made({"lr": 1e-3}, (1 / (n + 1),)) for n in range(len(latest))]
    snapshot = studies.study_of(studies.SMALL_SPACE, made)
    trials = {n: replace(trial, latest=latest[n]) for n, trial in snapshot.trials.items()}
    fixed = {"refines": "plain-1 trial 7"} if fixed is None else fixed
    return replace(snapshot, trials=trials, search=replace(snapshot.search, fixed=fixed))


def test_the_best_trial_tells_what_it_gained():
    found = refinement(of({}, OUTER | TEST))
    assert found is not None and found.trial == 1
    assert sentences(found) == (
        "trial 1 refines plain-1 trial 7: on seeds that were not learned on its loss is 0.12 instead of 0.16 "
        "(−25 ± 2 %)",
        "its test loss is 0.21 instead of 0.2 (+5 ± 10 %)",
    )
    assert "Refinement" in all_findings(of(OUTER), 80, color=False)


def test_a_problem_without_test_data_tells_its_loss_alone():
    assert len(sentences(refinement(of(OUTER)))) == 1


def test_other_studies_have_no_such_finding():
    assert REFINEMENT.find(of(OUTER, fixed={})) is None
    assert REFINEMENT.find(of({"held/before": 1.0})) is None
    assert REFINEMENT.find(of(OUTER | {"held/after": float("nan")})) is None
