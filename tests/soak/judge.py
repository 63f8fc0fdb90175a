"""What must hold after a soak, whatever was done: the journal tells of each trial what its own notes tell,
all copies of the journal agree with it, and nothing is left behind."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from support.recorded import recorded_study

from tuner_tui.record.plan import mlflow_status
from tuner_tui.study.checkup import checkup
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot, Trial

from . import target
from .injuries import Hits
from .place import Place

# How a trial ends that nobody touches.
NATURAL = {
    target.RAISES: (Outcome.UNFINISHED, Reason.EXCEPTION), target.RAISES_EARLY: (Outcome.NO_START, Reason.EXCEPTION),
    target.LEAVES: (Outcome.UNFINISHED, Reason.EXIT), target.SEGFAULTS: (Outcome.UNFINISHED, Reason.SIGNAL),
    target.DIVERGES: (Outcome.UNFINISHED, Reason.DIVERGED), target.FILLS: (Outcome.UNFINISHED, Reason.EXCEPTION),
}  # fmt: skip


def notes_of(place: Place, trial: int) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in (place.notes / f"{trial}.jsonl").read_text().splitlines()]
    except FileNotFoundError:
        return []


def journal_faults(place: Place, folder: StudyFolder, planned: int) -> list[str]:
    """Each planned trial has exactly one end, in a journal without a damaged line."""
    faults = [f"journal, line {d.line}: {d}" for d in checkup(folder).damages]
    ends: Counter[int] = Counter()
    started: set[int] = set()
    for number, line in enumerate(folder.journal.read_text().splitlines(), 1):
        event = json.loads(line)
        trial = event.get("trial")
        if event["event"] == "trial_started":
            started.add(trial)
        elif event["event"] in ("trial_measured", "trial_ended", "trial_retried"):
            if (
                event["event"] == "trial_retried"
                and event.get("reason") == Reason.INTERRUPTED
                and ends[trial]
            ):
                ends[trial] -= 1  # it had ended with its engine, and runs again
            if trial not in started or ends[trial]:
                faults.append(
                    f"journal, line {number}: {event['event']} of trial {trial}, which does not run"
                )
            ends[trial] += event["event"] == "trial_ended"
    if sorted(ends) != list(range(planned)) or set(ends.values()) != {1}:
        wrong = {n: ends[n] for n in range(planned) if ends[n] != 1} | {
            n: ends[n] for n in ends if n >= planned
        }
        faults.append(f"trials without exactly one end: {wrong}")
    return faults


def trial_faults(place: Place, trial: Trial, hits: Hits) -> list[str]:
    """What the study says of a trial, against the trial's own notes."""
    notes = notes_of(place, trial.number)
    begun = [note for note in notes if note.get("begins")]
    who = f"trial {trial.number} ({trial.outcome}, {trial.reason}, {trial.message!r})"
    faults: list[str] = []
    for note in begun:
        if (note["x"], note["seed"]) != (trial.params["x"], trial.seed):
            faults.append(f"{who} was given other parameters: {note}")
    # Only the last attempt counts, which may have been killed before it noted anything.
    since = trial.attempts[-1][0] if trial.attempts else 0.0
    pids = [note["pid"] for note in begun if note["at"] >= since]
    last = (
        trial.pid if trial.pid in pids else pids[-1] if pids else None
    )  # a script is the child of its trial
    told = [
        (note["step"], math.nan if note["loss"] == "nan" else note["loss"])
        for note in notes if note["pid"] == last and "step" in note
    ]  # fmt: skip
    done = any(note.get("done") and note["pid"] == last for note in notes)
    if repr(list(trial.curve)) != repr(told[: len(trial.curve)]):
        faults.append(f"{who} measured {told} and is said to have measured {trial.curve}")
    if trial.outcome is Outcome.FINISHED and (
        not done or len(trial.curve) != len(told) or trial.value != told[-1][1]
    ):
        faults.append(f"{who} is called finished with {trial.value}; it measured {told}, done: {done}")
    # The last may be noted and not yet reported when it was killed; an engine may die with what it has not read.
    if len(trial.curve) < len(told) - 1 and trial.reason is not Reason.INTERRUPTED:
        faults.append(f"{who} lost measurements: {trial.curve} of {told}")
    if done and not begun:
        faults.append(f"{who} is done without a beginning")
    faults += [f"{who}: {why}" for why in _unexplained(trial, hits, told, done)]
    return faults


def _unexplained(trial: Trial, hits: Hits, told: list[tuple[int, float]], done: bool) -> list[str]:
    """Why this end is none that the trial's fate or an injury of it explains."""
    fate = trial.params["fate"]
    natural = NATURAL.get(fate, (Outcome.FINISHED, None))
    if (trial.outcome, trial.reason) == natural:
        return []
    signals = hits.signals.get(trial.number, [])
    if trial.reason is Reason.INTERRUPTED and hits.engines:
        return []
    if trial.reason is Reason.STOPPED and (trial.number in hits.stopped or hits.stops):
        return []
    if trial.reason is Reason.SIGNAL and signals:
        sign = "SIGTERM" if "SIGTERM that tuner did not send" in trial.message else trial.message.split()[-1]
        return [] if any(name in trial.message or name == sign for name in signals) else ["another signal"]
    # Its own file found no room: the disk was full, or a neighbour has filled it.
    if trial.reason is Reason.EXCEPTION and "No space left" in trial.message and fate == target.SAVES:
        return []
    return [f"nothing explains it; signals {signals}, its fate is {fate}"]


def copies_faults(place: Place, folder: StudyFolder, snapshot: Snapshot, uri: str) -> list[str]:
    """MLflow, the reports and `tuner list` tell what the journal tells."""
    faults: list[str] = []
    recorded = recorded_study(uri, folder.name, folder.path.parent)
    if recorded is None:
        return ["MLflow does not have the study"]
    if recorded.status != "FINISHED":
        faults.append(f"MLflow: the study is {recorded.status}")
    if [run.number for run in recorded.trials] != sorted(snapshot.trials):
        faults.append(f"MLflow has the trials {[run.number for run in recorded.trials]}")
    for run in recorded.trials:
        trial = snapshot.trials[run.number]
        assert trial.outcome is not None
        ours = (mlflow_status(trial.outcome, trial.reason), trial.outcome, trial.reason, trial.value)
        theirs = (run.status, run.outcome, run.reason, run.value)
        if ours != theirs:
            faults.append(f"MLflow: trial {run.number} is {theirs} instead of {ours}")
        latest = run.metrics.get("loss")
        # MLflow forgets no measurement of an earlier attempt, and takes that of the highest step for the last.
        if trial.value is not None and trial.nan_at is None and not trial.attempts and latest != trial.value:
            faults.append(f"MLflow: the last loss of trial {run.number} is {latest} instead of {trial.value}")
    report = place.home / "report.json"
    said = place.tuner("report", folder.name, "--to", str(report))
    if said.returncode:
        return [*faults, f"tuner report: {said.stdout}{said.stderr}"]
    told = [
        (t["number"], t["outcome"], t["reason"], t["value"]) for t in json.loads(report.read_text())["trials"]
    ]
    ours = [(t.number, t.outcome, t.reason, t.value) for _, t in sorted(snapshot.trials.items())]
    if told != ours:
        faults.append(
            f"the report tells {[pair for pair in zip(told, ours, strict=False) if pair[0] != pair[1]]}"
        )
    listed = json.loads(place.tuner("list", "--json").stdout)
    counts = snapshot.counts
    want = {"finished": counts.finished, "unfinished": counts.unfinished, "no_start": counts.no_start}
    if [line["counts"] | want for line in listed] != [line["counts"] for line in listed] or len(listed) != 1:
        faults.append(f"tuner list tells {listed}, not {want}")
    return faults


def leftovers(place: Place, folder: StudyFolder, processes: list[int]) -> list[str]:
    """Processes, locks and temporary files that should be gone."""
    faults = [f"process {pid} is left: {Path(f'/proc/{pid}/cmdline').read_bytes()!r}" for pid in processes]
    for path in sorted(place.disk.rglob("*")):
        if re.search(r"\.tmp$|\.making|\.made|~$", path.name):
            faults.append(f"{path.relative_to(place.disk)} is left")
        if path.name in ("lock", "publisher.lock", ".mlflow.lock") and _is_held(path):
            faults.append(f"{path.relative_to(place.disk)} is locked still")
    told = (place.home / "out.txt").read_text(errors="replace") + folder.engine_log.read_text(
        errors="replace"
    )
    # What could not be written to the end is in a file there, which tuner has named.
    faults += [f"{p} is left" for p in place.temporary.rglob("*") if p.is_file() and str(p) not in told]
    return faults


def words_faults(place: Place, folder: StudyFolder) -> list[str]:
    """No program of ours has ended with a traceback."""
    faults: list[str] = []
    for path in (place.home / "out.txt", folder.engine_log, folder.path / "publisher.log"):
        if path.exists() and "Traceback (most recent call last)" in (
            text := path.read_text(errors="replace")
        ):
            at = text.index("Traceback (most recent call last)")
            faults.append(f"{path.name} holds a traceback: {text[at : at + 3000]}")
        elif path.exists() and "a mistake of ours" in path.read_text(errors="replace"):
            faults.append(f"{path.name}: {path.read_text(errors='replace')[-1500:]}")
    return faults


def _is_held(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def opened_files(place: Place, planned: int) -> list[str]:
    """No trial has inherited more open files than another did by a few: descriptors do not leak."""
    counts = [
        (note["files"], trial)
        for trial in range(planned) for note in notes_of(place, trial) if note.get("begins")
    ]  # fmt: skip
    (most, one), (fewest, other) = max(counts, default=(0, 0)), min(counts, default=(0, 0))
    if most > fewest + 3:
        return [f"trial {one} begins with {most} open files, trial {other} with {fewest}"]
    return []
