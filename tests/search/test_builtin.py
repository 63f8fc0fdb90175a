"""Which file is meant: a path, a built-in name, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner_tui.search import builtin
from tuner_tui.search.builtin import builtin_searches, find_search
from tuner_tui.search.file import load_search
from tuner_tui.search.problems import SearchError


@pytest.fixture
def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with two built-in searches."""
    for room, name in [("models", "caption"), ("meta", "chaos")]:
        (tmp_path / room / "searches").mkdir(parents=True)
        (tmp_path / room / "searches" / f"{name}.toml").write_text('target = "a:b"\n')
    monkeypatch.setattr(builtin, "WORKLOADS", tmp_path)
    return tmp_path


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_names_and_files(rooms: Path) -> None:
    assert builtin_searches() == {
        "caption": rooms / "models/searches/caption.toml",
        "chaos": rooms / "meta/searches/chaos.toml",
    }


def test_with_nothing_said_the_file_of_the_folder_or_else_captions(rooms: Path, cwd: Path) -> None:
    assert find_search(None, cwd) == rooms / "models/searches/caption.toml"
    (cwd / "tuner.toml").touch()
    assert find_search(None, cwd) == cwd / "tuner.toml"


def test_a_file_goes_before_a_built_in_and_a_folder_does_not(rooms: Path, cwd: Path) -> None:
    (cwd / "chaos").mkdir()
    assert find_search("chaos", cwd) == rooms / "meta/searches/chaos.toml"
    (cwd / "caption").touch()
    assert find_search("caption", cwd) == cwd / "caption"
    (cwd / "chaos" / "mine.toml").touch()
    assert find_search("chaos/mine.toml", cwd) == cwd / "chaos" / "mine.toml"
    assert find_search(str(cwd / "caption"), Path("/")) == cwd / "caption"


@pytest.mark.parametrize("name", ["capton", "", "no/such.toml", "a\0b", "x" * 5000])
def test_what_is_nowhere_is_told_with_what_there_is(rooms: Path, cwd: Path, name: str) -> None:
    with pytest.raises(SearchError) as caught:
        find_search(name, cwd)
    assert "built in: caption, chaos" in str(caught.value)
    assert ("did you mean caption?" in str(caught.value)) == (name == "capton")


def test_every_built_in_search_is_a_valid_one() -> None:
    for name, path in builtin_searches().items():
        assert load_search(path).name, name
