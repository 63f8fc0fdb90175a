"""Invented previews: what a trial of an image model leaves in `out/preview.png` while it trains.

Also a training function that draws them, for a look at the real thing:
`tuner sweep --set target=drawings:train` beside a search file of one's own.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter
from PIL.PngImagePlugin import PngInfo

CAPTIONS = (
    "a red circle on blue",
    "a yellow square to the left of a green one",
    "ein grüner Kreis unter 空",
    "two suns",
)
_COLOURS = (("#1d3f8f", "#e02424"), ("#7a7a7a", "#f5d90a"), ("#f2ead8", "#1f9d55"), ("#101018", "#ff9d3c"))


def truth(example: int, side: int) -> Image.Image:
    paper, ink = _COLOURS[example % len(_COLOURS)]
    image = Image.new("RGB", (side, side), paper)
    draw = ImageDraw.Draw(image)
    fifth = side // 5
    if example % 2 == 0:
        draw.ellipse((fifth, fifth, side - fifth - 1, side - fifth - 1), fill=ink)
    else:
        draw.rectangle((fifth // 2, fifth, side // 2, side - fifth), fill=ink)
        draw.rectangle((side // 2 + 2, fifth, side - fifth // 2 - 1, side - fifth), fill="#1f9d55")
    return image


def preview(examples: int = 4, side: int = 32, blur: float = 3.0) -> Image.Image:
    """Rows of [masked | completed | truth], one pixel between; the completion is the truth, blurred."""
    sheet = Image.new("RGB", (3 * (side + 1) - 1, examples * (side + 1) - 1), "#000000")
    for example in range(examples):
        whole = truth(example, side)
        masked = whole.copy()
        masked.paste("#808080", (side // 4, side // 4, side - side // 4, side - side // 4))
        completed = masked.copy()
        hole = (side // 4, side // 4, side - side // 4, side - side // 4)
        completed.paste(whole.filter(ImageFilter.GaussianBlur(blur)).crop(hole), hole[:2])
        for column, tile in enumerate((masked, completed, whole)):
            sheet.paste(tile, (column * (side + 1), example * (side + 1)))
    return sheet


def write_preview(path: Path, *, examples: int = 4, side: int = 32, blur: float = 3.0) -> None:
    """As a model does: beside it first, then renamed over it."""
    words = PngInfo()
    words.add_itxt("captions", json.dumps((CAPTIONS * examples)[:examples]))
    words.add_text("side", str(side))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    preview(examples, side, blur).save(beside, "PNG", pnginfo=words)
    beside.rename(path)


def train(*, lr: float = 1e-2, steps: int = 60, out: str = "."):
    """Its completions become sharper, step by step."""
    for step in range(steps):
        loss = 4.0 * 0.95**step + lr
        if step % 5 == 0:
            write_preview(Path(out) / "preview.png", blur=6.0 * 0.95**step)
        yield {"step": step, "loss": loss}
        time.sleep(0.2)
