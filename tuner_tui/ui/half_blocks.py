"""Pixels as terminal cells, two to a cell: ▀ takes the colour of the upper one, its background the lower.

The only place that knows how a picture becomes characters. It needs a terminal of at least 256 colours; where
there are fewer, `shows_pictures` says so and nothing is drawn: a picture in 16 colours is noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby, zip_longest

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.strip import Strip

UPPER = "▀"
RGB = tuple[int, int, int]
_COLOURFUL = ("256", "truecolor")  # rich's names


def shows_pictures(app: App) -> bool:
    """Whether the terminal has the colours, and NO_COLOR does not forbid them."""
    return not app.no_color and app.console.color_system in _COLOURFUL


def half_blocks(pixels: Sequence[Sequence[RGB]]) -> list[Strip]:
    """Rows of equally many pixels -> half as many strips, rounded up, each as wide in cells as they in pixels.

    Below an odd last row the background is left as it is.
    """
    return [
        _strip(upper, lower)
        for upper, lower in zip_longest(pixels[::2], pixels[1::2], fillvalue=None)
        if upper
    ]


def _strip(upper: Sequence[RGB], lower: Sequence[RGB] | None) -> Strip:
    below: Sequence[RGB | None] = [None] * len(upper) if lower is None else lower
    segments = [
        _segment(a, b, sum(1 for _ in run)) for (a, b), run in groupby(zip(upper, below, strict=True))
    ]
    return Strip(segments, len(upper))


def _segment(upper: RGB, lower: RGB | None, cells: int) -> Segment:
    if upper == lower:
        return Segment(" " * cells, _style(None, upper))  # a bad line has less to carry
    return Segment(UPPER * cells, _style(upper, lower))


@lru_cache(maxsize=65536)
def _style(front: RGB | None, back: RGB | None) -> Style:
    return Style(color=front and Color.from_rgb(*front), bgcolor=back and Color.from_rgb(*back))
