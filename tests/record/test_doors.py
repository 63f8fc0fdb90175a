"""What viewers and the command line use of this room, and that it costs them nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support.patience import PATIENCE_S, wait_until

from tuner_tui.record.ui import open_mlflow_ui
from tuner_tui.record.uri import remembered, shown, sqlite_path, tracking_uri
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.publication import publication


def test_the_store_is_chosen_by_argument_then_environment_then_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path, None) == f"sqlite:///{tmp_path}/mlflow.db"
    assert sqlite_path(tracking_uri(tmp_path, None)) == tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://box:5000")
    assert tracking_uri(tmp_path, None) == "http://box:5000"
    assert tracking_uri(tmp_path, "http://other:1") == "http://other:1"


def test_a_study_remembers_its_store_and_never_a_password(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    local = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert tracking_uri(tmp_path / "mlruns", remembered(None)) == local
    assert remembered("sqlite:///x.db") == f"sqlite:///{tmp_path}/x.db"  # found from any folder
    assert remembered("http://me:secret@box:5000") == "http://me@box:5000"
    assert (
        os.environ["MLFLOW_TRACKING_URI"] == "http://me:secret@box:5000"
    )  # for the processes started from here
    assert tracking_uri(tmp_path, "http://me@box:5000") == "http://me:secret@box:5000"
    assert tracking_uri(tmp_path, "http://me@other:5000") == "http://me@other:5000"
    assert tracking_uri(tmp_path / "mlruns", remembered(None)) == "http://me:secret@box:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://box:5000")
    assert remembered(None) == "http://box:5000" and remembered("http://other:1") == "http://other:1"
    assert tracking_uri(tmp_path / "mlruns", "local") == local


def test_passwords_are_not_shown() -> None:
    assert shown("postgresql://me:secret@box/db") == "postgresql://me:***@box/db"
    assert shown("http://box:5000") == "http://box:5000"


def test_viewers_pay_nothing_for_asking() -> None:
    code = (
        "import sys, tuner_tui.record.uri, tuner_tui.study.publication, tuner_tui.record.publisher\n"
        "import tuner_tui.record.ui, tuner_tui.study.bury\n"
        "print([name for name in ('mlflow', 'sqlalchemy', 'torch', 'optuna', 'textual') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_study_nobody_published_is_behind_from_the_start(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    assert publication(folder).sentence == "MLflow: up to date"
    folder.journal.write_text('{"event":"x"}\n{"event":"y"}\n')
    assert (
        publication(folder).sentence
        == "MLflow: 2 events behind (no publisher is running: `tuner publish` copies it)"
    )


def test_a_server_has_a_ui_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert open_mlflow_ui(tmp_path, "http://box:5000") == 0
    assert "http://box:5000" in capsys.readouterr().out


def test_without_mlflow_the_ui_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert open_mlflow_ui(tmp_path, "sqlite:////x.db") == 2
    assert "pip install mlflow" in capsys.readouterr().err


@pytest.mark.slow
def test_the_ui_finds_a_free_port_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = (
            "import sys; from pathlib import Path; from tuner_tui.record.ui import open_mlflow_ui\n"
            "root = Path(sys.argv[1]); uri = f'sqlite:///{root}/mlflow.db'\n"
            "sys.exit(open_mlflow_ui(root, uri, port=int(sys.argv[2])))"
        )
        ui = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(port)], stdout=subprocess.PIPE, text=True
        )
        assert ui.stdout
        try:
            said = ""
            while "Ctrl-C" not in said:
                said += (line := ui.stdout.readline())
                assert line, said
            found = re.search(r"http://127.0.0.1:(\d+)", said)
            assert found and int(found[1]) > port
            page = urllib.request.urlopen(f"{found[0]}/", timeout=PATIENCE_S).read()
            assert b"MLflow" in page
            os.kill(ui.pid, signal.SIGINT)
            assert ui.wait(PATIENCE_S) == 0
        finally:
            ui.terminate()
        wait_until(lambda: not answers(int(found[1])), "the server is gone")


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
