"""An image file, whatever its format and shape, to a square of red, green and blue bytes.

The shortest side is scaled to the square's and the rest cut off evenly, as most image models are fed.
Orientation in EXIF is obeyed and transparency laid on white: what is learned from is what a person sees.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # those that need no other program to be read
SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"))
WHITE = (255, 255, 255, 255)
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # Pillow reads 16-bit greys into the last one too


def square(path: Path, side: int) -> np.ndarray:
    """[3, side, side] uint8. What is wrong with the file is raised in as many ways as Pillow has."""
    with Image.open(path, formats=FORMATS) as image:
        # A JPEG can be decoded at an eighth of its size at a fraction of the cost; twice `side` is left
        # so that it is our own filter that decides what is seen.
        image.draft("RGB", (2 * side, 2 * side))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        rgb = _rgb(image)
    short = min(rgb.size)
    left, top = (rgb.width - short) // 2, (rgb.height - short) // 2
    box = (left, top, left + short, top + short)
    # Pillow's filters widen as they shrink an image, so nothing aliases; the box also spares
    # scaling what a panorama is about to lose.
    scaled = rgb.resize((side, side), Image.Resampling.BICUBIC, box)
    return np.asarray(scaled).transpose(2, 0, 1)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its intensities are floating-point numbers of unknown range; save it with 8 bits")
    if image.mode in SIXTEEN_BITS:  # Pillow's own conversion would clip all but the darkest to white
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image).convert("RGB")
    return image.convert("RGB")
