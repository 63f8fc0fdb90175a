"""Pictures of a model's completions, written to the trial's folder at each validation.

completions.png   a sheet to read, enlarged: masked, median, samples, the median with nothing given, truth, caption
preview.png       the same in small for a terminal: masked, median, truth, one pixel for one

Training goes on while others look, so a file is only ever replaced whole.
"""

import json
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from models.drawing.orders import Chunked, Median, Sampler
from models.drawing.sampling import Model, complete

ROWS = 8  # images on the sheet
PREVIEWED = 4  # of them, in a terminal of 24 lines
TILE = 112  # screen pixels that an image is enlarged to at least, by a whole number: 24 to 120, 64 to 128
GAP = 10
TEXT = 15  # height of the letters
WIDTH = 230  # of the column of captions
CHECK = 4  # screen pixels of a square of the checkerboard that stands for a hole
HOLE = (150, 106)  # its two greys; a board as fine as this no picture has
PAPER, EDGE, INK, FAINT = "#f6f8fa", "#d0d7de", "#1f2328", "#6e7781"
SEPARATOR = 48  # the grey between the preview's tiles


def draw_exam(
    model: Model,
    images: Tensor,
    given: Tensor,
    tokens: Tensor,
    captions: Sequence[str],
    folder: Path,
    seed: int = 0,
    *,
    per_channel: bool = False,
) -> None:
    """Completes the first images and leaves completions.png and preview.png in `folder`, made if need be.

    images [V, 3, H, W] uint8, given likewise bool, tokens [V, T], and the V captions that they stand for;
    `per_channel` as the masks were in training. Raises OSError when the folder can't be written to.
    """
    images, given, tokens, captions = images[:ROWS], given[:ROWS], tokens[:ROWS], captions[:ROWS]
    completed = {
        name: complete(model, images, given, tokens, how, seed) for name, how in ways(per_channel).items()
    }
    completed["caption only"] = complete(model, images, torch.zeros_like(given), tokens, Median())
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "completions.png", sheet(images, given, completed, captions))
    _write(folder / "preview.png", *preview(images, given, completed["median"], captions))


def ways(per_channel: bool) -> dict[str, Sampler]:
    """The columns of the sheet and their samplers: the median, a sample, and a sample at low temperature."""
    return {
        "median": Median(),
        "sample": Chunked(per_channel=per_channel),
        "sample, T=0.7": Chunked(per_channel=per_channel, temperature=0.7),
    }


def sheet(
    images: Tensor, given: Tensor, completed: Mapping[str, Tensor], captions: Sequence[str]
) -> Image.Image:
    """A row for each image [B, 3, H, W]: masked, a column for each of `completed`, truth, and the caption."""
    zoom = math.ceil(TILE / max(images.shape[2:]))
    pixels, known = _pixels(images, zoom), _pixels(given, zoom)
    columns = {
        "masked": np.where(known, pixels, _checkerboard(*pixels.shape[1:3])),
        **{name: _pixels(drawn, zoom) for name, drawn in completed.items()},
        "truth": pixels,
    }
    rows, high, wide = pixels.shape[:3]
    font, top = _font(), GAP + TEXT + GAP
    left = GAP + len(columns) * (wide + GAP)
    page = Image.new("RGB", (left + GAP + WIDTH + GAP, top + rows * (high + GAP)), PAPER)
    draw = ImageDraw.Draw(page)
    for column, (name, tiles) in enumerate(columns.items()):
        x = GAP + column * (wide + GAP)
        draw.text((x + wide // 2, GAP), name, FAINT, font, anchor="ma")
        for row, tile in enumerate(tiles):
            y = top + row * (high + GAP)
            draw.rectangle((x - 1, y - 1, x + wide, y + high), outline=EDGE)  # or white ends nowhere
            page.paste(Image.fromarray(tile), (x, y))
    draw.text((left + GAP, GAP), "caption", FAINT, font, anchor="la")
    for row, caption in enumerate(captions):
        middle = top + row * (high + GAP) + high // 2
        text = wrap(caption, font, WIDTH, lines=max(1, high // (TEXT + 4)))
        draw.multiline_text((left + GAP, middle), text, INK, font, anchor="lm", spacing=4)
    return page


def preview(
    images: Tensor, given: Tensor, completed: Tensor, captions: Sequence[str]
) -> tuple[Image.Image, dict[str, str]]:
    """Up to 4 rows of [masked | completed | truth], not enlarged, a pixel apart; and the PNG's text.

    That is "captions", a JSON list of as many strings as there are rows, and "side", the tiles' in pixels.
    """
    pixels, known, drawn = (_pixels(x[:PREVIEWED]) for x in (images, given, completed))  # [B, H, W, 3]
    rows, high, wide = pixels.shape[:3]
    masked = np.where(known, pixels, _checkerboard(high, wide, check=1))
    page = np.full((rows * (high + 1) - 1, 3 * (wide + 1) - 1, 3), SEPARATOR, dtype=np.uint8)
    for row, tiles in enumerate(zip(masked, drawn, pixels, strict=True)):
        for column, tile in enumerate(tiles):
            y, x = row * (high + 1), column * (wide + 1)
            page[y : y + high, x : x + wide] = tile
    return Image.fromarray(page), {"captions": json.dumps([*captions[:PREVIEWED]]), "side": str(high)}


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, lines: int) -> str:
    """The text in at most `lines` lines of at most `width` pixels; "…" where it had to end.

    A word longer than a line is broken. What can't be encoded becomes "?", what can't be printed a space.
    """
    text = "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode())
    rows = [""]
    for word in text.split():
        if len(rows) > lines:
            break
        longer = f"{rows[-1]} {word}".lstrip()
        if font.getlength(longer) <= width:
            rows[-1] = longer
            continue
        if rows[-1]:
            rows.append("")
        for letter in word:
            if rows[-1] and font.getlength(rows[-1] + letter) > width:
                rows.append("")
            rows[-1] += letter
    if len(rows) > lines:
        last = rows[lines - 1]
        while last and font.getlength(last + "…") > width:
            last = last[:-1]
        rows[lines - 1 :] = [last.rstrip() + "…"]
    return "\n".join(rows)


def _pixels(pictures: Tensor, zoom: int = 1) -> np.ndarray:
    """[B, 3, H, W] -> [B, zoom H, zoom W, 3]."""
    array = pictures.cpu().permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(array.repeat(zoom, 1).repeat(zoom, 2))


def _checkerboard(high: int, wide: int, check: int = CHECK) -> np.ndarray:
    """[high, wide, 1] of two greys."""
    odd = (np.arange(high)[:, None] // check + np.arange(wide) // check) % 2
    return np.array(HOLE, dtype=np.uint8)[odd][..., None]


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which has most alphabets and comes with matplotlib, or Pillow's own, which has the Latin one.

    A letter that the font lacks is drawn as a box.
    """
    matplotlib = find_spec("matplotlib")  # not imported: that takes longer than the drawing
    for folder in (matplotlib and matplotlib.submodule_search_locations) or ():
        path = Path(folder) / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if path.exists():
            return ImageFont.truetype(path, TEXT)
    return ImageFont.load_default(TEXT)


def _write(path: Path, picture: Image.Image, info: Mapping[str, str] | None = None) -> None:
    """Replaces the file atomically, so that a reader never sees half of it."""
    text = PngImagePlugin.PngInfo()
    for key, value in (info or {}).items():
        text.add_text(key, value)
    part = path.with_name(f".{path.name}.part")
    try:
        picture.save(part, "png", pnginfo=text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
