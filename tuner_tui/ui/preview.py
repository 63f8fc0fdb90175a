"""What a trial draws while it trains, `out/preview.png`, made to fit its pane: from a file to rows of cells.

A PNG that says in its text chunks what it is (`side`: pixels to a side of a tile; `captions`: a JSON list) holds
a row of tiles for each example, one pixel between them: masked, completed, truth. Tiles and captions are then
laid out anew, as many examples as the room allows at a size that can still be told. Any other PNG is shown as
it is. Pictures are only ever made smaller, each pixel the average of the area it stands for.

Runs in a thread: nothing here touches a widget. Pillow is imported by the first picture.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.segment import Segment
from textual.strip import Strip

from ..view.labels import fit
from .half_blocks import half_blocks

if TYPE_CHECKING:
    from PIL.Image import Image

NAME = "preview.png"
COLUMNS = ("masked", "completed", "truth")
LEAST_TILE = 12  # pixels to a side; in fewer, an object is a blot
GAP = 2  # cells between examples side by side
LARGEST = 1 << 24  # pixels; a picture of 4096 x 4096 is decoded in a quarter of a second, more is no preview
PICTURE, WORDS, CAPTION = "", "words", "caption"


class Row(NamedTuple):
    """One row of the pane. `role`: WORDS and CAPTION are text in the theme's colours, PICTURE brings its own."""

    role: str
    strip: Strip


@dataclass(frozen=True)
class Sheet:
    """Where the tiles of a picture are."""

    side: int
    columns: int
    captions: tuple[str, ...]  # one an example
    margin: int = 0  # pixels about the whole

    def box(self, example: int, column: int) -> tuple[int, int, int, int]:
        left = self.margin + column * (self.side + 1)
        top = self.margin + example * (self.side + 1)
        return left, top, left + self.side, top + self.side


class Arrangement(NamedTuple):
    """Where the tiles of a sheet stand in the room there is."""

    tile: int  # cells across a tile, and half as many rows
    across: int  # examples side by side
    shown: int  # examples in all


def preview_rows(path: Path, width: int, height: int) -> tuple[Row, ...]:
    """The picture in at most `width` cells, and `height` rows where that can be done; () if there is none.

    A file that is damaged, half-written, too large or no PNG is as good as none.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            if width < 1 or height < 1 or image.width * image.height > LARGEST:
                return ()
            image.load()
            sheet = sheet_of(image.width, image.height, getattr(image, "text", {}))
            flat = _on_white(image)
            return _tiles(flat, sheet, width, height) if sheet else _plain(flat, width, height)
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ):
        return ()


def sheet_of(width: int, height: int, text: dict[str, str]) -> Sheet | None:
    """The tiles that the text chunks speak of; None where they speak of none, or of others than these."""
    try:
        side, captions = int(text["side"]), json.loads(text["captions"])
    except (KeyError, ValueError, RecursionError):
        return None
    if side < 1 or not isinstance(captions, list):
        return None
    columns, examples = (width + 1) // (side + 1), (height + 1) // (side + 1)
    spare = {width - columns * (side + 1) + 1, height - examples * (side + 1) + 1}
    if columns < 1 or examples < 1 or spare not in ({0}, {2}):
        return None
    words = [" ".join(str(caption).split()) for caption in captions]
    words = (words + [""] * examples)[:examples]
    return Sheet(side, columns, tuple(words), margin=spare.pop() // 2)


def arrange(examples: int, columns: int, side: int, width: int, height: int) -> Arrangement | None:
    """As many examples as fit at the least size that can be told, then as large as so many can be.

    One is shown even where the height is too small for it; None where the width is.
    """

    def fitting(tile: int) -> tuple[int, int]:
        across = (width + GAP) // (columns * (tile + 1) - 1 + GAP)
        return across, across * (height // (1 + -(-tile // 2)))

    least = min(side, LEAST_TILE, (width + 1) // columns - 1)
    if least < 1:
        return None
    shown = max(1, min(examples, fitting(least)[1]))
    tile = next((tile for tile in range(side, least, -1) if fitting(tile)[1] >= shown), least)
    return Arrangement(tile, min(fitting(tile)[0], shown), shown)


def _tiles(image: Image, sheet: Sheet, width: int, height: int) -> tuple[Row, ...]:
    examples, words = len(sheet.captions), COLUMNS if sheet.columns == len(COLUMNS) else ()
    room = height - bool(words)
    arranged = arrange(examples, sheet.columns, sheet.side, width, room)
    if arranged and arranged.shown < examples:  # a row is needed to say so
        arranged = arrange(examples, sheet.columns, sheet.side, width, room - 1)
    if arranged is None:
        return ()
    tile, across, shown = arranged
    block = sheet.columns * (tile + 1) - 1
    rows: list[Row] = []
    if words:
        heads = " ".join(fit(word, tile) for word in words)
        rows.append(_text(WORDS, [heads] * across, block, width))
    for first in range(0, shown, across):
        some = range(first, min(first + across, shown))
        rows.append(_text(CAPTION, [sheet.captions[example] for example in some], block, width))
        blocks = [_block(image, sheet, example, tile) for example in some]
        rows += [Row(PICTURE, _side_by_side(strips, GAP)) for strips in zip(*blocks, strict=True)]
    if shown < examples:
        rows.append(_text(CAPTION, [f"{shown} of {examples}; all of them are in out/"], width, width))
    return tuple(rows)


def _block(image: Image, sheet: Sheet, example: int, tile: int) -> list[Strip]:
    """An example's tiles beside each other."""
    tiles = [
        half_blocks(_pixels(_averaged(image.crop(sheet.box(example, column)), tile, tile)))
        for column in range(sheet.columns)
    ]
    return [_side_by_side(strips, 1) for strips in zip(*tiles, strict=True)]


def _plain(image: Image, width: int, height: int) -> tuple[Row, ...]:
    scale = min(1.0, width / image.width, 2 * height / image.height)
    small = _averaged(image, max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return tuple(Row(PICTURE, strip) for strip in half_blocks(_pixels(small)))


def _on_white(image: Image) -> Image:
    from PIL import Image as images

    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    paper = images.new("RGBA", image.size, "white")
    return images.alpha_composite(paper, image.convert("RGBA")).convert("RGB")


def _averaged(image: Image, width: int, height: int) -> Image:
    from PIL.Image import Resampling

    return image if image.size == (width, height) else image.resize((width, height), Resampling.BOX)


def _pixels(image: Image) -> list[list[tuple[int, int, int]]]:
    data, across = image.tobytes(), 3 * image.width
    flat = list(zip(data[::3], data[1::3], data[2::3], strict=True))
    return [flat[at : at + image.width] for at in range(0, len(data) // 3, across // 3)]


def _side_by_side(strips: tuple[Strip, ...], gap: int) -> Strip:
    joined = [strips[0]]
    for strip in strips[1:]:
        joined += [Strip([Segment(" " * gap)], gap), strip]
    return Strip.join(joined)


def _text(role: str, texts: list[str], block: int, width: int) -> Row:
    """Texts above their blocks, cut to them; the last may use what is left of the width."""
    cut = [fit(text, block) for text in texts[:-1]]
    last = width - len(cut) * (block + GAP)
    return Row(role, Strip([Segment((" " * GAP).join([*cut, fit(texts[-1], last)]).rstrip())]))
