"""What is written to the terminal: only the cells that differ from what it shows.

Textual sends every line of a region that was painted, each piece of it with all of its colours. Over a slow line that
is most of what is sent. Here the last frame is kept, cell by cell; of a new one only the cells that differ are
written, and of their style only what differs from the style before. The same place turns colours into the sixteen of
a simple terminal, by hue, and signs into ASCII where a terminal has no others.
"""

from __future__ import annotations

import colorsys
import locale
import os
from collections.abc import Iterator
from functools import lru_cache

from rich.cells import get_character_cell_size
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

BRIDGE = 4  # equal cells between two that differ: to write them costs less than to move the cursor
# Eight hues in their order round the circle, and the codes of the colours nearest to them.
_HUES = ((0.0, 31), (1 / 6, 33), (1 / 3, 32), (0.48, 36), (2 / 3, 34), (5 / 6, 35), (1.0, 31))
_GREY = 0.12  # saturation below which a colour is none
_DARK, _PALE = 0.25, 0.75  # lightness of a grey: below it stands back, above it is white
_LIGHT = 0.62  # lightness from which a colour is the bright one of its two
_BACKGROUND = 0.2  # lightness: a darker background is the terminal's own

Cell = tuple[str, Style | None]  # a character two cells wide is followed by ("", its style)
Codes = tuple[str, str, str]  # of a style: attributes, foreground, background


class Frames:
    """The cells that the terminal shows. `ascii`: no sign beyond ASCII is written."""

    def __init__(self, *, ascii: bool = False) -> None:
        self._ascii = ascii
        self._shown: dict[tuple[int, int], Cell] = {}
        self._codes: dict[Style | None, Codes] = {}

    def forget(self) -> None:
        """The terminal may show anything: the next frame is written whole."""
        self._shown.clear()

    def render(self, update: CompositorUpdate, console: Console) -> str:
        """What to write for an update."""
        pieces = _pieces(update)
        if pieces is None:
            self.forget()
            return update.render_segments(console)
        written: list[str] = []
        before: Codes | None = None
        for x, y, strip in pieces:
            for start, cells in self._differing(x, y, strip):
                written.append(f"\x1b[{y + 1};{start + 1}H")
                for text, style in cells:
                    codes = self._codes_of(style, console)
                    if codes != before:
                        written.append(_change(before, codes))
                        before = codes
                    written.append(_ascii(text) if self._ascii and not text.isascii() else text)
        if before is not None:
            written.append("\x1b[0m")
        return "".join(written)

    def _differing(self, x: int, y: int, strip: Strip) -> Iterator[tuple[int, list[Cell]]]:
        """(column, cells) of each run of cells to write; they count as shown from then on."""
        cells = _cells(strip)
        shown = self._shown
        start = last = -1
        for i, cell in enumerate(cells):
            if shown.get((x + i, y)) == cell:
                continue
            if start >= 0 and i - last > BRIDGE:
                yield x + start, cells[start : _whole(cells, last)]
                start = -1
            if start < 0:
                start = i - 1 if cell[0] == "" and i else i
            last = i
            shown[x + i, y] = cell
        if start >= 0:
            yield x + start, cells[start : _whole(cells, last)]

    def _codes_of(self, style: Style | None, console: Console) -> Codes:
        found = self._codes.get(style)
        if found is None:
            found = self._codes[style] = codes_of(style, console._color_system)
        return found


class Changes(CompositorUpdate):
    """An update of which only what differs is written."""

    def __init__(self, frames: Frames, update: CompositorUpdate) -> None:
        self._frames = frames
        self._update = update

    def render_segments(self, console: Console) -> str:
        return self._frames.render(self._update, console)


def _pieces(update: CompositorUpdate) -> list[tuple[int, int, Strip]] | None:
    """(column, line, strip) of all that an update paints; None for one of an unknown kind."""
    found: list[tuple[int, int, Strip]] = []
    match update:
        case ChopsUpdate():
            for y, x1, x2 in update.spans:
                for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                    if strip is None or x > x2 or end <= x1:
                        continue
                    inside = x2 > x >= x1 and end <= x2
                    found.append((x, y, strip if inside else strip.crop(0, min(end, x2) - x)))
        case LayoutUpdate():
            for y, line in enumerate(update.strips, update.region.y):
                x = update.region.x
                for strip in line:
                    found.append((x, y, strip))
                    x += strip.cell_length
        case _:
            return None
    return found


def _cells(strip: Strip) -> list[Cell]:
    cells: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        if text.isascii():
            cells += [(letter, style) for letter in text]
            continue
        for letter in text:
            width = get_character_cell_size(letter)
            if width == 0 and cells:  # it belongs to the letter before
                cells[-1] = (cells[-1][0] + letter, cells[-1][1])
            else:
                cells.append((letter, style))
                cells += [("", style)] * (width - 1)
    return cells


def _whole(cells: list[Cell], last: int) -> int:
    """The end of a run whose last cell is `last`: never in the middle of a wide letter."""
    return last + 2 if last + 1 < len(cells) and cells[last + 1][0] == "" else last + 1


def codes_of(style: Style | None, system: ColorSystem | None) -> Codes:
    """The SGR codes of a style; "" where it says nothing."""
    if style is None:
        return ("", "", "")
    attributes = Style(
        bold=style.bold, dim=style.dim, italic=style.italic, underline=style.underline, blink=style.blink,
        reverse=style.reverse, strike=style.strike,
    )._make_ansi_codes(ColorSystem.TRUECOLOR)  # fmt: skip
    return (
        attributes,
        _colour(style.color, system, foreground=True),
        _colour(style.bgcolor, system, foreground=False),
    )


def _colour(color: Color | None, system: ColorSystem | None, *, foreground: bool) -> str:
    if color is None or system is None or color.is_default:
        return ""
    if system is ColorSystem.STANDARD and color.triplet is not None:
        code = sixteen(*color.triplet, foreground=foreground)
        return "" if code is None else str(code)
    return ";".join(color.downgrade(system).get_ansi_codes(foreground))


@lru_cache(maxsize=1024)
def sixteen(red: int, green: int, blue: int, *, foreground: bool = True) -> int | None:
    """The SGR code of the colour of sixteen with the same hue; None for the terminal's own.

    The nearest in RGB, which is what is usually taken, makes a dark red grey and a pale one yellow.
    """
    hue, lightness, saturation = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
    if not foreground and lightness < _BACKGROUND:
        return None
    if saturation < _GREY or lightness > 0.93:
        code = 90 if lightness < 0.55 else 37 if lightness < _PALE else 97
        if not foreground:
            code = 47 if lightness > _PALE else 100
        return code
    code = min(_HUES, key=lambda known: abs(known[0] - hue))[1]
    code += 60 if lightness > _LIGHT else 0
    return code if foreground else code + 10


def _change(before: Codes | None, now: Codes) -> str:
    """The shortest sequence from one style to another."""
    if before is None or before[0] != now[0]:
        return f"\x1b[{';'.join(('0', *(part for part in now if part)))}m"
    parts: list[str] = []
    for old, new, none in ((before[1], now[1], "39"), (before[2], now[2], "49")):
        if old != new:
            parts.append(new or none)
    return f"\x1b[{';'.join(parts)}m"


# ---- ASCII

_PLAIN = str.maketrans(
    {
        "●": "o", "▲": "A", "○": ".", "★": "*", "×": "x", "∞": "8", "◆": "@", "◇": "d", "△": "a", "│": "|", "║": "H",
        "┃": "I", "▌": "I", "─": "-", "━": "=", "┄": "-", "╌": "-", "┤": "|", "└": "+", "┘": "+", "┌": "+",
        "┐": "+", "┬": "+", "┴": "+", "├": "|", "┼": "+", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "↑": "^",
        "↓": "v", "⇑": "^", "⇓": "v", "⇡": "'", "⇣": ",", "←": "<", "→": ">", "⏎": "<", "⇧": "^", "…": "~",
        "·": ".", "–": "-", "−": "-", "▸": ">", "◂": "<", "░": ":", "▒": "%", "▓": "#", "█": "#", "▇": "#",
        "▆": "%", "▅": "%", "▄": "=", "▃": "-", "▂": "_", "▁": "_", "✓": "+", "▀": "\"", "▎": "|", "▊": "|",
        "▏": "|", "▔": "-", "▐": "|", "▕": "|", "’": "'",
    }
)  # fmt: skip
_BY_DOTS = " ..::oo##"  # a cell of braille, by how many of its eight dots are set


def _ascii(text: str) -> str:
    """The text with a sign of ASCII for every other; of a letter two cells wide, two."""
    return "".join(_plain(letter) for letter in text.translate(_PLAIN))


def _plain(letter: str) -> str:
    if letter.isascii():
        return letter
    if 0x2800 <= ord(letter) <= 0x28FF:
        return _BY_DOTS[(ord(letter) - 0x2800).bit_count()]
    return "?" * get_character_cell_size(letter)


def wants_ascii() -> bool:
    """Whether TUNER_ASCII asks for it, or the locale names an encoding that is not Unicode's."""
    if asked := os.environ.get("TUNER_ASCII"):
        return asked != "0"
    named = next((v for key in ("LC_ALL", "LC_CTYPE", "LANG") if (v := os.environ.get(key))), "")
    return bool(named) and "utf" not in locale.normalize(named).lower() and "utf" not in named.lower()
