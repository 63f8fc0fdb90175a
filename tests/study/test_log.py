"""A log is cut in its middle, whatever is in it and however it grows, and says what it lacks."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tuner_tui.study.log import left_out, shorten

LIMIT = 4096


def kept(text: bytes) -> tuple[bytes, bytes]:
    """What a log has before and behind the line that says what is missing."""
    before, mark, behind = text.partition(b"\n[tuner: ")
    return before, behind.partition(b"\n")[2] if mark else b""


@given(
    st.lists(st.binary(min_size=1, max_size=3000).map(lambda part: part.replace(b"[", b"(") * 3), max_size=12)
)
def test_its_beginning_and_its_end_are_kept_and_the_rest_is_counted(tmp_path_factory, parts):
    path = tmp_path_factory.mktemp("log") / "log.txt"
    printed = b""
    with path.open("ab", buffering=0) as program:  # as a trial has it open: it appends
        for part in parts:
            program.write(part)
            printed += part
            shorten(path, LIMIT)
            text = path.read_bytes()
            assert len(text) <= LIMIT
            if len(printed) <= LIMIT:
                assert text == printed and left_out(path, LIMIT) == 0
            else:
                before, behind = kept(text)
                assert before == printed[: LIMIT // 2]
                assert printed.endswith(behind) and len(behind) >= min(LIMIT // 4, len(printed) - LIMIT // 2)
                assert left_out(path, LIMIT) + len(before) + len(behind) == len(printed)


def test_what_is_no_file_stays_as_it_is(tmp_path: Path):
    """A trial can put anything where its log was."""
    other = tmp_path / "other"
    other.write_bytes(b"x" * 10_000)
    (tmp_path / "link").symlink_to(other)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe", "nothing"):
        shorten(tmp_path / name, LIMIT)
        assert left_out(tmp_path / "nothing", LIMIT) == 0
    assert other.stat().st_size == 10_000
