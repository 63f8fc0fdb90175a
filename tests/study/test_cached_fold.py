"""The kept fold of a journal: the same snapshot, and never trusted where the journal differs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from support import studies
from support.snapshot_strategies import snapshots

from tuner_tui.sources.journal import JournalSource
from tuner_tui.study import cached_fold
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.journal import JournalWriter
from tuner_tui.study.snapshot import Snapshot, fold_all
from tuner_tui.ui.tail import StudyTail


@given(snapshots)
def test_a_snapshot_comes_back_through_json(snapshot):
    text = json.dumps(cached_fold.encode(snapshot))
    again = cached_fold.decode(json.loads(text))
    assert json.dumps(cached_fold.encode(again)) == text  # not ==: nan equals nothing
    assert again.counts == snapshot.counts and again.search == snapshot.search and again.best == snapshot.best


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cached_fold, "LEAST_BYTES", 0)
    made = StudyFolder(tmp_path / "small-1")
    made.path.mkdir()
    JournalWriter(made.journal).append(studies.small_events())
    cached_fold.save(made, made.snapshot())
    assert cached_fold.path_of(made).exists()
    return made


def read(folder: StudyFolder) -> Snapshot:
    """By the source, which uses what was kept."""
    return JournalSource(folder).snapshot()


def test_it_is_used_and_what_came_after_is_folded_on_top(folder, monkeypatch):
    assert read(folder) == folder.snapshot()
    later = studies.small_events()[-3:]
    JournalWriter(folder.journal).append([later[0]])
    assert read(folder) == folder.snapshot() == fold_all(cached_fold.load(folder)[0], [later[0]])
    tail = StudyTail(JournalSource(folder))
    while tail.advance(1.0) or not tail.caught_up:
        pass
    assert tail.snapshot == folder.snapshot() and tail.share_read == 1.0


@pytest.mark.parametrize("spoil", ["shorter", "other", "torn", "format", "nonsense", "missing"])
def test_it_is_not_trusted_where_anything_differs(folder, spoil):
    kept = cached_fold.path_of(folder)
    data = folder.journal.read_bytes()
    match spoil:
        case "shorter":
            folder.journal.write_bytes(data[: data[:-1].rindex(b"\n") + 1])
        case "other":
            folder.journal.write_bytes(data.replace(b'"seed":3', b'"seed":4', 1))
        case "torn":
            kept.write_bytes(kept.read_bytes()[:-20])
        case "format":
            kept.write_text(json.dumps(json.loads(kept.read_text()) | {"format": 99}))
        case "nonsense":
            kept.write_text('{"format": 1, "size": 1, "sha256": 3, "snapshot": []}')
        case _:
            kept.unlink()
    assert cached_fold.load(folder) is None
    assert read(folder) == folder.snapshot()


def test_a_short_journal_needs_none_and_a_full_disk_is_no_matter(tmp_path):
    folder = StudyFolder(tmp_path / "s-1")
    cached_fold.save(folder, studies.small_snapshot())  # not even a folder
    folder.path.mkdir()
    JournalWriter(folder.journal).append(studies.small_events())
    cached_fold.save(folder, folder.snapshot())
    assert not cached_fold.path_of(folder).exists()
