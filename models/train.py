"""Trains the caption model: a generator of measurements that any loop can run.

    for measured in train(seed=0, **{"convnet.kind": "straight", "lr": 1e-3}):
        print(measured["step"], measured["loss/valid"])

From a shell: python -m models.train --steps 100 --seed 0 --set convnet.kind=straight_residual
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # making the first Adam imports it, in 2.5 s: better here, where a fork server has it
from torch import Generator

from models import data, maskers, pictures
from models.config import Config
from models.losses import asked_mean, squared_emd
from models.model import CaptionModel, pixels
from models.questions import Exam, choose
from models.tokenizer import PAD

DRAWN = 8  # validation images in the final picture


def train(
    *, seed: int = 0, device: str = "cpu", out: str | None = None, **hypers: Any
) -> Iterator[dict[str, float]]:
    """Yields measurements after step 1, then every `report_every` steps, and after the last.

    Each is {"step", "loss/train", "loss/valid", "baseline/marginal", "skill"}: the loss being optimised,
    averaged since the last measurement; the squared EMD on the asked pixels of fixed masked validation
    images, the same for every trial; the score there of always answering with the colours' overall
    histogram; and 1 - valid / marginal. The same seed on the same device gives the same numbers. A loss
    that is not finite is yielded too, and ends the training.

    `hypers` are the dotted names of models.config. Raises ValueError, before any data is loaded, when
    there is something wrong with them or with `device`. With a folder `out`, completions.png is left in it.
    """
    config = Config.of(hypers)
    where = _device(device)
    torch.manual_seed(seed)  # the weights
    rng = Generator().manual_seed(seed)  # batches, masks and pixels: the CPU's, so the same everywhere

    emoji = data.load(config.size, config.split_seed, config.valid_images)
    images, tokens = emoji.train.images.to(where), emoji.train.tokens.to(where)
    masker = maskers.build(config.masker)
    valid = emoji.valid
    exam = Exam.draw(valid.images, valid.tokens, masker, config.loss_pixels, config.split_seed).to(where)
    marginal = exam.loss_of_marginal(images)

    model = CaptionModel(config, len(emoji.tokenizer)).to(where)
    adam = torch.optim.Adam(model.parameters(), lr=config.lr)

    since, loss_valid = [], math.nan
    for step in range(1, config.steps + 1):
        batch = torch.randint(len(images), (config.batch_size,), generator=rng)  # [B]
        given = masker(config.batch_size, config.size, rng)  # [B, 1, H, W]
        at, asked = choose(given, config.loss_pixels, rng, also_given=config.optimize_given)  # [B, K]
        batch, given, at, asked = (t.to(where) for t in (batch, given, at, asked))
        x = images[batch]  # [B, 3, H, W]
        read = tokens[batch]  # [B, T]
        read = read[:, (read != PAD).any(0)]  # the longest of the batch is often half the longest of all

        loss = asked_mean(squared_emd(model(x, given, read, at), pixels(x, at)), asked)
        since.append(loss.item())
        finite = math.isfinite(since[-1])
        if finite:
            adam.zero_grad()
            loss.backward()
            adam.step()
        if step == 1 or step % config.report_every == 0 or step == config.steps or not finite:
            loss_valid = exam.loss(model) if finite else since[-1]
            yield {
                "step": step,
                "loss/train": sum(since) / len(since),
                "loss/valid": loss_valid,
                "baseline/marginal": marginal,
                "skill": 1 - loss_valid / marginal,
            }
            since = []
            if not math.isfinite(loss_valid):
                break

    print(f"loss/valid {loss_valid:.1f}, constant marginal {marginal:.1f}", flush=True)
    if out is not None:
        some = slice(DRAWN)
        drawn = pictures.complete(model, exam.images[some], exam.given[some], exam.tokens[some])
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        pictures.save(
            folder / "completions.png", exam.images[some], exam.given[some], drawn, valid.captions[some]
        )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as e:
        raise ValueError(f"device = {name!r} is no device; give cpu, cuda or cuda:1") from e
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device = {name!r} was asked for, but PyTorch finds no CUDA device here; give cpu")
    return device


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.train", description="Train the caption model.")
    parser.add_argument("--steps", type=int, help="optimiser steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")
    parser.add_argument("--out", help="a folder for completions.png")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter, such as lr=0.001"
    )
    given = parser.parse_args(arguments)
    hypers = {} if given.steps is None else {"steps": given.steps}
    for pair in given.set:
        name, equals, value = pair.partition("=")
        if not equals:
            parser.error(f"--set {pair}: write it as NAME=VALUE")
        hypers[name] = _value(value)
    try:
        for m in train(seed=given.seed, device=given.device, out=given.out, **hypers):
            print(
                f"step {m['step']:>5}  loss/train {m['loss/train']:6.2f}  loss/valid {m['loss/valid']:6.2f}"
                f"  skill {m['skill']:5.2f}",
                flush=True,
            )
    except ValueError as e:
        print(e, file=sys.stderr)
        return 2
    return 0


def _value(text: str) -> Any:
    """Numbers, true, false and [lists] as JSON writes them; anything else is a word."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


if __name__ == "__main__":
    sys.exit(main())
