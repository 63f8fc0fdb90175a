"""What is written to the terminal: whatever frames follow each other, it shows the last, and few bytes do it."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from tuner_tui.ui.frames import Frames, codes_of, sixteen, wants_ascii
from tuner_tui.view import signs

CONSOLE = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=40)
WIDTH, HEIGHT = 12, 3
STYLES = [
    None,
    *map(Style.parse, ["", "#ff0000", "bold #00ff00 on #101010", "reverse", "#ff0000 on #101010"]),
]


class Emulator:
    """A terminal that knows cursor positions, SGR and letters two cells wide."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, tuple[str, str, str]]] = {}
        self.style = ("", "", "")

    def write(self, text: str) -> None:
        x = y = 0
        for part in re.findall(r"\x1b\[[0-9;]*[Hm]|[^\x1b]", text):
            if part.endswith("H") and len(part) > 1:
                y, x = (int(number) - 1 for number in part[2:-1].split(";"))
            elif part.startswith("\x1b"):
                self._sgr(part[2:-1])
            else:
                for other in (x - 1, x + 1):  # half of a wide letter that is written over is gone
                    if (
                        get_character_cell_size(self.cells.get((other, y), ("", 0))[0] or " ") == 2
                        and other < x
                    ):
                        self.cells[other, y] = (" ", self.style)
                self.cells[x, y] = (part, self.style)
                for behind in range(1, get_character_cell_size(part)):
                    self.cells[x + behind, y] = ("", self.style)
                x += get_character_cell_size(part)

    def _sgr(self, codes: str) -> None:
        attributes, colour, ground = self.style
        parts = codes.split(";")
        while parts:
            code = parts.pop(0)
            if code == "0":
                attributes, colour, ground = "", "", ""
            elif code in ("38", "48"):
                value = ";".join([code, *(parts.pop(0) for _ in range(4))])
                colour, ground = (value, ground) if code == "38" else (colour, value)
            elif code == "39":
                colour = ""
            elif code == "49":
                ground = ""
            else:
                attributes = ";".join(filter(None, [attributes, code]))
        self.style = (attributes, colour, ground)


@st.composite
def lines(draw: st.DrawFn) -> Strip:
    segments: list[Segment] = []
    left = WIDTH
    while left:
        letter = draw(st.sampled_from(["a", "b", " ", "●", "漢"]))
        if get_character_cell_size(letter) > left:
            letter = " "
        segments.append(Segment(letter, draw(st.sampled_from(STYLES))))
        left -= get_character_cell_size(letter)
    return Strip(segments)


def shown(frame: list[Strip]) -> dict[tuple[int, int], tuple[str, tuple[str, str, str]]]:
    cells = {}
    for y, strip in enumerate(frame):
        x = 0
        for text, style, _ in strip:
            for letter in text:
                codes = codes_of(style, ColorSystem.TRUECOLOR)
                cells[x, y] = (letter, codes)
                for behind in range(1, get_character_cell_size(letter)):
                    cells[x + behind, y] = ("", codes)
                x += get_character_cell_size(letter)
    return cells


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(lines(), min_size=HEIGHT, max_size=HEIGHT), min_size=1, max_size=5))
def test_whatever_frames_follow_the_terminal_shows_the_last(frames):
    kept, terminal = Frames(), Emulator()
    for frame in frames:
        terminal.write(kept.render(LayoutUpdate([[s] for s in frame], Region(0, 0, WIDTH, HEIGHT)), CONSOLE))
        assert terminal.cells == shown(frame)


def test_a_frame_that_is_shown_costs_nothing_and_one_cell_a_few_bytes():
    frame = [Strip([Segment("a" * 40, STYLES[1])])]
    kept = Frames()
    update = LayoutUpdate([[strip] for strip in frame], Region(0, 0, 40, 1))
    assert kept.render(update, CONSOLE).count("a") == 40
    assert kept.render(update, CONSOLE) == ""
    changed = Strip([Segment("a" * 20, STYLES[1]), Segment("b", STYLES[1]), Segment("a" * 19, STYLES[1])])
    chops = ChopsUpdate([{0: changed}], [(0, 0, 40)], [[40]])
    written = kept.render(chops, CONSOLE)
    assert "\x1b[1;21H" in written and written.count("a") == 0 and len(written) < 40
    kept.forget()
    assert kept.render(update, CONSOLE).count("a") == 40


@pytest.mark.parametrize(
    ("colours", "code"),
    [
        ([sign.style.split()[-1] for sign in signs.LINES], {31, 91}),
        ([signs.FINISHED.style, *signs.CROWDS["finished"]], {34, 94}),
        ([signs.UNFINISHED.style], {33, 93}),
        ([signs.BEST.style.split()[-1]], {32, 92, 36, 96}),
        ([signs.TEXT, signs.FRAME], {90, 37}),
    ],
)
def test_sixteen_colours_keep_the_hue(colours, code):
    for colour in colours:
        red, green, blue = bytes.fromhex(colour[1:])
        assert sixteen(red, green, blue) in code


def test_every_sign_has_one_of_ascii_and_outcomes_differ():
    def plain(text: str) -> str:
        kept = Frames(ascii=True)
        update = LayoutUpdate([[Strip([Segment(text)])]], Region(0, 0, 40, 1))
        return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", kept.render(update, CONSOLE))

    used = [signs.FINISHED, signs.UNFINISHED, signs.RUNNING, signs.BEST, signs.DIVERGED, signs.SELECTED]
    drawn = [plain(sign.glyph) for sign in used] + [plain("│")]
    assert all(letter.isascii() and letter != "?" for letter in drawn) and len(set(drawn)) == len(drawn)
    assert plain("漢a") == "??a" and plain("⣿⠁") == "#."


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, False),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, True),
        ({"LC_ALL": "C.UTF-8"}, False),
        ({"LANG": "de_DE.ISO8859-1"}, True),
        ({"LC_ALL": "C", "TUNER_ASCII": "0"}, False),
        ({"LANG": "en_US.UTF-8", "TUNER_ASCII": "1"}, True),
    ],
)
def test_ascii_where_the_locale_or_a_person_says_so(monkeypatch, variables, asked):
    for name in ("LANG", "LC_ALL", "LC_CTYPE", "TUNER_ASCII"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wants_ascii() is asked
