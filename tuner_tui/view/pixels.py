"""The scatterplots as pixels in the terminal itself (sixel, kitty): the one door to textual-image.

An option, because only some terminals draw pixels, and the question whether this one does goes over its keyboard.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.console import Console

from ..study.snapshot import Snapshot
from .picture import save_picture


class NoPixels(Exception):
    """Pixels can't be shown here; str() says what to do."""


def show_pixels(snapshot: Snapshot) -> None:
    """Print the picture as wide as the terminal. Raises NoPixels where the terminal, or the library, can't."""
    if not sys.stdout.isatty():
        raise NoPixels("pixels need a terminal; --save FILE writes the picture")
    try:
        from textual_image.renderable import Image, SixelImage, TGPImage  # asks the terminal what it can
    except ImportError:
        raise NoPixels("pixels need textual-image: pip install 'tuner-tui[pixels]'") from None
    if Image not in (SixelImage, TGPImage):
        raise NoPixels(
            "this terminal knows neither sixel nor kitty's graphics; `tuner plot --save FILE` is for any"
        )
    with tempfile.TemporaryDirectory(prefix="tuner-") as folder:
        picture = Path(folder) / "plots.png"
        save_picture(snapshot, picture)
        Console(file=sys.stdout).print(Image(picture, width="100%", height="auto"))
