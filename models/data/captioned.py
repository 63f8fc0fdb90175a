"""The captioned images of one run: on the device as bytes, drawn from there by tensor operations alone.

Whatever the source, an image may have several captions. They are kept flat, and each image knows where
its own begin and how many they are; a step draws one of them.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import torch
from torch import Tensor

from models.data.tokenizer import LONGEST, Tokenizer, words
from models.noise import Noise

Say = Callable[[str], None]  # where a sentence for the user goes


@dataclass(frozen=True)
class Pictures:
    """Images from a source: those of training first, then those of validation, the fairest sample first."""

    images: Tensor  # [N, 3, S, S] uint8
    captions: Sequence[Sequence[str]]  # N of at least one each
    train: int  # how many of them are for training
    content: str  # a hash of the images


@dataclass(frozen=True)
class Captioned:
    """N images with M captions in all."""

    images: Tensor  # [N, 3, S, S] uint8
    tokens: Tensor  # [M, T] int64, 0 is padding
    first: Tensor  # [N] int64: the captions of image n are first[n] ...
    count: Tensor  # [N] int64: ... to first[n] + count[n] - 1
    captions: tuple[str, ...]  # M

    @staticmethod
    def of(images: Tensor, captions: Sequence[Sequence[str]], tokenizer: Tokenizer) -> "Captioned":
        """Images [N, 3, S, S] with the captions of each, tokenized."""
        counts = [len(said) for said in captions]
        flat = tuple(chain.from_iterable(captions))
        first = torch.tensor([0, *accumulate(counts)][:-1], dtype=torch.int64)
        return Captioned(images, tokenizer(flat), first, torch.tensor(counts, dtype=torch.int64), flat)

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> "Captioned":
        """The same on another device."""
        images, tokens = self.images.to(device), self.tokens.to(device)
        return Captioned(images, tokens, self.first.to(device), self.count.to(device), self.captions)

    def draw(self, noise: Noise, batch: int) -> tuple[Tensor, Tensor]:
        """Images [B, 3, S, S] and a caption of each [B, T], drawn with replacement; no host synchronisation."""
        n = noise.below("image", len(self), batch)  # [B]
        said = noise.below("caption", self.count.index_select(0, n), batch)  # [B]
        m = self.first.index_select(0, n) + said  # [B]
        return self.images.index_select(0, n), self.tokens.index_select(0, m)

    def one_each(self) -> tuple[Tensor, tuple[str, ...]]:
        """The first caption of each image, for an exam that is always the same: [N, T] and N words."""
        return self.tokens.index_select(0, self.first), tuple(self.captions[m] for m in self.first.tolist())


@dataclass(frozen=True)
class Data:
    """Training and validation images with their captions, on the device."""

    train: Captioned
    valid: Captioned
    tokenizer: Tokenizer
    digest: str  # of images, captions and split; stored in checkpoints

    @staticmethod
    def of(
        pictures: Pictures, train_images: int, valid_images: int, device: torch.device | str, say: Say
    ) -> "Data":
        """Numbers the words, as training knows them, and brings everything to the device.

        At most `train_images` are kept for training (0: all), and `valid_images` for validation.
        """
        end = min(pictures.train + valid_images, len(pictures.captions))
        kept = min(pictures.train, train_images or pictures.train)
        learned, asked = pictures.captions[:kept], pictures.captions[pictures.train : end]
        tokenizer = Tokenizer.of(chain.from_iterable(learned))
        _tell(learned, tokenizer, say)
        train = Captioned.of(pictures.images[:kept], learned, tokenizer)
        valid = Captioned.of(pictures.images[pictures.train : end], asked, tokenizer)
        facts = [pictures.content, kept, end, [list(said) for said in pictures.captions[:end]]]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        return Data(train.to(device), valid.to(device), tokenizer, digest)


def content_of(images: Tensor) -> str:
    """The hash of images [N, 3, S, S] uint8, wherever they are."""
    return hashlib.sha256(images.cpu().contiguous().numpy().data).hexdigest()


def _tell(captions: Sequence[Sequence[str]], tokenizer: Tokenizer, say: Say) -> None:
    """Reports captions that are usable only in part: too long, or of unknown words."""
    # A word takes two characters with its space: a shorter caption has no more than LONGEST of them.
    long = [c for c in chain.from_iterable(captions) if len(c) >= 2 * LONGEST and len(words(c)) > LONGEST]
    if long:
        say(f"{len(long):,} captions have more than {LONGEST} words; only the first {LONGEST} are read")
    if not tokenizer.vocabulary:
        say("no word is in two training captions, so all words are unknown and captions can teach nothing")
