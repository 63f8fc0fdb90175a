"""The picture of a trial: pixels become the right cells, whatever lies in the file, and only when it changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import drawings, studies
from support.room import settle, until
from textual.strip import Strip

from tuner_tui.study.folder import StudyFolder
from tuner_tui.ui.half_blocks import UPPER, half_blocks
from tuner_tui.ui.preview import CAPTION, LEAST_TILE, PICTURE, WORDS, arrange, preview_rows, sheet_of
from tuner_tui.ui.widgets.preview import Preview

SIZE = (140, 44)
pixel = st.tuples(*[st.integers(0, 255)] * 3)
pictures = st.integers(1, 9).flatmap(
    lambda width: st.lists(st.lists(pixel, min_size=width, max_size=width), min_size=1, max_size=9)
)


def pixels_of(strips: list[Strip]) -> list[list[tuple[int, int, int] | None]]:
    """What a person sees of strips: two rows of pixels for each."""
    rows: list[list[tuple[int, int, int] | None]] = []
    for strip in strips:
        upper, lower = [], []
        for text, style, _ in strip:
            back = tuple(style.bgcolor.triplet) if style and style.bgcolor else None
            front = tuple(style.color.triplet) if style and style.color else None
            for letter in text:
                assert letter in (UPPER, " ")
                upper.append(front if letter == UPPER else back)
                lower.append(back)
        rows += [upper, lower]
    return rows


@given(pictures)
def test_every_pixel_is_seen_where_it_was(picture):
    strips = half_blocks(picture)
    assert [strip.cell_length for strip in strips] == [len(picture[0])] * -(-len(picture) // 2)
    seen = pixels_of(strips)
    assert seen[: len(picture)] == picture
    assert all(cell is None for row in seen[len(picture) :] for cell in row)


@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 64), st.integers(1, 200), st.integers(1, 60))
def test_an_arrangement_fits_and_nothing_larger_would(examples, columns, side, width, height):
    arranged = arrange(examples, columns, side, width, height)
    if arranged is None:
        assert width < 2 * columns - 1
        return
    tile, across, shown = arranged
    assert 1 <= tile <= side and 1 <= shown <= examples and across >= 1
    assert across * (columns * (tile + 1) - 1) + 2 * (across - 1) <= width
    rows = -(-shown // across) * (1 + -(-tile // 2))
    assert rows <= height or shown == 1
    assert tile >= min(side, LEAST_TILE, (width + 1) // columns - 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.sampled_from([5, 8, 24, 32]), st.integers(1, 90), st.integers(1, 40))
def test_a_sheet_stays_in_its_room(tmp_path_factory, examples, side, width, height):
    path = tmp_path_factory.mktemp("p") / "preview.png"
    drawings.write_preview(path, examples=examples, side=side)
    rows = preview_rows(path, width, height)
    assert all(row.strip.cell_length <= width for row in rows)
    assert (
        len(rows) <= height or sum(row.role == CAPTION for row in rows) <= 2
    )  # one example and its footnote


def test_tiles_are_shown_as_they_are_where_there_is_room(tmp_path):
    drawings.write_preview(tmp_path / "preview.png", examples=2, side=16)
    rows = preview_rows(tmp_path / "preview.png", 60, 40)
    assert [row.role for row in rows] == [WORDS, CAPTION, *[PICTURE] * 8, CAPTION, *[PICTURE] * 8]
    assert rows[0].strip.text.split() == ["masked", "completed", "truth"]
    assert rows[1].strip.text == drawings.CAPTIONS[0]
    seen = pixels_of([row.strip for row in rows[2:10]])
    whole = drawings.truth(0, 16)
    assert [row[34:] for row in seen] == [[whole.getpixel((x, y)) for x in range(16)] for y in range(16)]


def test_a_smaller_pixel_is_the_average_of_its_area(tmp_path):
    image = Image.new("RGB", (4, 4), "black")
    image.paste((200, 100, 40), (0, 0, 1, 2))
    image.save(tmp_path / "a.png")
    seen = pixels_of([row.strip for row in preview_rows(tmp_path / "a.png", 2, 5)])
    assert seen == [[(100, 50, 20), (0, 0, 0)], [(0, 0, 0), (0, 0, 0)]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_picture_without_words_is_shown_whole_in_any_mode(tmp_path, mode):
    Image.new(mode, (300, 100)).save(tmp_path / "a.png")
    rows = preview_rows(tmp_path / "a.png", 44, 20)
    assert {row.role for row in rows} == {PICTURE}
    assert [row.strip.cell_length for row in rows] == [44] * 8  # 44 x 15 pixels


@pytest.mark.parametrize(
    ("words", "size", "is_sheet"),
    [
        ({"side": "8", "captions": '["a"]'}, (26, 8), True),
        ({"side": "8", "captions": '["a"]'}, (28, 10), True),  # with a line all round
        ({"side": "8", "captions": "[]"}, (26, 17), True),
        ({"side": "8", "captions": '["a"]'}, (27, 8), False),
        ({"side": "0", "captions": '["a"]'}, (26, 8), False),
        ({"side": "8", "captions": '{"a": 1}'}, (26, 8), False),
        ({"side": "8", "captions": "["}, (26, 8), False),
        ({"side": "eight", "captions": "[]"}, (26, 8), False),
        ({"captions": "[]"}, (26, 8), False),
    ],
)
def test_words_that_do_not_fit_the_picture_are_passed_over(words, size, is_sheet):
    sheet = sheet_of(*size, words)
    assert (sheet is not None) == is_sheet
    if sheet:
        assert sheet.box(len(sheet.captions) - 1, sheet.columns - 1)[2:] <= size


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_cut_or_spoilt_anywhere_shows_nothing_or_something_and_never_fails(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("p") / "preview.png"
    drawings.write_preview(path, examples=1, side=9)
    whole = path.read_bytes()
    end = data.draw(st.integers(0, len(whole)))
    at, byte = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
    spoilt = bytearray(whole)
    spoilt[at] = byte
    path.write_bytes(bytes(spoilt[:end]))
    preview_rows(path, 40, 20)


def test_what_is_no_picture_shows_nothing(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    Image.new("RGB", (3, 3)).save(tmp_path / "b.png", "JPEG")
    (tmp_path / "folder.png").mkdir()
    for name in ("text.png", "b.png", "folder.png", "missing.png"):
        assert preview_rows(tmp_path / name, 40, 20) == ()


# ---- on the screen


def picture(app) -> str:
    preview = app.screen.query_one(Preview)
    return (
        "\n".join(preview.render_line(y).text for y in range(preview.size.height)) if preview.display else ""
    )


def drawn(room, number: int = 0, *, alive: bool = True, **options) -> Path:
    folder = room.study("small-1", studies.small_events(), alive=alive)
    path = folder.out(number) / "preview.png"
    drawings.write_preview(path, **options)
    return path


def room_folder(path: Path) -> StudyFolder:
    return StudyFolder(path.parents[3])


async def look_again(pilot, room) -> None:
    """A second later, when the screen has looked at the file once more."""
    preview = pilot.app.screen.query_one(Preview)
    looks = []
    preview.look = lambda *a: (looks.append(a), Preview.look(preview, *a))
    room.now += 1
    await until(pilot, lambda: looks)
    del preview.look
    await settle(pilot)


async def test_a_picture_comes_changes_breaks_and_goes(room, colours):
    path = drawn(room, examples=1, side=12)
    async with room.app(room_folder(path)).run_test(size=SIZE) as pilot:
        await pilot.press("down")
        await settle(pilot)
        assert drawings.CAPTIONS[0] in picture(pilot.app) and UPPER in picture(pilot.app)
        before = pilot.app.screen.query_one(Preview)._rows
        drawings.write_preview(path, examples=1, side=12, blur=0.0)
        await look_again(pilot, room)
        assert pilot.app.screen.query_one(Preview)._rows not in (before, ())
        path.write_bytes(path.read_bytes()[:200])
        await look_again(pilot, room)
        assert picture(pilot.app) == ""
        drawings.write_preview(path, examples=1, side=12)
        await look_again(pilot, room)
        assert drawings.CAPTIONS[0] in picture(pilot.app)
        path.unlink()
        await look_again(pilot, room)
        assert picture(pilot.app) == ""


async def test_another_trial_never_shows_its_neighbours_picture(room, colours):
    path = drawn(room, 3)
    async with room.app(room_folder(path)).run_test(size=SIZE) as pilot:
        pilot.app.screen.selected = 3
        await settle(pilot)
        assert picture(pilot.app)
        await pilot.press("up")
        assert picture(pilot.app) == ""  # at once, whatever the threads do
        await pilot.press("o")
        await settle(pilot)
        assert picture(pilot.app) == ""


@pytest.mark.parametrize(
    ("name", "value"), [("NO_COLOR", "1"), ("NO_COLOR", ""), ("TERM", "dumb"), ("TERM", "vt100")]
)
async def test_no_picture_without_colour(room, colours, name, value):
    path = drawn(room)
    colours.setenv(name, value)
    colours.delenv("COLORTERM")
    async with room.app(room_folder(path)).run_test(size=SIZE) as pilot:
        await pilot.press("down")
        await settle(pilot)
        assert picture(pilot.app) == "" and not pilot.app.screen.query_one(Preview).display


async def test_an_unchanged_picture_is_neither_read_nor_painted_again(room, colours):
    path = drawn(room)
    async with room.app(room_folder(path)).run_test(size=SIZE) as pilot:
        await pilot.press("down")
        await settle(pilot)
        preview = pilot.app.screen.query_one(Preview)
        reads, paints = [], []
        colours.setattr("tuner_tui.ui.widgets.preview.preview_rows", lambda *a: reads.append(a) or ())
        refresh = preview.refresh
        colours.setattr(preview, "refresh", lambda *a, **k: (paints.append(a), refresh(*a, **k))[1])
        for _ in range(3):
            await look_again(pilot, room)
        assert reads == [] and paints == []


async def test_the_same_picture_written_again_is_read_and_not_painted(room, colours):
    path = drawn(room)
    async with room.app(room_folder(path)).run_test(size=SIZE) as pilot:
        await pilot.press("down")
        await settle(pilot)
        preview = pilot.app.screen.query_one(Preview)
        paints = []
        colours.setattr(preview, "refresh", lambda *a, **k: paints.append(a))
        os.utime(path, ns=(1, 1))
        await look_again(pilot, room)
        assert preview._wanted.written == 1 and paints == []


async def test_every_size_of_window_with_a_picture(room, colours):
    path = drawn(room)
    async with room.app(room_folder(path)).run_test(size=SIZE) as pilot:
        await pilot.press("down", "enter")
        for size in [(80, 24), (40, 10), (1, 1), (20, 5), (250, 70), (110, 16), (80, 24)]:
            await pilot.resize_terminal(*size)
            await settle(pilot)
        assert drawings.CAPTIONS[0] in picture(pilot.app)
