"""One training step, and nothing on the host while it runs.

Batch, masks, pixels, loss, gradient and update are tensor operations on the device; the step's number is
a tensor as well, so on a GPU the whole step is one CUDA graph. Losses add up on the device and are read
when a measurement is due.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from models import losses, maskers
from models.asking import choose
from models.config import Config
from models.data import Captioned
from models.data.tokenizer import PAD, Tokenizer
from models.model import CaptionModel, pixels
from models.noise import Noise
from models.speed import Plan

EAGER_STEPS = 3  # before a graph is captured: cuDNN, cuBLAS and the optimiser allocate in their first steps


class OutOfMemory(MemoryError):
    """The model does not fit its device; the message says what was tried."""


class Learner:
    """A model in training: `learn` takes a step, `mean_loss` says how the last ones went."""

    def __init__(self, config: Config, model: CaptionModel, train: Captioned, seed: int, plan: Plan):
        self.config, self.model, self.train, self.seed, self.plan = config, model, train, seed, plan
        self.device = train.images.device
        self.steps = 0  # done
        self.sound = True  # no loss was seen that is not finite
        self.step = torch.zeros(
            (), dtype=torch.int64, device=self.device
        )  # the same number, where it is drawn from
        self.total = torch.zeros((), device=self.device)  # of the losses since the last reading
        self.steps_in_total = 0
        self.masker = maskers.build(config.masker)
        self.weights = losses.weights(config)
        self.trims = self.device.type == "cpu"  # a GPU would have to wait to know how long the captions are
        self.optimizer = optimizer(config, model.parameters(), self.device)
        self.forward = torch.compile(model, dynamic=False) if plan.compile else model
        self._graphs: dict[int, torch.cuda.CUDAGraph | int] = {}  # by batch size; a number counts eager steps

    def learn(self, batch: int, lr: float, momentum: float) -> None:
        """One step on `batch` images. On a GPU it is queued, not awaited."""
        for group in self.optimizer.param_groups:
            _set(group, lr, momentum)
        if self.plan.graph:
            self._replay(batch)
        else:
            self._learn(batch)
        self.steps += 1
        self.steps_in_total += 1

    def mean_loss(self) -> float:
        """Of the steps since this was last asked, nan or infinite if one was. Waits for the device."""
        mean = self.total.item() / max(1, self.steps_in_total)
        self.sound = self.sound and math.isfinite(mean)
        self.total.zero_()
        self.steps_in_total = 0
        return mean

    def try_out(self, batch: int) -> None:
        """One forward and backward at full size that changes nothing, so that a model too big fails here.

        The optimiser's memory is asked for too. Raises OutOfMemory.
        """
        try:
            moments = [torch.empty_like(p) for p in self.model.parameters() for _ in range(2)]
            self._loss(batch, Noise(self.seed, torch.zeros_like(self.step))).backward()
            del moments
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            c = self.config
            raise OutOfMemory(
                f"out of memory on {self.device} before the first step: batch_size {batch}, convnet.depth "
                f"{c.convnet.depth}, convnet.profundity {c.convnet.profundity}, size {c.size}; lower one of them"
            ) from error
        finally:
            self.optimizer.zero_grad(set_to_none=True)

    def _learn(self, batch: int) -> None:
        self.step.add_(1)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch, Noise(self.seed, self.step))
        loss.backward()
        if self.config.optimizer.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optimizer.clip)
        self.optimizer.step()
        self.total.add_(loss.detach())

    def _loss(self, batch: int, noise: Noise) -> Tensor:
        """The mean loss of one batch drawn with `noise`: []."""
        c = self.config
        images, tokens = self.train.draw(noise, batch)  # [B, 3, H, W], [B, T]
        tokens = without(tokens, noise.uniform("silence", batch) < c.caption_dropout)
        if self.trims:
            tokens = tokens[
                :, (tokens != PAD).any(0)
            ]  # the longest of the batch is often half the longest of all
        given = self.masker(noise, batch, c.size)  # [B, 3, H, W]
        at, asked = choose(given, c.loss_pixels, noise, also_given=c.optimize_given)  # [B, K], [B, K, 3]
        with self.plan.autocast(self.device):
            logits = self.forward(images, given, tokens, at, noise)  # [B, K, 3, 256]
        return losses.asked_mean(losses.level_loss(logits, pixels(images, at), **self.weights), asked)

    def _replay(self, batch: int) -> None:
        graph = self._graphs.get(batch, 0)
        if isinstance(graph, torch.cuda.CUDAGraph):
            graph.replay()
        elif graph < EAGER_STEPS:  # these are steps like any other
            self._graphs[batch] = graph + 1
            with torch.cuda.stream(side := torch.cuda.Stream()):
                side.wait_stream(torch.cuda.default_stream())
                self._learn(batch)
            torch.cuda.current_stream().wait_stream(side)
        else:
            self.optimizer.zero_grad(set_to_none=True)  # so that the graph owns its gradients
            self._graphs[batch] = captured = torch.cuda.CUDAGraph()
            with torch.cuda.graph(captured):
                self._learn(batch)
            captured.replay()  # capturing ran nothing

    def state(self) -> dict[str, Any]:
        """All that a later step depends on; `restore` takes it back."""
        return {
            "steps": self.steps,
            "total": self.total.item(),
            "steps_in_total": self.steps_in_total,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        self.step.fill_(self.steps)
        self.total.fill_(state["total"])
        self.steps_in_total = state["steps_in_total"]
        self.model.load_state_dict(state["model"])
        rates = [
            group["lr"] for group in self.optimizer.param_groups
        ]  # of this device's kind, tensor or number
        self.optimizer.load_state_dict(state["optimizer"])
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def without(tokens: Tensor, silent: Tensor) -> Tensor:
    """tokens [B, T] where the captions of the `silent` [B] say nothing."""
    empty = nn.functional.pad(
        Tokenizer.empty(1, tokens.device), (0, tokens.shape[1] - 1), value=PAD
    )  # [1, T]
    return torch.where(silent[:, None], empty, tokens)


def optimizer(config: Config, parameters, device: torch.device) -> torch.optim.Optimizer:
    """As `optimizer.kind` says; `learn` sets rate and momentum before each step."""
    chosen = config.optimizer
    weights = list(parameters)
    cuda = device.type == "cuda"
    # A graph replays the numbers it saw, but reads a tensor anew. (A CPU's optimisers take numbers only.)
    lr = torch.tensor(config.lr, device=device) if cuda else config.lr
    given = {"lr": lr, "weight_decay": chosen.weight_decay}
    match chosen.kind:
        case "adam":
            betas = (chosen.momentum, 0.999)
            return torch.optim.Adam(weights, betas=betas, fused=True, capturable=cuda, **given)
        case "adamw":
            betas = (chosen.momentum, 0.999)
            return torch.optim.AdamW(weights, betas=betas, fused=True, capturable=cuda, **given)
        case "sgd":
            return torch.optim.SGD(weights, momentum=chosen.momentum, fused=True, **given)
        case _:
            return torch.optim.RMSprop(weights, momentum=chosen.momentum, capturable=cuda, **given)


def _set(group: dict, lr: float, momentum: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
    if "betas" in group:
        group["betas"] = (momentum, group["betas"][1])
    else:
        group["momentum"] = momentum


def _is_memory(error: BaseException) -> bool:
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in said
