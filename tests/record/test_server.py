"""A study published to a real MLflow server, which goes away in the middle and comes back."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import pytest
from support.bad_weather import KINDS, BadWeather
from support.patience import PATIENCE_S
from support.publisher_processes import Follower
from support.record_tools import Diary, assert_agrees, read

from tuner_tui.record import publisher
from tuner_tui.record.publisher import publish
from tuner_tui.study.folder import StudyLock
from tuner_tui.study.outcomes import Reason
from tuner_tui.study.publication import publication

pytestmark = pytest.mark.xdist_group("mlflow-server")  # one server, however many workers


def artifacts(uri: str, run_id: str, path: str | None = None) -> list[str]:
    from mlflow.tracking import MlflowClient

    return [info.path for info in MlflowClient(uri).list_artifacts(run_id, path)]


def test_a_server_records_what_a_file_does(server, tmp_path: Path) -> None:
    odd = {"lr (log)": 1e-3, "größe": "ü\n\t\0", "": "", "long": "ü" * 20_000} | {
        f"p{k}": "ü" * 4000 for k in range(99)
    }
    diary = Diary(tmp_path, "served-1").open().trial(0)
    diary.start(1, odd).measure(1, 0, 0.5).measure(1, 1, math.inf).end(1, Reason.DIVERGED).close()
    diary.folder.out(0).mkdir(parents=True)
    (diary.folder.out(0) / "weights.bin").write_bytes(b"\0" * 100_000)
    assert publish(diary.folder, server.uri, patience=PATIENCE_S) == 0
    assert not publication(diary.folder).problems
    study = read(diary, server.uri)
    first, second = study.trials
    assert (first.status, second.status, study.status) == ("FINISHED", "FAILED", "FINISHED")
    assert set(second.params) == set(odd) and second.tags["tuner.not_finite"].endswith("inf at step 1")
    assert artifacts(server.uri, first.run_id, "out") == ["out/weights.bin"]
    assert "params.json" in artifacts(server.uri, second.run_id)


def test_a_refusal_by_a_server_costs_one_thing(server, tmp_path: Path) -> None:
    diary = (
        Diary(tmp_path, "served-2").open().start(0).measure(0, 0, 0.5).measure(0, 2**70, 0.25).end(0).close()
    )
    assert publish(diary.folder, server.uri, patience=PATIENCE_S) == 0
    assert publication(diary.folder).problem_count == 1
    [trial] = read(diary, server.uri).trials
    assert trial.status == "FINISHED" and trial.metrics == {"loss/valid": 0.5}


@pytest.mark.slow
def test_a_server_that_fails_is_slow_or_loses_its_answers_gets_everything_once(
    server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of all requests meet something, and for a while all of them."""
    monkeypatch.setattr(publisher, "BACKOFF_S", (0.01, 0.2))
    weather = BadWeather(server.port, seed=1, share=0.33)
    diary = Diary(tmp_path, "weather-1").open(trials=12)
    for number in range(12):
        diary.trial(number)
    diary.close()
    back = threading.Timer(3.0, lambda: setattr(weather, "down", False))
    weather.down = True
    back.start()
    try:
        assert publish(diary.folder, weather.uri, patience=PATIENCE_S) == 0
    finally:
        back.join()
        weather.close()
    assert all(weather.happened[kind] for kind in KINDS), weather.happened
    assert not publication(diary.folder).problems
    assert_agrees(diary, server.uri)


@pytest.mark.slow
def test_a_server_that_goes_away_for_20_seconds_misses_nothing(server, tmp_path: Path) -> None:
    """Run last: the session's server is killed, and started again on its data."""
    diary = Diary(tmp_path, "away-1").open(trials=50)
    engine = StudyLock(diary.folder)
    follower = Follower(diary.folder, server.uri)

    def some(first: int, last: int) -> None:
        for number in range(first, last):
            diary.trial(number)
            time.sleep(0.02)

    some(0, 20)
    server.kill()  # in the middle of writing those
    away_since = time.monotonic()
    some(20, 40)
    while time.monotonic() < away_since + 20:
        time.sleep(0.1)
    behind = publication(diary.folder)
    assert behind.behind_events and "server away" in behind.sentence and behind.at_work
    server.start()
    some(40, 50)
    diary.close()
    server.wait()
    engine.release()
    follower.let_go()
    assert follower.wait() == 0
    assert_agrees(diary, server.uri)
    assert len(read(diary, server.uri).trials) == 50
    assert publication(diary.folder).sentence == "MLflow: up to date"
