"""A study in a SQLite store, published through the door `tuner publish` uses."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.record_tools import LOSS, START, Diary, assert_agrees, history, read, uri_of

from tuner_tui.record import store as store_module
from tuner_tui.record import uploads
from tuner_tui.record.publisher import publish
from tuner_tui.search.search import Limits
from tuner_tui.study.folder import StudyLock
from tuner_tui.study.outcomes import Reason
from tuner_tui.study.publication import Notebook, publication


def bring(diary: Diary) -> int:
    return publish(diary.folder, uri_of(diary), patience=0.0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated database without studies: making one takes two seconds."""
    diary = Diary(tmp_path_factory.mktemp("template"), "empty-1").open()
    assert bring(diary) == 0
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri_of(diary))
    client.delete_experiment(read(diary).experiment_id)
    database = diary.folder.path.parent / "mlflow.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database.read_bytes()


@pytest.fixture
def root(tmp_path: Path, template: bytes) -> Path:
    (tmp_path / "mlflow.db").write_bytes(template)
    return tmp_path


def artifacts(diary: Diary, run_id: str, path: str = "") -> list[str]:
    from mlflow.tracking import MlflowClient

    found: list[str] = []
    for info in MlflowClient(uri_of(diary)).list_artifacts(run_id, path or None):
        found += artifacts(diary, run_id, info.path) if info.is_dir else [info.path]
    return sorted(found)


def content(diary: Diary, run_id: str, path: str) -> bytes:
    from mlflow.artifacts import download_artifacts

    return Path(
        download_artifacts(run_id=run_id, artifact_path=path, tracking_uri=uri_of(diary))
    ).read_bytes()


def test_what_a_trial_uses_is_among_its_system_metrics(root: Path) -> None:
    diary = Diary(root).open().start(0).measure(0, 0, 0.5)
    diary.sample(0, 0, cpu_utilization_percentage=50.0).sample(0, 1, cpu_utilization_percentage=75.0)
    diary.end(0).sample(0, 2, cpu_utilization_percentage=1.0).close()
    assert bring(diary) == 0
    [trial] = read(diary).trials
    rows = history(uri_of(diary), trial.run_id, "system/cpu_utilization_percentage")
    assert [row[:2] for row in rows] == [(0, 50.0), (1, 75.0)], "nothing is added to a trial that has ended"


def test_a_run_has_all_that_is_known_of_its_trial(root: Path) -> None:
    diary = Diary(root).open()
    diary.start(0, {"lr": 1e-4, "convnet.kind": "straight", "bidir": True})
    diary.measure(0, 0, 0.5, **{"accuracy/train": 0.25}).measure(0, 10, 0.25).end(0, message="fine")
    folder = diary.folder
    folder.out(0).mkdir(parents=True)
    (folder.out(0) / "deep").mkdir()
    (folder.out(0) / "deep" / "weights.bin").write_bytes(bytes(range(256)))
    folder.log(0).write_bytes(b"step 1\n\xff\xfe\n")
    folder.traceback(0).write_text("Traceback …")
    folder.search_file.write_text("name = 'x'")
    (folder.path / "summary").mkdir()
    (folder.path / "summary" / "scatterplots.png").write_bytes(b"\x89PNG")
    diary.close()
    assert bring(diary) == 0

    study = read(diary)
    [trial] = study.trials
    assert trial.params == {"lr": "0.0001", "convnet.kind": "straight", "bidir": "True"}
    assert trial.metrics == {LOSS: 0.25, "accuracy/train": 0.25} and trial.sortable == trial.value == 0.25
    ms = round(START * 1000)
    assert history(uri_of(diary), trial.run_id, LOSS) == [(0, 0.5, ms + 500), (10, 0.25, ms + 750)]
    assert (trial.started_ms, trial.ended_ms, trial.status) == (ms + 250, ms + 1000, "FINISHED")
    tags = dict(trial.tags)
    assert tags["mlflow.note.content"] == f"finished; last {LOSS} 0.25. fine"
    assert tags["tuner.message"] == "fine"
    assert tags["mlflow.parentRunId"] == study.run_id and tags["mlflow.runName"] == "trial 0"
    assert (tags["tuner.seed"], tags["tuner.device"], tags["tuner.outcome"]) == ("1000", "cuda:0", "finished")
    assert tags["mlflow.source.git.commit"] == tags["tuner.git_commit"] == "a" * 40
    assert artifacts(diary, trial.run_id) == ["log.txt", "out/deep/weights.bin", "traceback.txt"]
    assert content(diary, trial.run_id, "out/deep/weights.bin") == bytes(range(256))
    assert content(diary, trial.run_id, "log.txt") == b"step 1\n\xff\xfe\n"

    assert study.status == "FINISHED"
    assert artifacts(diary, study.run_id) == ["scatterplots.png", "search.toml"]
    assert study.metrics == {"finished": 1.0, "unfinished": 0.0, "no_start": 0.0, "best": 0.25}
    assert study.tags["tuner.objective"] == LOSS and study.tags["tuner.direction"] == "minimize"
    assert study.tags["tuner.best_trial"] == "0" and study.tags["tuner.version.torch"] == "2.9"
    best = {key: value for key, value in study.tags.items() if key.startswith("best.")}
    assert best == {"best.lr": "0.0001", "best.convnet.kind": "straight", "best.bidir": "True"}
    assert study.tags["tuner.host"] == "box" and study.tags["tuner.planned"] == "10"
    assert publication(diary.folder).complete and not publication(diary.folder).problems


ENDS = [
    (None, True, "FINISHED"),
    *((reason, True, "FAILED") for reason in (Reason.EXCEPTION, Reason.OUT_OF_MEMORY, Reason.SIGNAL)),
    *((reason, True, "FAILED") for reason in (Reason.EXIT, Reason.DIVERGED)),
    *((reason, True, "KILLED") for reason in (Reason.TIMEOUT, Reason.SILENT, Reason.PRUNED)),
    *((reason, True, "KILLED") for reason in (Reason.STOPPED, Reason.INTERRUPTED)),
    *((reason, False, "FAILED") for reason in Reason),
]


def test_a_confirmed_trial_has_the_last_confirmation_as_tags(root: Path) -> None:
    """Told after the study has ended and was published; of two confirmations the later one counts, as a whole."""
    diary = Diary(root).open().trial(0).trial(1).close()
    assert bring(diary) == 0
    before = read(diary)
    diary.confirm(1, "sweep-1-confirm-1", 3, 0.5, 0.25).confirm(1, "sweep-1-confirm-2", 2)
    diary.confirm(0, "sweep-1-confirm-2", 2, 0.5, 0.75)
    assert bring(diary) == 0
    after = read(diary)
    assert [trial.run_id for trial in after.trials] == [trial.run_id for trial in before.trials]
    for number, told in (
        (0, ("sweep-1-confirm-2", "2 of 2", "0.625")),
        (1, ("sweep-1-confirm-2", "0 of 2", "")),
    ):
        tags = after.trials[number].tags
        assert tuple(tags[f"tuner.confirmed_{key}"] for key in ("by", "runs", "mean")) == told
        assert after.trials[number].status == "FINISHED"
    assert_agrees(diary)


def test_every_end_has_its_status(root: Path) -> None:
    diary = Diary(root).open()
    for number, (reason, finite, _) in enumerate(ENDS):
        diary.start(number)
        if finite:
            diary.measure(number, 0, 1.0)
        diary.end(number, reason, finite=finite, message=f"because of {reason}")
    diary.close("stopped")
    bring(diary)
    study = read(diary)
    assert [trial.status for trial in study.trials] == [status for _, _, status in ENDS]
    assert [trial.reason for trial in study.trials] == [reason for reason, _, _ in ENDS]
    assert study.status == "KILLED" and study.metrics["no_start"] == len(Reason)
    assert_agrees(diary)


@pytest.mark.parametrize(
    ("why", "status"), [("completed", "FINISHED"), ("stopped", "KILLED"), ("failed", "FAILED")]
)
def test_the_parent_ends_as_the_study_did(root: Path, why: str, status: str) -> None:
    diary = Diary(root).open().trial(0).close(why)
    bring(diary)
    study = read(diary)
    assert (study.status, study.tags["tuner.state"]) == (status, why)


def test_not_a_number_arrives_as_such(root: Path) -> None:
    diary = Diary(root).open().start(0)
    for step, loss in enumerate([0.5, math.inf, -math.inf, math.nan]):
        diary.measure(0, step, loss)
    diary.end(0, Reason.DIVERGED).close()
    bring(diary)
    [trial] = read(diary).trials
    values = [value for _, value, _ in history(uri_of(diary), trial.run_id, LOSS)]
    assert values[0] == 0.5 and all(math.isnan(value) for value in values[1:])
    assert trial.tags["tuner.not_finite"] == (
        f"{LOSS}: inf at step 1; {LOSS}: -inf at step 2; {LOSS}: nan at step 3"
    )
    assert trial.value == 0.5 and trial.status == "FAILED"


def test_odd_names_and_values_lose_nothing(root: Path) -> None:
    odd = {
        "lr (log)": 1e-3,
        "../x": "ω",
        "größe": "ü\n\t\0",
        "": "empty",
        "long": "y" * 20_000,
        "none": None,
        "l": [1, 2],
    }
    diary = Diary(root).open().start(0, odd).measure(0, 0, 0.5, **{"a@b": 2.0, "a_b": 3.0}).end(0).close()
    bring(diary)
    [trial] = read(diary).trials
    assert set(trial.params) == set(odd)
    assert trial.params["größe"] == "ü\n\t\N{REPLACEMENT CHARACTER}" and trial.params["l"] == "[1, 2]"
    assert trial.params["long"] == "y" * 5999 + "…"
    assert json.loads(content(diary, trial.run_id, "params.json")) == {"long": "y" * 20_000}
    assert trial.metrics == {LOSS: 0.5, "a@b": 2.0, "a_b": 3.0}
    assert publication(diary.folder).problem_count == 0


def test_more_than_one_call_takes(root: Path) -> None:
    params = {f"p{k}": "z" * 3000 for k in range(250)}  # three calls' worth, and over a megabyte
    diary = Diary(root).open().start(0, params)
    for step in range(3):
        diary.measure(0, step, 0.5, **{f"m{k}": float(k) for k in range(700)})
    diary.end(0).close()
    bring(diary)
    [trial] = read(diary).trials
    assert len(trial.params) == 250 and len(trial.metrics) == 701
    assert len(history(uri_of(diary), trial.run_id, "m699")) == 3


def test_one_refused_thing_costs_itself_alone(root: Path) -> None:
    diary = Diary(root).open().start(0)
    for step in (0, 2**70, 2):  # no database counts so far
        diary.measure(0, step, 0.5, extra=1.0)
    diary.end(0).trial(1).close()
    assert bring(diary) == 0
    first, second = read(diary).trials
    assert [step for step, _, _ in history(uri_of(diary), first.run_id, LOSS)] == [0, 2]
    assert first.status == second.status == "FINISHED"
    noted = publication(diary.folder)
    assert noted.problem_count == 2 and all("trial 0: metric" in problem for problem in noted.problems)
    assert "2 refused" in noted.sentence


def test_publishing_again_changes_nothing(root: Path) -> None:
    diary = (
        Diary(root).open().trial(0).start(1).measure(1, 0, math.nan).end(1, Reason.EXCEPTION, finite=False)
    )
    diary.start(2).measure(2, 0, 0.5)
    lock = StudyLock(diary.folder)  # an engine is at work: trial 2 runs
    assert bring(diary) == 0
    before = read(diary)
    assert [trial.status for trial in before.trials] == ["FINISHED", "FAILED", "RUNNING"]
    for damage in (lambda path: None, Path.unlink, lambda path: path.write_text("{half a no")):
        damage(diary.folder.publisher_state)
        assert bring(diary) == 0
        assert repr(read(diary)) == repr(before)
    diary.measure(2, 1, 0.25).end(2).close()
    lock.release()
    assert bring(diary) == 0
    assert_agrees(diary, rows=False)
    assert [row[:2] for row in history(uri_of(diary), before.trials[2].run_id, LOSS)] == [(0, 0.5), (1, 0.25)]
    assert len(history(uri_of(diary), before.run_id, "finished")) == 3  # the zero, and two ends


def test_a_resumed_study_goes_on_in_the_same_runs(root: Path) -> None:
    diary = Diary(root).open().trial(0).close("stopped")
    bring(diary)
    before = read(diary)
    diary.open(trials=20, resumed=True, commit="b" * 40).trial(1)
    lock = StudyLock(diary.folder)
    bring(diary)
    lock.release()
    during = read(diary)
    assert (during.run_id, during.status, during.tags["tuner.state"]) == (before.run_id, "RUNNING", "running")
    assert during.trials[0] == before.trials[0]
    assert during.trials[1].tags["tuner.git_commit"] == "b" * 40
    diary.close("completed")
    bring(diary)
    after = read(diary)
    assert after.status == "FINISHED" and after.tags["tuner.planned"] == "20"


def test_a_dead_engine_leaves_nothing_running(root: Path) -> None:
    diary = Diary(root).open().start(0).measure(0, 0, 0.5).start(1)
    assert bring(diary) == 0
    study = read(diary)
    assert [(t.status, t.reason) for t in study.trials] == [
        ("KILLED", "interrupted"),
        ("FAILED", "interrupted"),
    ]
    assert (study.status, study.tags["tuner.state"]) == ("KILLED", "interrupted")
    assert_agrees(diary)


def test_a_folder_made_anew_under_an_old_name_is_another_study(root: Path) -> None:
    bring(Diary(root).open().trial(0).close())
    first = read(Diary(root))
    for path in sorted(Diary(root).folder.path.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    second = Diary(root, start=START + 1000).open().trial(0).trial(1).close()
    bring(second)
    assert read(second).run_id != first.run_id and len(read(second).trials) == 2


def test_what_a_person_deleted_in_the_middle_is_made_again(root: Path) -> None:
    from mlflow.tracking import MlflowClient

    diary = Diary(root).open().trial(0)
    lock = StudyLock(diary.folder)
    bring(diary)
    client = MlflowClient(uri_of(diary))
    client.delete_experiment(read(diary).experiment_id)
    diary.trial(1)
    assert bring(diary) == 0
    client.delete_run(read(diary).run_id)
    diary.trial(2).close()
    lock.release()
    assert bring(diary) == 0
    study = read(diary)
    assert study.status == "FINISHED"
    assert_agrees(diary)


def test_a_file_that_cannot_be_copied_is_named_and_costs_itself_alone(root: Path) -> None:
    diary = Diary(root).open().trial(0).close()
    out = diary.folder.out(0)
    out.mkdir(parents=True)
    (out / "good.txt").write_text("x")
    (out / "broken").symlink_to("nowhere")
    (out / "round").symlink_to(out, target_is_directory=True)
    os.mkfifo(out / "pipe")
    (out / "linked.txt").symlink_to(out / "good.txt")
    assert bring(diary) == 0
    [trial] = read(diary).trials
    assert artifacts(diary, trial.run_id) == ["out/good.txt", "out/linked.txt"]
    problems = "\n".join(publication(diary.folder).problems)
    assert all(f"out/{name} was not copied" in problems for name in ("broken", "round", "pipe"))


def test_a_link_that_leads_out_of_the_study_is_not_followed(root: Path, tmp_path_factory) -> None:
    """Or a trial could publish anything that its user can read."""
    secret = tmp_path_factory.mktemp("secret")
    (secret / "passwd").write_text("root")
    diary = Diary(root).open().trial(0).trial(1).close()
    out = diary.folder.out(0)
    out.mkdir(parents=True)
    (out / "stolen.txt").symlink_to(secret / "passwd")
    diary.folder.trial(1).mkdir(parents=True)
    diary.folder.out(1).symlink_to(secret, target_is_directory=True)
    diary.folder.log(1).symlink_to(secret / "passwd")
    assert bring(diary) == 0
    assert [artifacts(diary, trial.run_id) for trial in read(diary).trials] == [[], []]
    problems = "\n".join(publication(diary.folder).problems)
    assert problems.count("leads out of the study's folder") == 2 and "/out was not copied" in problems


def test_what_a_trial_left_beyond_its_limit_stays_in_its_folder_and_is_counted(
    root: Path, monkeypatch
) -> None:
    diary = Diary(root).open(limits=Limits(artifacts_gb=2000 / 2**30)).trial(0).trial(1).close()
    for number, sizes in enumerate(({"a": 900, "b": 1500, "c": 1000}, dict.fromkeys("abcd", 1))):
        diary.folder.out(number).mkdir(parents=True)
        for name, size in sizes.items():
            (diary.folder.out(number) / name).write_bytes(b"x" * size)
    monkeypatch.setattr(uploads, "MAX_FILES", 3)
    assert bring(diary) == 0
    assert [artifacts(diary, trial.run_id) for trial in read(diary).trials] == [
        ["out/a", "out/c"],  # a smaller file behind one that is too large has its place
        ["out/a", "out/b", "out/c"],
    ]
    problems = publication(diary.folder).problems
    assert [f"trial {n}: 1 file of out" in problem for n, problem in enumerate(problems)] == [True, True]
    assert all(f"they are in {diary.folder.out(n)}" in problem for n, problem in enumerate(problems))


def test_artifacts_wait_for_their_store_and_hold_up_nothing(root: Path) -> None:
    diary = Diary(root).open().trial(0).close()
    diary.folder.trial(0).mkdir(parents=True)
    diary.folder.log(0).write_text("words")
    (root / "artifacts").write_text("a file where the folder should be")
    assert bring(diary) == 1
    [trial] = read(diary).trials
    assert trial.status == "FINISHED" and read(diary).status == "FINISHED"
    behind = publication(diary.folder)
    assert (behind.behind_bytes, behind.uploads) == (0, 2)  # the trial's, and the summary after it
    assert "files:" in behind.sentence
    (root / "artifacts").unlink()
    assert bring(diary) == 0
    assert content(diary, trial.run_id, "log.txt") == b"words"
    assert publication(diary.folder).sentence == "MLflow: up to date"


def test_a_double_that_a_lost_answer_made_is_removed(root: Path) -> None:
    from mlflow.tracking import MlflowClient

    diary = Diary(root).open().trial(0).start(1)
    lock = StudyLock(diary.folder)
    bring(diary)
    study = read(diary)
    MlflowClient(uri_of(diary)).create_run(
        study.experiment_id, tags={"mlflow.parentRunId": study.run_id, "tuner.trial": "1"}
    )
    notebook = Notebook.load(diary.folder.publisher_state)
    Notebook(**{**vars(notebook), "doubtful": True}).save(diary.folder.publisher_state)
    diary.measure(1, 0, 0.5).end(1).close()
    lock.release()
    assert bring(diary) == 0
    assert_agrees(diary)
    assert read(diary).trials[1].run_id == study.trials[1].run_id


def test_more_runs_than_one_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diary = Diary(root).open()
    for number in range(60):
        diary.trial(number, losses=1)
    diary.close()
    monkeypatch.setattr(store_module, "PAGE", 25)
    monkeypatch.setattr("support.recorded.PAGE", 25)
    bring(diary)
    diary.folder.publisher_state.unlink()
    bring(diary)  # finds every run again
    assert_agrees(diary, rows=False)


@pytest.mark.slow
def test_eleven_hundred_trials(root: Path) -> None:
    diary = Diary(root).open(trials=1100)
    for number in range(1100):
        diary.trial(number, losses=1)
    diary.close()
    bring(diary)
    diary.folder.publisher_state.unlink()
    bring(diary)
    assert_agrees(diary, rows=False)


def test_a_notebook_that_cannot_be_written_loses_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diary = Diary(root).open().trial(0).close()
    in_the_way = diary.folder.path / ".publisher.json.tmp"
    in_the_way.mkdir()
    assert bring(diary) == 1
    assert "Is a directory" in capsys.readouterr().out
    in_the_way.rmdir()
    assert bring(diary) == 0
    assert_agrees(diary)


def test_a_store_of_another_version_of_mlflow_is_said_in_a_sentence(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the journal is not touched: once the store is put right, everything gets there."""
    diary = Diary(root).open().trial(0).close()
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        [[version]] = database.execute("SELECT version_num FROM alembic_version").fetchall()
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        database.commit()
    assert bring(diary) == 1
    assert (
        "was made by another version of MLflow: run `mlflow db upgrade`" in publication(diary.folder).sentence
    )
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", [version])
        database.commit()
    assert bring(diary) == 0
    assert_agrees(diary)


def test_an_unusable_store_is_said_in_a_sentence(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diary = Diary(root).open().trial(0)
    lock = StudyLock(diary.folder)
    (root / "mlflow.db").write_bytes(
        b"this is no database, and long enough not to look like an empty one" * 99
    )
    assert bring(diary) == 1
    assert "not everything is in MLflow yet" in capsys.readouterr().out
    assert "file is not a database" in publication(diary.folder).sentence
    lock.release()
