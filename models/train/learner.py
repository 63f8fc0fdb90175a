"""One training step, without host synchronisation.

Batch, masks, pixels, loss, gradient and update are tensor operations on the device; the step's number is
a tensor as well, so on a GPU the whole step is one CUDA graph. Losses add up on the device and are read
when a measurement is due.
"""

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.config import Config
from models.data import Captioned
from models.data.tokenizer import PAD, Tokenizer
from models.network.model import CaptionModel, pixels
from models.noise import Noise
from models.task import losses, maskers
from models.task.asking import choose
from models.train import speed
from models.train.speed import Plan

EAGER_STEPS = 3  # before a graph is captured: cuDNN, cuBLAS and the optimiser allocate in their first steps
AHEAD = 4  # steps that may be queued on a GPU: two keep it busy, and stopping has to wait for all of them
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # CPU; CUDA; cuBLAS and cuDNN


class OutOfMemory(MemoryError):
    """The model does not fit its device; the message names the sizes that were tried."""


class Learner:
    """A model in training: `learn` takes a step, `mean_loss` returns the mean loss of the last ones."""

    def __init__(self, config: Config, model: CaptionModel, train: Captioned, seed: int, plan: Plan):
        self.config, self.model, self.train, self.seed, self.plan = config, model, train, seed, plan
        self.device = train.images.device
        self.steps = 0  # done
        self.sound = True  # no loss was seen that is not finite
        # The number of the step, where noise is drawn from it.
        self.step = torch.zeros((), dtype=torch.int64, device=self.device)
        self.total = torch.zeros((), device=self.device)  # of the losses since the last reading
        self.steps_in_total = 0
        self.masker = maskers.build(config.masker)
        self.weights = losses.weights(config)
        # Trimming needs the captions' lengths on the host (a synchronisation on a GPU) and changes the shape (a
        # recompilation).
        self.trims = self.device.type == "cpu" and not plan.compile
        self.optimizer = optimizer(config, model.parameters(), self.device)
        # The reader is not compiled: its loops would be unrolled word by word, and the gradient of its embedding
        # would be summed in an order that differs from run to run.
        exactly = config.speed.deterministic
        self.draw = model.draw
        if plan.compile:
            self.draw = partial(model.draw, paint=speed.compiled(model.paint, exactly))
        speed.repeat(exactly)
        # Streams and graphs are made on the current device, which cuda:1 is not.
        self._there = torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()
        self._queued: deque[torch.cuda.Event] = deque()
        self._side = torch.cuda.Stream(self.device) if plan.graph else None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch = self._eager = 0  # images in a step of the graph, and steps taken without one

    def learn(self, batch: int, lr: float, momentum: float) -> None:
        """One step on `batch` images. On a GPU the step is queued and this returns before it is done."""
        with self._there:
            for group in self.optimizer.param_groups:
                _set(group, lr, momentum)
            if self.plan.graph:
                self._replay(batch)
            else:
                self._learn(batch)
            if self.device.type == "cuda":
                self._keep_pace()
        self.steps += 1
        self.steps_in_total += 1

    def mean_loss(self) -> float:
        """The mean loss of the steps since the last call, nan or infinite if one of them is. Waits for the GPU."""
        mean = self.total.item() / max(1, self.steps_in_total)
        self.sound = self.sound and math.isfinite(mean)
        self.total.zero_()
        self.steps_in_total = 0
        return mean

    def try_out(self, batch: int) -> None:
        """One forward and backward pass at full size, without an update: a model that is too large fails here.

        The optimiser's state is allocated as well. Raises OutOfMemory.
        """
        try:
            with told_of_memory(self.config, batch, self.device), self._there, self._aside():
                # Written to: a CPU gives memory only then.
                moments = [torch.ones_like(p) for p in self.model.parameters() for _ in range(2)]
                self._loss(batch, Noise(self.seed, torch.zeros_like(self.step))).backward()
                del moments
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
            caption = self.model.read(tokens, noise)
            logits = self.draw(images, given, caption, at, noise)  # [B, K, 3, 256]
        return losses.asked_mean(losses.level_loss(logits, pixels(images, at), **self.weights), asked)

    def _replay(self, batch: int) -> None:
        if batch != self._batch:
            torch.cuda.synchronize()  # the old graph may still run; batches only grow, so it is not needed again
            self._graph, self._batch, self._eager = None, batch, 0
        if self._graph is None and self._eager < EAGER_STEPS:  # these are steps like any other
            self._eager += 1
            with self._aside():
                self._learn(batch)
            return
        if self._graph is None:
            self.optimizer.zero_grad(
                set_to_none=True
            )  # gradients are the graph's own; room for them is made here
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self._side):  # which records, and runs nothing
                self._learn(batch)
            self._graph = graph
        self._graph.replay()

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Runs a block on the stream that the graph will be captured on: that stream's memory is then allocated
        before the capture, and nothing depends on the default stream, which a capture must not wait for."""
        if self._side is None:
            yield
            return
        here = torch.cuda.current_stream()
        self._side.wait_stream(here)
        with torch.cuda.stream(self._side):
            yield
        here.wait_stream(self._side)

    def _keep_pace(self) -> None:
        """Waits for the step that was queued AHEAD steps ago; without this, thousands of steps could be queued."""
        done = torch.cuda.Event(blocking=True)  # the host sleeps
        done.record()
        self._queued.append(done)
        if len(self._queued) > AHEAD:
            self._queued.popleft().synchronize()

    def state(self) -> dict[str, Any]:
        """Everything a later step depends on, for `restore`."""
        return {
            "steps": self.steps,
            "total": self.total.item(),
            "steps_in_total": self.steps_in_total,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what `state` returned, wherever its tensors are."""
        self.steps = state["steps"]
        self.step.fill_(self.steps)
        self.total.fill_(state["total"])
        self.steps_in_total = state["steps_in_total"]
        self.model.load_state_dict(state["model"])
        # The moments alone: rates are tensors or numbers, and kernels fused or not, as suits this device.
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": groups})
        self._graph, self._batch = None, 0  # it knows the old moments


def without(tokens: Tensor, silent: Tensor) -> Tensor:
    """tokens [B, T], with the captions of the `silent` examples [B] replaced by the empty caption."""
    nothing = Tokenizer.empty(1, tokens.device)  # [1, 1]
    empty = nn.functional.pad(nothing, (0, tokens.shape[1] - 1), value=PAD)  # [1, T]
    return torch.where(silent[:, None], empty, tokens)


def optimizer(config: Config, parameters, device: torch.device) -> torch.optim.Optimizer:
    """The optimiser named by `optimizer.kind`; `learn` sets rate and momentum before each step."""
    chosen = config.optimizer
    weights = list(parameters)
    cuda = device.type == "cuda"
    # A graph replays the numbers it saw, but reads a tensor anew. (A CPU's optimisers take numbers only.)
    lr = torch.tensor(config.lr, device=device) if cuda else config.lr
    given = {"lr": lr, "weight_decay": chosen.weight_decay}
    match chosen.kind:
        case "adam" | "adamw":
            kind = torch.optim.Adam if chosen.kind == "adam" else torch.optim.AdamW
            made = kind(weights, betas=(chosen.momentum, 0.999), fused=True, capturable=cuda, **given)
        case "sgd":
            made = torch.optim.SGD(weights, momentum=chosen.momentum, fused=True, **given)
        case _:  # one weight after the other, it would read the rate on the host
            made = torch.optim.RMSprop(
                weights, momentum=chosen.momentum, capturable=cuda, foreach=cuda, **given
            )
    # PyTorch would warn that steps before the capture are not captured.
    made._warned_capturable_if_run_uncaptured = True  # type: ignore[attr-defined]
    return made


def _set(group: dict, lr: float, momentum: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
    if "betas" in group:
        group["betas"] = (momentum, group["betas"][1])
    else:
        group["momentum"] = momentum


@contextmanager
def told_of_memory(config: Config, batch: int, device: torch.device) -> Iterator[None]:
    """Turns out-of-memory errors of the CPU and GPU allocators into OutOfMemory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in OUT_OF_MEMORY):
            raise
        raise OutOfMemory(
            f"out of memory on {device} before the first step: batch_size {batch}, convnet.depth "
            f"{config.convnet.depth}, convnet.profundity {config.convnet.profundity}, size {config.size}; "
            f"lower one of them"
        ) from error
