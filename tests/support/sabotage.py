"""Real sweeps in a folder of their own, and the means to hurt them: shared by the fault tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from support.patience import PATIENCE_S, wait_until
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.snapshot import Snapshot

TUNER = [sys.executable, "-m", "tuner_tui.cli"]
TARGETS = Path(__file__).with_name("ways_to_end.py")


def workplace(folder: Path, search: str) -> Path:
    """A user's folder: a search file and a target beside it."""
    shutil.copy(TARGETS, folder / "ways_to_end.py")
    (folder / "tuner.toml").write_text(search)
    return folder


def tuner(folder: Path, *words: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TUNER, *words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, **options
    )


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """A running `tuner` with its output in out.txt, in a session of its own so that signals reach it alone."""
    with (folder / "out.txt").open("a") as out:
        return subprocess.Popen(
            [*TUNER, *words], cwd=folder, stdout=out, stderr=out, stdin=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip


def study(folder: Path, name: str) -> StudyFolder:
    return StudyFolder(folder / "mlruns" / name)


def wait_for(folder: StudyFolder, enough) -> Snapshot:
    """The first snapshot of the journal that is enough."""

    def look() -> Snapshot | None:
        snapshot = folder.snapshot()
        return snapshot if enough(snapshot) else None

    return wait_until(look, f"{folder.name} is far enough")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return state[state.rindex(")") + 2] != "Z"


def wait_gone(pids: list[int]) -> None:
    wait_until(lambda: not any(map(alive, pids)), f"none of {pids} is alive")


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def journal_is_whole(folder: StudyFolder) -> None:
    """Every line is strict JSON; each trial starts once and ends once, in this order."""
    started, ended = [], []
    for line in folder.journal.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "trial_started":
            started.append(event["trial"])
        elif event["event"] == "trial_ended":
            assert event["trial"] in started
            ended.append(event["trial"])
        elif event["event"] == "trial_measured":
            assert event["trial"] in started and event["trial"] not in ended
    assert len(set(started)) == len(started) and sorted(started) == sorted(ended)


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, **extra}
