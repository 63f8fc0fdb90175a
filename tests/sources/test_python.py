"""Studies in a notebook: `from tuner_tui import open_study`."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import optuna_studies, studies
from support.room import Room

from tuner_tui import open_study
from tuner_tui.sources.source import SourceError


def test_a_study_as_a_snapshot(tmp_path):
    Room(tmp_path).study("small-1", studies.small_events())
    snapshot = open_study("small", mlruns=tmp_path).snapshot()
    assert snapshot.trials.keys() == studies.small_snapshot().trials.keys()
    optuna_studies.every_end(f"sqlite:///{tmp_path}/x.db")
    assert open_study(f"optuna:sqlite:///{tmp_path}/x.db", "digits").snapshot().best.value == 0.5
    with pytest.raises(SourceError, match="no study"):
        open_study("other", mlruns=tmp_path)


def test_it_loads_nothing_heavy(tmp_path):
    Room(tmp_path).study("small-1", studies.small_events())
    code = (
        "import sys; from tuner_tui import open_study; "
        f"open_study('small-1', mlruns={str(tmp_path)!r}).snapshot(); "
        "print({'torch', 'mlflow', 'optuna', 'textual', 'numpy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
