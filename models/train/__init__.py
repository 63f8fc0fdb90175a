"""Training of the caption model, as a generator of measurements that any loop can run.

    for measured in train(seed=0, **{"convnet.kind": "straight", "lr": 1e-3}):
        if measured is not None:
            print(measured["step"], measured["loss/valid"])

From a shell: python -m models.train --data shapes --size 32 --steps 150 --seed 0
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # making the first optimiser imports it, in 2.5 s: better here, where a fork server has it
from torch import Tensor

from models import data
from models.config import Config
from models.data.tokenizer import Tokenizer
from models.drawing import pictures
from models.network.model import CaptionModel
from models.task.exam import CURVE, Answers, Exam, Questions, answer
from models.train import checkpoint, recognition, schedules, speed
from models.train.checkpoint import Identity
from models.train.learner import Learner, OutOfMemory, told_of_memory
from models.train.stopping import Diverged, Rules, diverged

EXAM = "exam.npz"  # the questions behind loss/valid
BREATH_S = 1.0  # a stop waits at most this long, plus one step and one measurement
FEW = 20  # images: one more or less of so many moves a figure by a few per cent
DRAWING = 0.1  # largest share of the time spent on pictures; the first and last are always drawn

Measured = dict[str, float]


def train(
    *,
    seed: int = 0,
    device: str = "cpu",
    out: str | None = None,
    resume: str | None = None,
    say: Callable[[str], None] = partial(print, flush=True),
    **hypers: Any,
) -> Iterator[Measured | None]:
    """Yields measurements after step 1, then every `report_every` steps, and after the last.

    Each has "step", "loss/train" (what is optimised, the mean since the last measurement), "loss/valid" (the
    squared EMD on the fixed questions of models.task.exam, in levels), the scores of two constant answers
    ("baseline/marginal", "baseline/uniform"), "skill" = 1 - valid / marginal, "lr", "batch_size" and
    "images_per_second". The last one (with `train_exam` each) adds "loss/train_exam", the exam of training images
    under the same masks, and "loss/gap" = valid - train_exam, which is overfitting. The last one also has the
    exam's other questions: "loss/valid_shuffled", "loss/valid_empty",
    "loss/valid_p0.5" and so on, "loss/centre", "centre_psnr" and "asked_bpd", and of shapes "loss/shape" and
    "recognised" (models.train.recognition). Figures that can't be had are left out, and a sentence says so. In
    between it yields None about once a second, so that it can be stopped there.

    With a folder `out` it leaves checkpoint.pt there (every `checkpoint_every` steps, when it is closed, and at
    the end), best.pt, the pictures of models.drawing.pictures, and the exam's masks. `resume` is a checkpoint.pt to
    go on from: the numbers are those of a run that never stopped, bit for bit on the same device.

    `hypers` are the dotted names of models.config. Before the first step it raises ValueError when there is
    something wrong with them, `device`, `resume` or the data, and OutOfMemory when the model does not fit.
    Raises Diverged when a loss is not finite, or worse than a uniform answer after `stop.warmup` steps.
    """
    config = Config.of(hypers)
    start = prepare(config, seed, device, say)
    for sentence in start.missing():
        say(sentence)
    learner, rules, identity = start.learner, Rules(), Identity(config, start.data.digest, seed)
    if resume is not None:
        saved = checkpoint.load(Path(resume), identity)
        learner.restore(saved["learner"])
        rules = Rules.of(saved["rules"])
        say(f"going on after step {learner.steps}")
    if learner.steps >= config.steps:
        raise ValueError(
            f"{resume}: all {config.steps} steps are done; train longer from the beginning, or where the schedule "
            f"does not depend on them (triangular) give more steps"
        )
    learner.try_out(schedules.batch_size(config, config.steps))
    left = Left(Path(out), identity, start) if out is not None else None

    began, images, breath = time.monotonic(), 0, time.monotonic()
    enough = None
    try:
        while learner.steps < config.steps and enough is None:
            step = learner.steps + 1
            batch = schedules.batch_size(config, step)
            lr = schedules.learning_rate(config, step, rules.plateau.scale)
            learner.learn(batch, lr, schedules.momentum(config, step))
            images += batch

            if step == 1 or step % config.report_every == 0 or step == config.steps:
                true = start.true_answers()
                measured = start.measured(true) | {"lr": lr, "batch_size": batch}
                measured["images_per_second"] = images / (time.monotonic() - began)
                better = measured["loss/valid"] < rules.lowest
                rules = rules.step(measured["loss/valid"], step, config)
                enough = rules.early.enough(config.stop)
                last = step == config.steps or enough is not None
                if last or config.train_exam:
                    measured |= start.measured_overfitting(true)
                if last:
                    measured |= start.measured_more(true)
                if left is not None:
                    left.look(measured, better, always=last or step == 1)
                yield measured
                losses = {name: measured[name] for name in ("loss/train", "loss/valid")}
                if why := diverged(losses, step, rules.divergence, start.exam.uniform):
                    raise Diverged(why)
                began, images = time.monotonic(), 0
            elif time.monotonic() - breath > BREATH_S:
                breath = time.monotonic()
                yield None
            if left is not None and config.checkpoint_every and step % config.checkpoint_every == 0:
                left.save(rules)
    except GeneratorExit:
        if left is not None:
            left.save(rules)
            say(f"stopped, and saved, after step {learner.steps}")
        raise
    if left is not None and config.checkpoint_every:
        left.save(rules)
    say(enough or f"loss/valid {measured['loss/valid']:.2f}, skill {measured['skill']:.2f}")


train.hypers = Config.names()  # what `tuner check` lets a search name


@dataclass(frozen=True)
class Start:
    """A training before its first step, and the measurements of its model."""

    data: data.Data
    exam: Exam
    learner: Learner

    @property
    def captions(self) -> Tensor:
        """The captions of the exam [V, T]; empty ones for a model that is trained without captions."""
        return self.exam.empty() if self.learner.config.caption_dropout == 1 else self.exam.tokens

    @property
    def shuffled(self) -> Tensor | None:
        """Wrong captions for the exam [V, T], or None where there are none or none is read."""
        return None if self.learner.config.caption_dropout == 1 else self.exam.shuffled()

    def missing(self) -> Iterator[str]:
        """Sentences about figures that these images can't give, or not well."""
        count = len(self.data.valid)
        if count < FEW:
            yield f"{count} images for validation: the figures are noisy; {FEW} or more are better"
        if self.learner.config.caption_dropout == 1:
            yield "caption_dropout = 1: validation gives no captions either, and there are no shuffled ones"
        elif self.shuffled is None:
            yield "no validation image has another caption than the others, so there is no loss/valid_shuffled"

    def answers(self, asked: Questions, captions: Tensor) -> Answers:
        """The model's answers, in the precision of its training; waits for the device."""
        return answer(self.learner.model, asked, captions, self.learner.plan.autocast)

    def true_answers(self) -> Answers:
        """Answers to the p-curve's questions with the true captions."""
        return self.answers(self.exam.curve, self.captions)

    def measured(self, true: Answers) -> Measured:
        """The measurements of every validation, in the names that `train` documents."""
        return {
            "step": self.learner.steps,
            "loss/train": self.learner.mean_loss(),
            "loss/valid": true.emd2,
            "baseline/marginal": self.exam.marginal,
            "baseline/uniform": self.exam.uniform,
            "skill": 1 - true.emd2 / self.exam.marginal,
        }

    def measured_overfitting(self, true: Answers) -> Measured:
        """The exam of training images, and how much better they are known than those of validation."""
        exam = self.exam
        none = self.learner.config.caption_dropout == 1
        captions = (
            Tokenizer.empty(len(exam.learned_tokens), exam.tokens.device) if none else exam.learned_tokens
        )
        learned = self.answers(exam.learned, captions).emd2
        return {"loss/train_exam": learned, "loss/gap": true.emd2 - learned}

    def measured_more(self, true: Answers) -> Measured:
        """The exam's other questions, asked only once because they take time."""
        exam, config, valid = self.exam, self.learner.config, self.data.valid
        curve = {
            f"loss/valid_p{p:g}": loss for p, loss in zip(CURVE, true.curve, strict=True) if loss == loss
        }
        centre = self.answers(exam.centre, self.captions)
        more = {
            "loss/valid_empty": self.answers(exam.curve, exam.empty()).emd2,
            "asked_bpd": true.bits,
            "loss/centre": centre.emd2,
            "centre_psnr": centre.psnr,
        }
        if (wrong := self.shuffled) is not None:
            more["loss/valid_shuffled"] = self.answers(exam.curve, wrong).emd2
        if config.data.source == "shapes":
            more["loss/shape"] = self.answers(recognition.own_pixels(valid.images), self.captions).emd2
        if config.data.source == "shapes" and config.data.objects == 1:
            said = valid.one_each()[1]
            more["recognised"] = recognition.recognised(self.learner.model, valid.images, self.captions, said)
        return curve | more


def prepare(config: Config, seed: int, device: str, say: Callable[[str], None]) -> Start:
    """Data, questions and a fresh model on the device. Raises ValueError and OutOfMemory as `train` does."""
    where = _device(device)
    found = data.load(config, where, say)
    exam = Exam.draw(found.train, found.valid, config.split_seed)
    torch.manual_seed(seed)  # the weights; all that follows draws from models.noise
    plan = speed.plan(config, where, len(found.tokenizer))
    check_weights(config, len(found.tokenizer))
    with told_of_memory(config, config.batch_size, where):
        model = CaptionModel(config, len(found.tokenizer)).to(where)
    return Start(found, exam, Learner(config, model, found.train, seed, plan))


# Bytes of a weight in training: itself, its gradient and Adam's two moments, in float32.
TRAINED_BYTES = 16


def check_weights(config: Config, vocabulary: int) -> None:
    """Refuse a model whose weights, gradients and Adam's moments need more than `weights_gb`, before anything of it
    is allocated. Raises OutOfMemory. Activations are not counted: they depend on the batch, see `Learner.try_out`."""
    if not config.weights_gb:
        return
    with torch.device("meta"):
        weights = sum(one.numel() for one in CaptionModel(config, vocabulary).parameters())
    needed = weights * TRAINED_BYTES / 2**30
    if needed > config.weights_gb:
        raise OutOfMemory(
            f"out of memory: {weights:,} weights need {needed:.2f} GiB in training, and weights_gb allows "
            f"{config.weights_gb:g}; make reader.size or convnet.depth smaller"
        )


class Left:
    """Writes checkpoints, pictures and the exam's masks to a training's folder."""

    def __init__(self, folder: Path, identity: Identity, start: Start) -> None:
        self.folder, self.identity, self.start = folder, identity, start
        self.captions = start.data.valid.one_each()[1]
        self.began, self.drawing = time.monotonic(), 0.0  # seconds
        folder.mkdir(parents=True, exist_ok=True)
        start.exam.save(folder / EXAM)

    def save(self, rules: Rules) -> None:
        """Writes checkpoint.pt, unless a loss was not finite: then the one before is kept."""
        if self.start.learner.sound:
            state = {"learner": self.start.learner.state(), "rules": asdict(rules)}
            checkpoint.save(self.folder / checkpoint.LAST, state, self.identity)

    def look(self, measured: Measured, better: bool, always: bool) -> None:
        """Writes best.pt (weights only) if the loss is `better`, and the pictures, if there is time for them."""
        learner, exam = self.start.learner, self.start.exam
        if better and self.identity.config.checkpoint_every:
            state = {"model": learner.model.state_dict(), "step": learner.steps, "measured": measured}
            checkpoint.save(self.folder / checkpoint.BEST, state, self.identity)
        now = time.monotonic()
        if always or self.drawing < DRAWING * (now - self.began):
            asked = exam.curve
            pictures.draw_exam(
                learner.model, asked.images, asked.given, self.start.captions, self.captions, self.folder,
                per_channel=self.identity.config.masker.per_channel,
            )  # fmt: skip
            self.drawing += time.monotonic() - now


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as e:
        raise ValueError(f"device = {name!r} is not a device; give cpu, cuda or cuda:1") from e
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device = {name!r} was asked for, but PyTorch finds no CUDA device here; give cpu")
    return device
