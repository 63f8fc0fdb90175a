"""A learning-rate finder's curve for the screen: the same picture and sentence as `tuner find-lr` prints."""

from __future__ import annotations

from textwrap import wrap

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from ..view.rate import RateCurve, rate_panel, rate_words

TALLEST = 24  # rows of the picture; a taller one only stretches it


def rate_strips(curve: RateCurve, name: str, width: int, height: int, base: Style) -> tuple[Strip, ...]:
    """Strips `width` cells wide, at most `height` of them."""
    words = ["", *wrap(rate_words(curve, name), max(width - 2, 1))]
    lines = rate_panel(curve, width - 1, min(max(height - len(words), 1), TALLEST))
    strips = [Strip([Segment(run.text, base + Style.parse(run.style)) for run in line]) for line in lines]
    strips += [Strip([Segment(f" {text}", base)]) for text in words]
    return tuple(strip.adjust_cell_length(width, base) for strip in strips[:height])
