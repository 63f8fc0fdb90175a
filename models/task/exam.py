"""The exam: validation questions that are the same for every model, whatever it was trained on.

The loss of a masker says as much about the masker as about the model: on its own masks one architecture
scored 6.1 (lone pixels) and 11.5 (patches), and on a common square 11.8 and 9.2. So validation has masks
of its own, drawn from the split's seed, the same bits everywhere, and left beside a training's results.
They are patches (`contiguish`) that leave between 2 % and 98 % of the picture, the p-curve, and the centre
square. Each question can be asked with the true caption, with another image's, and with none.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.data import Captioned
from models.data.tokenizer import Tokenizer
from models.network.model import LEVELS, CaptionModel, pixels
from models.noise import Noise
from models.task import losses, maskers
from models.task.asking import choose

CURVE = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
"""P(known): image n is masked with the (n mod 7)th."""

ASKED = 128  # pixels asked of an image; not `loss_pixels`, or a search over that would change the task
REDRAWS = 100  # of masks that hide nothing: at p = 0.98 most do, and none is left after a few dozen
LOGITS = 1 << 25  # computed at a time: 128 MiB of float32
PIXELS = 1 << 16  # seen at a time: a step's 16 images of 64 x 64, so what fits in training fits here
MARGINAL = 4096  # training images whose histogram is taken: 4 million pixels at 32 x 32


@dataclass(frozen=True)
class Questions:
    """V masked images, and the pixels and channels that are scored."""

    images: Tensor  # [V, 3, H, W] uint8
    given: Tensor  # [V, 3, H, W] bool
    at: Tensor  # [V, K]
    asked: Tensor  # [V, K, 3] bool


@dataclass(frozen=True)
class Answers:
    """Scores: means over each image's asked variables, then over images. Levels are intensities, 0 to 255."""

    emd2: float  # levels
    bits: float  # per asked variable; no likelihood bound, as patches are not a random order
    curve: tuple[float, ...]  # emd2 at each P(known) of CURVE; nan where no image had it
    mean_error: float  # squared, of the histograms' means: levels^2

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio of the histograms' means in dB, from the mean squared error over all images."""
        return 10 * math.log10(255**2 / self.mean_error) if self.mean_error > 0 else math.inf


@dataclass(frozen=True)
class Exam:
    """The questions that every model is asked, and what two constant answers score on them."""

    curve: Questions
    centre: Questions
    tokens: Tensor  # [V, T] the true captions
    learned: (
        Questions  # training images under the masks of `curve`, as many if there are: they show overfitting
    )
    learned_tokens: Tensor  # ... and their captions
    marginal: float  # emd2 on `curve` of always answering with the training images' histogram
    uniform: float  # ... and of always answering "anything"

    @staticmethod
    def draw(train: Captioned, valid: Captioned, seed: int) -> "Exam":
        """The exam on the images of `valid`: a function of these images and the seed."""
        images, tokens = valid.images, valid.one_each()[0]
        side = images.shape[-1]
        count = min(len(images), len(train))
        known = torch.arange(count, device=images.device) * len(train) // count  # evenly from all of them
        # Powers are rounded differently on other devices: all masks are drawn on the CPU.
        patches = _patches(len(images), side, seed).to(images.device)
        square = maskers.center(Noise.at(seed, 0), torch.full((len(images),), 0.75), side)
        curve = _questions(images, patches, seed, ASKED)
        learned = _questions(train.images[known], patches[:count], seed, ASKED)
        centre = _questions(images, square.to(images.device), seed, side**2)
        learned_tokens = train.one_each()[0][known]
        return Exam(curve, centre, tokens, learned, learned_tokens, *_baselines(train.images, curve))

    def save(self, path: Path) -> None:
        """Saves masks and pixels as NumPy arrays, so that another model can be asked the same questions."""
        asked = {"curve": self.curve, "centre": self.centre}
        arrays = {f"{name}_{what}": getattr(q, what) for name, q in asked.items() for what in ("given", "at")}
        np.savez_compressed(path, **{name: tensor.cpu().numpy() for name, tensor in arrays.items()})

    def shuffled(self) -> Tensor | None:
        """Each image with the caption of the nearest one before it that has another caption: [V, T].

        None when all captions are the same, as with a single image: then no caption is a wrong one.
        """
        others = self.tokens.roll(1, 0)
        for back in range(2, len(self.tokens)):
            same = (others == self.tokens).all(1)  # [V]
            if not same.any():
                break
            others = torch.where(same[:, None], self.tokens.roll(back, 0), others)
        return None if (others == self.tokens).all(1).any() else others

    def empty(self) -> Tensor:
        """Empty captions for all images: [V, 1]."""
        return Tokenizer.empty(len(self.tokens), self.tokens.device)


@torch.no_grad()
def answer(
    model: CaptionModel,
    asked: Questions,
    tokens: Tensor,
    precision: Callable[[torch.device], AbstractContextManager[Any]] = nullcontext,
) -> Answers:
    """The model's scores on these questions with the captions `tokens` [V, T]. Waits for the device.

    The model runs inside `precision(device)`: bfloat16 of a GPU's training, for example.
    """
    emd2, bits, error = [], [], []
    fit = LOGITS // (asked.at.shape[1] * 3 * LEVELS), PIXELS // asked.images[0, 0].numel()
    at_once = max(1, min(fit))
    for start in range(0, len(asked.at), at_once):
        some = slice(start, start + at_once)
        truth = pixels(asked.images[some], asked.at[some])  # [B, K, 3]
        with precision(tokens.device):
            # [B, K, 3, 256]
            logits = model(asked.images[some], asked.given[some], tokens[some], asked.at[some])
        for scored, score in zip((emd2, bits, error), losses.scores(logits, truth), strict=True):
            scored.append(score)
    each = _each(torch.cat(emd2), asked.asked)  # [V]
    ps = torch.arange(len(each), device=each.device) % len(CURVE)
    curve = torch.stack([each[ps == i].nanmean() for i in range(len(CURVE))])
    means = [losses.asked_mean(torch.cat(x), asked.asked) for x in (emd2, bits, error)]
    loss, bit, squares, *curve = torch.cat([torch.stack(means), curve]).tolist()
    return Answers(loss, bit, tuple(curve), squares)


def _questions(images: Tensor, given: Tensor, seed: int, count: int) -> Questions:
    hidden = int((~given.all(1)).flatten(1).sum(1).max())
    return Questions(images, given, *choose(given, min(count, hidden), Noise.at(seed, 0, images.device)))


def _patches(images: int, side: int, seed: int) -> Tensor:
    """[V, 3, side, side]: contiguish masks along CURVE, each with at least one hidden pixel.

    The patches are a quarter of the picture wide (17 pixels of 64, in the post).
    """
    p = torch.tensor(CURVE).repeat(math.ceil(images / len(CURVE)))[:images]  # [V]
    given = maskers.contiguish(Noise.at(seed, 0), p, side, side // 8)
    for again in range(1, REDRAWS):
        nothing = given.flatten(1).all(1)  # [V]
        if not nothing.any():
            break
        other = maskers.contiguish(Noise.at(seed, again), p, side, side // 8)
        given = torch.where(nothing[:, None, None, None], other, given)
    return given


def _baselines(train: Tensor, asked: Questions) -> tuple[float, float]:
    """Scores of two constant answers: each channel's histogram over train [N, 3, H, W], and the uniform one."""
    every = max(1, len(train) // MARGINAL)
    counts = torch.stack([torch.bincount(c.flatten(), minlength=LEVELS) for c in train[::every].unbind(1)])
    truth = pixels(asked.images, asked.at).long()  # [V, K, 3]
    scores = []
    for histogram in (counts.double(), torch.ones_like(counts, dtype=torch.float64)):
        logits = histogram.log()[:, None].expand(
            -1, LEVELS, -1
        )  # [3, 256, 256]: its softmax is the histogram
        loss_of = losses.squared_emd(
            logits, torch.arange(LEVELS, device=logits.device).expand(3, -1)
        )  # [3, 256]
        loss = torch.stack([loss_of[c, truth[..., c]] for c in range(3)], -1)  # [V, K, 3]
        scores.append(losses.asked_mean(loss, asked.asked).item())
    return scores[0], scores[1]


def _each(loss: Tensor, asked: Tensor) -> Tensor:
    """The mean over each image's asked variables: [V]; nan for an image without any."""
    return torch.where(asked, loss, torch.nan).flatten(1).nanmean(1)
