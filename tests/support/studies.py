"""Invented studies, built through events and the fold, for every test that needs something to look at.

They are deterministic: golden files and snapshots are compared with them. `seed_snapshot` has the shape of
the picture this project began with: thirteen hyperparameters, about a hundred reliable results, a few
unfinished ones and more trials that never started than ones that did.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tuner_tui.search.search import RATE_FINDER, Search
from tuner_tui.search.space import Choice, Float, Hyperparameter, Int, Space
from tuner_tui.study.events import Event, StudyClosed, StudyOpened, TrialEnded, TrialMeasured, TrialStarted
from tuner_tui.study.outcomes import Outcome, Reason, judge
from tuner_tui.study.snapshot import Snapshot, fold_all

START = 1_493_640_000.0  # 2017-05-01, the day of the picture
OBJECTIVE = "loss/valid"

MESSAGES = {
    Reason.EXCEPTION: "RuntimeError: shape mismatch in convnet",
    Reason.OUT_OF_MEMORY: "out of memory: 512 filters at batch size 30",
    Reason.SIGNAL: "killed by SIGSEGV",
    Reason.EXIT: "left by itself with exit code 3",
    Reason.TIMEOUT: "ran longer than 3600 s",
    Reason.SILENT: "no measurement for 600 s",
    Reason.DIVERGED: "loss became nan",
    Reason.PRUNED: "worse than the median at step 2",
    Reason.STOPPED: "stopped by hand",
    Reason.INTERRUPTED: "the engine went away",
}

SEED_SPACE = Space(
    (
        Hyperparameter("batch_size", Int(5, 30), "optimizer"),
        Hyperparameter("optimize_given", Choice((False, True)), "optimizer"),
        Hyperparameter("convnet.depth", Int(64, 512, log=True), "convnet"),
        Hyperparameter(
            "convnet.kind", Choice(("straight", "straight_dilated", "straight_residual")), "convnet"
        ),
        Hyperparameter("convnet.profundity", Int(4, 48), "convnet"),
        Hyperparameter("convnet.radius", Int(2, 5), "convnet"),
        Hyperparameter("merger.kind", Choice(("attention", "conv")), "merger"),
        Hyperparameter("merger.depth", Int(4, 64), "merger", when=(("merger.kind", ("conv",)),)),
        Hyperparameter("merger.layers", Int(1, 8), "merger"),
        Hyperparameter("reader.bidir", Choice((False, True)), "reader"),
        Hyperparameter("reader.normalize", Choice((False, True)), "reader"),
        Hyperparameter("reader.radius", Int(4, 32), "reader"),
        Hyperparameter("reader.size", Int(32, 256, log=True), "reader"),
    )
)

SMALL_SPACE = Space(
    (
        Hyperparameter("lr", Float(1e-5, 1e-1, log=True), "optimizer"),
        Hyperparameter("momentum", Float(0.0, 0.99), "optimizer"),
        Hyperparameter("width", Int(16, 256), "model"),
        Hyperparameter("activation", Choice(("relu", "gelu", "tanh")), "model"),
        Hyperparameter("dropout", Float(0.0, 0.5), "model", when=(("activation", ("relu", "gelu")),)),
    )
)


@dataclass(frozen=True)
class Made:
    """One invented trial: what it was given, the losses it reported, and how it ended."""

    params: dict[str, Any]
    losses: Sequence[float] = ()
    reason: Reason | None = None  # None: it ended in good order
    running: bool = False  # it has not ended at all
    message: str = ""
    extra: dict[str, float] = field(default_factory=dict)  # other measurements, beside each loss


def events_of(
    space: Space,
    made: Sequence[Made],
    *,
    name: str = "invented",
    direction: str = "minimize",
    objective: str = OBJECTIVE,
    planned: int | None = None,
    closed: bool = True,
) -> list[Event]:
    """The journal of a study in which these trials ran one after another."""
    search = Search(
        name=name, target="models.train:train", objective=objective, space=space, direction=direction,
        trials=len(made) if planned is None else planned,
    )  # fmt: skip
    events: list[Event] = [
        StudyOpened(
            at=START, study=name, search=search, pid=4242, host="gpu-box", git_commit="0" * 40,
        )
    ]  # fmt: skip
    at = START
    for number, trial in enumerate(made):
        at += 1.0
        events.append(
            TrialStarted(at=at, trial=number, params=trial.params, seed=number, device="cpu", pid=5000)
        )
        for step, loss in enumerate(trial.losses):
            at += 10.0
            events.append(TrialMeasured(at, number, step, {objective: loss} | trial.extra))
        at += 1.0
        if trial.running:
            continue
        before_nan = list(itertools.takewhile(lambda loss: not math.isnan(loss), trial.losses))
        reason = trial.reason
        if reason is None and len(before_nan) < len(trial.losses):
            reason = Reason.DIVERGED
        outcome = judge(reason, any(map(math.isfinite, before_nan)))
        if outcome is Outcome.NO_START and reason is None:
            reason = Reason.EXIT
        message = trial.message or (MESSAGES[reason] if reason else "")
        events.append(TrialEnded(at, number, outcome, reason, message, exit_code=1 if reason else 0))
    if closed and not any(trial.running for trial in made):
        events.append(StudyClosed(at + 1.0, "completed"))
    return events


def study_of(space: Space, made: Sequence[Made], **kwargs: Any) -> Snapshot:
    return fold_all(Snapshot(study=str(kwargs.get("name", "invented"))), events_of(space, made, **kwargs))


def draw_params(space: Space, rng: random.Random) -> dict[str, Any]:
    """One random point of the space, without optuna: a test's study needs no sampler."""
    params: dict[str, Any] = {}
    for hyperparameter in space:
        if not hyperparameter.applies(params):
            continue
        match hyperparameter.distribution:
            case Choice(options):
                value: Any = rng.choice(options)
            case Int(low, high, True):
                value = min(high, round(math.exp(rng.uniform(math.log(low), math.log(high)))))
            case Int(low, high, False, step):
                value = rng.randrange(low, high + 1, step)
            case Float(low, high, True):
                value = math.exp(rng.uniform(math.log(low), math.log(high)))
            case Float(low, high):
                value = rng.uniform(low, high)
        params[hyperparameter.name] = value
    return params


# --- the shape of the first picture


def seed_events(running: int = 0) -> list[Event]:
    """100 finished, 10 unfinished, 130 never started, and `running` more that go on."""
    rng = random.Random(20170501)
    ends = ["finished"] * 100 + ["unfinished"] * 10 + ["no_start"] * 130
    rng.shuffle(ends)
    ahead = iter((0.42, 0.73, 0.93))  # "three runs are ahead of the pack"
    at_once = (Reason.EXCEPTION, Reason.OUT_OF_MEMORY, Reason.SIGNAL, Reason.EXIT, Reason.EXCEPTION)
    later = (Reason.TIMEOUT, Reason.SIGNAL, Reason.STOPPED, Reason.EXCEPTION)
    made: list[Made] = []
    for end in ends:
        params = draw_params(SEED_SPACE, rng)
        last = round(math.exp(rng.triangular(math.log(1.22), math.log(3.7), math.log(1.9))), 4)
        if end == "no_start":
            made.append(Made(params, reason=rng.choice(at_once)))
        elif end == "unfinished":
            made.append(Made(params, (4.2, last), rng.choice(later)))
        else:
            last = next(ahead, last) if rng.random() < 0.1 else last
            made.append(Made(params, (4.2, round((4.2 + last) / 2, 4), last)))
    for _ in range(running):
        made.append(Made(draw_params(SEED_SPACE, rng), (4.2, 3.1), running=True))
    return events_of(SEED_SPACE, made, name="caption-emd")


def seed_snapshot(running: int = 0) -> Snapshot:
    return fold_all(Snapshot(study="caption-emd"), seed_events(running))


# --- a small one with one of everything


def small_events() -> list[Event]:
    """Two dozen trials on five hyperparameters: every outcome, one that diverged, two that still run."""
    rng = random.Random(7)
    made = [
        Made(draw_params(SMALL_SPACE, rng), (2.0, 1.0, round(math.exp(rng.uniform(-1.5, 0.5)), 4)))
        for _ in range(15)
    ]
    made += [
        Made(draw_params(SMALL_SPACE, rng), (2.0, 0.9), Reason.EXCEPTION),
        Made(draw_params(SMALL_SPACE, rng), (2.0, 1.4), Reason.TIMEOUT),
        Made(draw_params(SMALL_SPACE, rng), (2.0, 1.7, math.nan), Reason.DIVERGED),
        Made(draw_params(SMALL_SPACE, rng), (), Reason.OUT_OF_MEMORY),
        Made(draw_params(SMALL_SPACE, rng), (), Reason.EXIT),
        Made(draw_params(SMALL_SPACE, rng), (math.nan,), Reason.DIVERGED),
        Made(draw_params(SMALL_SPACE, rng), (1.9, 0.8), running=True),
        Made(draw_params(SMALL_SPACE, rng), (2.1,), running=True),
    ]
    return events_of(SMALL_SPACE, made, name="small", planned=30)


def small_snapshot() -> Snapshot:
    return fold_all(Snapshot(study="small"), small_events())


# --- a learning-rate finder


def finder_loss(rate: float) -> float:
    """Flat, steepest near 3e-3, lowest near 0.02, diverging from there."""
    return 2.0 - 1.6 / (1.0 + (3e-3 / rate) ** 1.5) + (rate / 8e-2) ** 3


def finder_events(readings: int = 120, noise: float = 0.05, suggested: float | None = 3.2e-3) -> list[Event]:
    """The journal of a finder that rose from 1e-5 to 3."""
    rng = random.Random(9)
    search = Search(
        name="small-lr", target="models.find:find", objective="loss", space=Space(), trials=1,
        finder="models.find:find", kind=RATE_FINDER, rate="lr",
    )  # fmt: skip
    events: list[Event] = [
        StudyOpened(
            at=START, study="small-lr", search=search, pid=4242, host="gpu-box",
        ),
        TrialStarted(at=START + 1, trial=0, params={}, seed=0, pid=5000),
    ]  # fmt: skip
    at = START + 1
    for step in range(readings):
        at += 0.1
        rate = 1e-5 * 3e5 ** (step / (readings - 1))
        loss = finder_loss(rate) * math.exp(rng.gauss(0.0, noise))
        events.append(TrialMeasured(at, 0, step, {"lr": rate, "loss": loss}))
    if suggested:
        events.append(TrialMeasured(at + 0.1, 0, readings, {"lr/suggested": suggested}))
    return [*events, TrialEnded(at + 0.2, 0, Outcome.FINISHED), StudyClosed(at + 0.3, "completed")]


# --- odd ones: each is a way in which a chart could fall over


def empty_snapshot() -> Snapshot:
    """Opened, nothing tried yet."""
    return study_of(SMALL_SPACE, (), name="empty", planned=20, closed=False)


def one_trial_snapshot() -> Snapshot:
    return study_of(SMALL_SPACE, (Made(draw_params(SMALL_SPACE, random.Random(1)), (0.7,)),), name="one")


def never_started_snapshot(trials: int = 40) -> Snapshot:
    """Every trial died before its first loss: there is no y axis to speak of."""
    rng = random.Random(3)
    made = [Made(draw_params(SMALL_SPACE, rng), (), Reason.EXCEPTION) for _ in range(trials)]
    return study_of(SMALL_SPACE, made, name="never-started")


def equal_snapshot() -> Snapshot:
    """Every loss is the same number."""
    rng = random.Random(4)
    return study_of(
        SMALL_SPACE, [Made(draw_params(SMALL_SPACE, rng), (2.5,)) for _ in range(12)], name="equal"
    )


def losses_snapshot(
    losses: Sequence[float], *, name: str = "losses", direction: str = "minimize"
) -> Snapshot:
    """One trial for each loss; one that is not finite follows a finite 1.0, as a diverging run does."""
    rng = random.Random(5)
    made = []
    for loss in losses:
        params = draw_params(SMALL_SPACE, rng)
        made.append(
            Made(params, (loss,)) if math.isfinite(loss) else Made(params, (1.0, loss), Reason.DIVERGED)
        )
    return study_of(SMALL_SPACE, made, name=name, direction=direction)


def not_finite_snapshot() -> Snapshot:
    return losses_snapshot([0.5, 0.8, math.nan, math.inf, -math.inf, 1.5, 3.0], name="not-finite")


def few_negative_snapshot() -> Snapshot:
    return losses_snapshot([0.5, 0.8, 0.0, 1.5, 3.0, 0.2, 0.9, 1.1, -0.4, 2.0, 0.6, 0.7], name="few-negative")


def negative_snapshot() -> Snapshot:
    return losses_snapshot([-5.0, -3.2, -4.1, 0.0, -1.0, 0.7, -2.2, -3.3, -4.8], name="negative")


def outlier_snapshot() -> Snapshot:
    """Mostly below zero, and one loss so large that it would squash all others."""
    return losses_snapshot([-5.0, -3.2, -4.1, 0.0, -1.0, 0.7, -2.2, -3.3, -4.8, 1e12], name="outlier")


def huge_range_snapshot() -> Snapshot:
    return losses_snapshot([1e-300, 1e-100, 1.0, 1e100, 1e300], name="huge-range")


def odd_space_snapshot() -> Snapshot:
    """One option, thirty options, lists as options, a single integer, a range of one point, wide letters."""
    space = Space(
        (
            Hyperparameter("only", Choice(("one",))),
            Hyperparameter("many", Choice(tuple(f"option_{i:02d}" for i in range(30)))),
            Hyperparameter("layers", Choice(((1, 2), (3, 4, 5), ()))),
            Hyperparameter("single", Int(3, 3)),
            Hyperparameter("point", Float(2.0, 2.0)),
            Hyperparameter("数字", Choice(("大きい", "小さい", "a\tb\x1b[31m"))),
            Hyperparameter("even", Int(2, 10, step=2)),
            Hyperparameter("tiny", Float(1e-12, 1e-9, log=True)),
        )
    )
    rng = random.Random(6)
    made = [Made(draw_params(space, rng), (round(rng.uniform(0.1, 9.0), 3),)) for _ in range(20)]
    return study_of(space, made, name="odd-space")


def large_snapshot(trials: int, panels: int = 12) -> Snapshot:
    """`trials` of which a tenth never started and a twentieth ended early; for speed."""
    kinds = (Float(1e-5, 1e-1, log=True), Float(0.0, 1.0), Int(4, 64), Choice(("a", "b", "c")))
    space = Space(tuple(Hyperparameter(f"h{i:02d}", kinds[i % 4], f"group {i // 4}") for i in range(panels)))
    rng = random.Random(8)
    made = []
    for number in range(trials):
        loss = math.exp(rng.gauss(0.0, 0.7))
        if number % 10 == 3:
            made.append(Made(draw_params(space, rng), (), Reason.EXCEPTION))
        elif number % 20 == 7:
            made.append(Made(draw_params(space, rng), (loss,), Reason.TIMEOUT))
        else:
            made.append(Made(draw_params(space, rng), (loss,)))
    return study_of(space, made, name="large")


ODD = {
    "empty": empty_snapshot,
    "one": one_trial_snapshot,
    "never-started": never_started_snapshot,
    "equal": equal_snapshot,
    "not-finite": not_finite_snapshot,
    "few-negative": few_negative_snapshot,
    "negative": negative_snapshot,
    "outlier": outlier_snapshot,
    "huge-range": huge_range_snapshot,
    "odd-space": odd_space_snapshot,
}
