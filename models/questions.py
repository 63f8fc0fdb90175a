"""What a loss looks at: which pixels of a masked image are asked for, and the fixed exam of validation.

A step computes the logits of a few random pixels only, an unbiased estimate at a fraction of the cost:
three times 256 logits for each pixel are most of what the model computes. Validation draws its masks
and pixels once, from the split's seed, so that every step of every trial answers the same questions.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from models.losses import asked_mean, squared_emd
from models.maskers import Masker
from models.model import LEVELS, CaptionModel, pixels

BATCH = 48  # validation images at a time; more are no faster on a CPU


def choose(given: Tensor, count: int, rng: Generator, also_given: bool = False) -> tuple[Tensor, Tensor]:
    """Up to `count` random pixels of each image, no pixel twice: `at` [B, K], and `asked` [B, K, 1].

    Asked ones come first; where an image has fewer, the rest of its row is given pixels with asked False.
    `also_given` draws from all pixels alike and asks for all of them. given is [B, 1, H, W].
    """
    given = given.flatten(1)  # [B, H*W]
    order = torch.rand(given.shape, generator=rng)
    if not also_given:
        order = order + ~given
    at = order.topk(min(count, given.shape[1])).indices  # [B, K]
    asked = torch.ones_like(given) if also_given else ~given
    return at, asked.gather(1, at)[..., None]


@dataclass(frozen=True)
class Exam:
    """The same questions for every model: validation images, their masks, and the pixels asked for."""

    images: Tensor  # [V, 3, H, W] uint8
    tokens: Tensor  # [V, T]
    given: Tensor  # [V, 1, H, W] bool
    at: Tensor  # [V, K]
    asked: Tensor  # [V, K, 1] bool

    @staticmethod
    def draw(images: Tensor, tokens: Tensor, masker: Masker, count: int, seed: int) -> "Exam":
        rng = Generator().manual_seed(seed)
        given = masker(len(images), images.shape[-1], rng)
        return Exam(images, tokens, given, *choose(given, count, rng))

    def to(self, device: torch.device) -> "Exam":
        return Exam(*(t.to(device) for t in (self.images, self.tokens, self.given, self.at, self.asked)))

    @torch.no_grad()
    def loss(self, model: CaptionModel) -> float:
        """The squared EMD of the model's answers, in intensity levels."""
        losses = []
        for start in range(0, len(self.images), BATCH):
            some = slice(start, start + BATCH)
            logits = model(self.images[some], self.given[some], self.tokens[some], self.at[some])
            losses.append(squared_emd(logits, pixels(self.images[some], self.at[some])))
        return asked_mean(torch.cat(losses), self.asked).item()

    def loss_of_marginal(self, train: Tensor) -> float:
        """What the constant answer would score: each channel's histogram over train [N, 3, H, W]."""
        counts = torch.stack([torch.bincount(c.flatten(), minlength=LEVELS) for c in train.unbind(1)])
        answer = counts.double().log()[:, None].expand(-1, LEVELS, -1)  # [3, 256, 256]: softmax = histogram
        loss_of = squared_emd(answer, torch.arange(LEVELS, device=answer.device).expand(3, -1))  # [3, 256]
        levels = pixels(self.images, self.at).long()  # [V, K, 3]
        loss = torch.stack([loss_of[c, levels[..., c]] for c in range(3)], -1)  # [V, K, 3]
        return asked_mean(loss, self.asked).item()
