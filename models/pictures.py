"""What the model draws, for a person to look at: masked input, completion and truth, side by side.

A completion takes the median of each asked pixel's histogram, the best single answer under the squared
EMD. All pixels are answered at once, so what must agree comes out blurred; this is not a sample.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from models.model import CaptionModel

ZOOM = 4  # screen pixels for a pixel; at 24 x 24 a drawing is the size of a thumbnail
GAP = 8
HOLE = 128  # the grey of what is not given
CAPTION = 300  # width of the column of captions


@torch.no_grad()
def complete(model: CaptionModel, images: Tensor, given: Tensor, tokens: Tensor) -> Tensor:
    """[B, 3, H, W] uint8: what is given untouched, the rest the median of the model's answer."""
    logits = model(images, given, tokens)  # [B, H*W, 3, 256]
    median = (logits.softmax(-1).cumsum(-1) < 0.5).sum(-1).clamp(max=255)  # [B, H*W, 3]
    drawn = median.transpose(1, 2).reshape(images.shape).to(torch.uint8)
    return torch.where(given, images, drawn)


def save(path: Path, images: Tensor, given: Tensor, completed: Tensor, captions: tuple[str, ...]) -> None:
    """A PNG with a row for each image: masked, completed, true, and the caption beside them."""
    masked = torch.where(given, images, HOLE)
    side = images.shape[-1] * ZOOM
    sheet = Image.new("RGB", (3 * (side + GAP) + GAP + CAPTION, len(images) * (side + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, caption in enumerate(captions):
        y = GAP + row * (side + GAP)
        for column, pictures in enumerate((masked, completed, images)):
            pixels = np.ascontiguousarray(pictures[row].to(torch.uint8).cpu().permute(1, 2, 0))  # [H, W, 3]
            x = GAP + column * (side + GAP)
            sheet.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), (x, y))
            draw.rectangle((x - 1, y - 1, x + side, y + side), outline="lightgrey")
        draw.text((GAP + 3 * (side + GAP), y + side // 2 - 6), caption, "black", ImageFont.load_default(12))
    sheet.save(path)
