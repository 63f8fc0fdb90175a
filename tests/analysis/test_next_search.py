"""The next search: what matters is narrowed, what matters little is fixed, crash regions are kept or cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import simulated, studies

from tuner_tui.analysis.effect import between, mean_ranks
from tuner_tui.analysis.importance import most_share
from tuner_tui.analysis.narrowing import Crashes, Fixed
from tuner_tui.analysis.next_search import Why, proposal
from tuner_tui.search.file import parse_search
from tuner_tui.search.space import SCIENTIFIC, Choice, Float, Hyperparameter, Int, Space
from tuner_tui.study.outcomes import Reason
from tuner_tui.view.next_search import difference, heading, written

SPACE = Space(
    (
        Hyperparameter("lr", Float(1e-5, 1e-1, log=True)),
        Hyperparameter("width", Int(1, 100)),
        Hyperparameter("step", Float(0.0, 1.0, step=0.25)),
        Hyperparameter("kind", Choice(("good", "bad", "worse"))),
        Hyperparameter("idle", Choice((True, False))),
        Hyperparameter("depth", Int(1, 8), when=(("kind", ("bad", "worse")),)),
        Hyperparameter("part", Float(0.0, 1.0), when=(("kind", ("good", "bad")),)),
    )
)


def planted(trials: int = 300, seed: int = 0, space: Space = SPACE):
    """The optimum is lr = 1e-3 and kind "good"; models wider than 60 rarely fit; nothing else matters."""
    rng = np.random.default_rng(seed)
    draw = studies.random.Random(seed)
    made = []
    for _ in range(trials):
        params = studies.draw_params(space, draw)
        loss = abs(np.log10(params["lr"]) + 3) + 2.0 * (params["kind"] != "good") + rng.normal(3.0, 0.1)
        if params["width"] > 60 and rng.random() < 0.8:
            made.append(studies.Made(params, (), Reason.OUT_OF_MEMORY))
        else:
            made.append(studies.Made(params, (float(loss),)))
    return studies.study_of(space, made)


def steps_of(found):
    return {step.hyperparameter.name: step for step in found.steps}


def test_what_matters_is_narrowed_and_what_does_not_is_fixed():
    snapshot = planted()
    found = proposal(snapshot)
    steps = steps_of(found)
    lr = found.search.space["lr"].distribution
    assert 1e-5 < lr.low < 1e-3 < lr.high < 1e-1 and lr.log
    best = sorted((t for t in snapshot.trials.values() if t.value is not None), key=lambda t: t.value)[
        : found.best
    ]
    values = [trial.params["lr"] for trial in best]
    assert lr.low < min(values) == steps["lr"].low and max(values) == steps["lr"].high < lr.high
    assert steps["kind"].why is Why.EFFECT and found.search.fixed["kind"] == "good"
    for name in ("step", "idle"):
        assert steps[name].now == Fixed(best[0].params[name]) and steps[name].share.at_most <= 0.1
    assert "depth" not in found.search.space.names and steps["depth"].why is Why.GONE  # only "good" is left
    assert found.search.space["part"].when == (("kind", ("good",)),)
    assert found.search.seed == snapshot.search.seed + 1 and found.search.trials == snapshot.search.trials


def test_crash_regions_are_kept_or_cut_by_choice():
    snapshot = planted()
    kept, cut = (steps_of(proposal(snapshot, crashes=c, negligible=0.0))["width"] for c in Crashes)
    assert kept.now == Int(1, 100) and kept.crashes[0].left
    assert cut.now.low == 1 and 55 <= cut.now.high <= 65 and not cut.crashes[0].left
    inside = [t for t in snapshot.trials.values() if t.params["width"] > cut.now.high]
    assert cut.crashes[0].bias.region.failed == sum(t.failed for t in inside)
    fixed = steps_of(proposal(snapshot, crashes=Crashes.CUT))["width"]
    assert fixed.now.value <= cut.now.high


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("crashes", list(Crashes))
def test_every_proposal_is_a_search_file_inside_of_the_old_space(seed, crashes):
    """Of simulated sweeps with and without faults: read back, it is the search; its comments change nothing."""
    snapshot = simulated.sweep(seed, ["", *simulated.FAULTS][seed % 9])
    try:
        found = proposal(snapshot, crashes=crashes, negligible=0.3)
    except ValueError as refused:
        assert str(refused).startswith(("Too few", "None of"))
        return
    text = written(found, snapshot)
    back = parse_search(text, "/a/search.toml")
    assert back.space == found.search.space and dict(back.fixed) == dict(found.search.fixed)
    assert max(map(len, text.splitlines())) <= 120
    old = {h.name: h.distribution for h in snapshot.space}
    for h in found.search.space:
        if isinstance(h.distribution, Choice):
            assert set(h.distribution.options) <= set(old[h.name].options)
        else:
            assert old[h.name].low <= h.distribution.low < h.distribution.high <= old[h.name].high
    changed = {step.hyperparameter.name for step in found.steps if step.changed}
    assert all(h.distribution == old[h.name] for h in found.search.space if h.name not in changed)
    assert len([line for line in difference(found, 100) if " -> " in line]) >= len(changed)


def test_few_trials_prove_nothing_negligible():
    """At 40 trials nothing is known to be without effect, and the reason says how much it may explain."""
    found = proposal(planted(40))
    assert not [step for step in found.steps if step.why is Why.NEGLIGIBLE]
    assert "may explain up to" in " ".join(difference(found, 1000))


def test_the_question_of_a_search_is_not_narrowed_away():
    asked = Space(tuple(replace(h, role=SCIENTIFIC) if h.name == "kind" else h for h in SPACE))
    assert proposal(planted(space=asked)).search.space["kind"].distribution == SPACE["kind"].distribution


def test_a_sampler_that_learns_gets_the_range_of_the_best_and_nothing_fixed():
    snapshot = planted()
    snapshot = replace(snapshot, search=replace(snapshot.search, sampler="tpe"))
    found = proposal(snapshot)
    assert not [step for step in found.steps if step.why is Why.NEGLIGIBLE]
    assert found.search.space["lr"].distribution.low > 1e-5
    assert "Nothing is fixed" in heading(found, "s", "loss")[-1]


def test_the_bound_of_a_share_holds():
    """Planted slopes that explain 0 to 25 % of the ranks: at most 5 % of the bounds are too small, but for chance."""
    rng = np.random.default_rng(7)

    def share(n: int, slope: float):
        x = rng.random(n)
        groups = (np.argsort(np.argsort(x)) * 8 // n).tolist()
        return between(mean_ranks((slope * x + rng.normal(0, 0.5, n)).tolist()), groups)

    for slope in (0.0, 0.5, 1.0):
        true, _ = share(40_000, slope)
        for n in (40, 200):
            missed = sum(true > most_share(*share(n, slope), n) for _ in range(150))
            assert missed <= 17  # binomial: more than 17 of 150 has a chance of 1 in 1,000 at 5 %
