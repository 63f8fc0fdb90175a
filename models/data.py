"""The captioned images of one run, split by image into training and validation.

Which side an image falls on depends on its code point and the split's seed alone, not on how many
other images there are: a newer Python knows more names, and must not reshuffle the rest. The split's
seed is not the trial's: all trials of a search are judged on the same images.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models import openmoji
from models.openmoji import Emoji
from models.tokenizer import Tokenizer

VALID = 0.1  # the share of images held out


@dataclass(frozen=True)
class Captioned:
    """Images and what they are called."""

    images: Tensor  # [N, 3, size, size] uint8
    tokens: Tensor  # [N, T] int64, 0 is padding
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.captions)


@dataclass(frozen=True)
class Data:
    train: Captioned
    valid: Captioned
    tokenizer: Tokenizer


def split(emojis: Sequence[Emoji], seed: int) -> tuple[list[Emoji], list[Emoji]]:
    """Training and validation images; the latter in an order of their own, so a few are a fair sample."""
    draws = {e.code: _draw(seed, e.code) for e in emojis}
    train = [e for e in emojis if draws[e.code] >= VALID]
    valid = sorted((e for e in emojis if draws[e.code] < VALID), key=lambda e: draws[e.code])
    return train, valid


def load(size: int, split_seed: int = 0, valid_images: int | None = None) -> Data:
    """Draws the emoji at `size` x `size` on white and splits them; takes about a quarter of a second.

    `valid_images` keeps at most so many for validation. Raises RuntimeError as `openmoji.render` does.
    """
    train, valid = split(openmoji.render(size), split_seed)
    tokenizer = Tokenizer.of(e.caption for e in train)
    return Data(_captioned(train, tokenizer), _captioned(valid[:valid_images], tokenizer), tokenizer)


def _captioned(emojis: list[Emoji], tokenizer: Tokenizer) -> Captioned:
    captions = tuple(e.caption for e in emojis)
    return Captioned(torch.from_numpy(openmoji.on_background(emojis)), tokenizer(captions), captions)


def _draw(seed: int, code: int) -> float:
    """Uniform on [0, 1), the same on every machine."""
    digest = hashlib.sha256(f"{seed}:{code:x}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
