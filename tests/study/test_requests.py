"""Requests: a viewer asks through a file, and whatever else stands in that file does no harm."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner_tui.study.requests import KINDS, Request, RequestReader, ask


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


def test_an_engine_reads_what_was_asked_since_it_began_and_only_once(path: Path) -> None:
    ask(path, Request("stop"))  # of the engine before, which died
    reader = RequestReader(path)
    assert reader.read() == []
    ask(path, Request("add_trials", 20))
    ask(path, Request("kill_trial", 3))
    assert reader.read() == [Request("add_trials", 20), Request("kill_trial", 3)]
    assert reader.read() == []


def test_there_need_be_no_file_yet(path: Path) -> None:
    reader = RequestReader(path)
    assert reader.read() == []
    ask(path, Request("pause"))
    assert reader.read() == [Request("pause")]


def test_only_known_requests_can_be_asked(path: Path) -> None:
    with pytest.raises(ValueError, match="unknown request 'explode'; choose one of stop, "):
        ask(path, Request("explode"))
    assert not path.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_through(path: Path, kind: str) -> None:
    reader = RequestReader(path)
    ask(path, Request(kind, 1))
    assert reader.read() == [Request(kind, 1)]


@given(st.lists(st.binary(max_size=40)))
def test_scribble_is_not_obeyed_and_costs_no_request(
    tmp_path_factory: pytest.TempPathFactory, scribbles: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("requests") / "requests.jsonl"
    reader = RequestReader(path)
    for scribble in scribbles:
        with path.open("ab") as file:
            file.write(scribble)
        ask(path, Request("pause"))  # even behind half a line
    assert reader.read() == [Request("pause")] * len(scribbles)


@pytest.mark.parametrize(
    "line", ['{"request":"add_trials","number":"many"}', '{"request":"kill_trial","number":true}', '"stop"',
             '{"request":"stop","number":[1]}', '{"request":["stop"]}', "[" * 50_000],
)  # fmt: skip
def test_requests_of_a_wrong_shape_are_not_obeyed(path: Path, line: str) -> None:
    reader = RequestReader(path)
    path.write_text(line + "\n")
    assert reader.read() == []


def test_a_request_written_in_two_pieces_is_read_when_whole(path: Path) -> None:
    reader = RequestReader(path)
    path.write_text('{"request": "st')
    assert reader.read() == []
    with path.open("a") as file:
        file.write('op"}\n')
    assert reader.read() == [Request("stop")]


def test_viewers_that_ask_at_once_do_not_mix_their_lines(path: Path) -> None:
    reader = RequestReader(path)
    threads = [
        threading.Thread(target=lambda: [ask(path, Request("add_trials", 1)) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reader.read() == [Request("add_trials", 1)] * 200


def test_requests_are_heard_after_their_file_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    ask(path, Request("add_trials", 12345))
    reader = RequestReader(path)
    path.unlink()
    assert reader.read() == []
    ask(path, Request("stop"))
    assert reader.read() == [Request("stop")] and reader.read() == []
