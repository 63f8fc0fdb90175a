"""Training from the outside: measurements, what is left in the folder, determinism, divergence, resuming."""

import itertools
import math
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from PIL import Image
from support import captions

from models import lrfind
from models.task import losses
from models.task.exam import CURVE
from models.train import checkpoint, train
from models.train.learner import OutOfMemory
from models.train.stopping import Diverged

QUICK = captions.SMALL | {"valid_images": 14}
ALWAYS = {
    "step", "loss/train", "loss/valid", "baseline/marginal", "baseline/uniform", "skill", "lr", "batch_size",
    "images_per_second",
}  # fmt: skip
AT_THE_END = {
    "loss/valid_shuffled", "loss/valid_empty", "loss/shape", "recognised", "loss/centre", "centre_psnr", "asked_bpd",
    "loss/train_exam", "loss/gap",
    *(f"loss/valid_p{p:g}" for p in CURVE),
}  # fmt: skip


def measurements(**given: Any) -> list[dict[str, float]]:
    """What is measured, without the pauses and what depends on the clock."""
    given = {**QUICK, **given}
    found = [m for m in train(**given) if m is not None]
    return [{name: value for name, value in m.items() if name != "images_per_second"} for m in found]


def test_measurements_and_what_is_left(tmp_path, capsys):
    out = tmp_path / "made" / "for me"
    measured = [m for m in train(seed=1, out=str(out), steps=25, report_every=10, **QUICK) if m]
    assert [m["step"] for m in measured] == [1, 10, 20, 25]
    assert all(set(m) == ALWAYS for m in measured[:-1])
    assert set(measured[-1]) == ALWAYS | AT_THE_END
    last = measured[-1]
    assert last["skill"] == pytest.approx(1 - last["loss/valid"] / last["baseline/marginal"])
    assert len({m["baseline/marginal"] for m in measured}) == 1
    assert f"loss/valid {last['loss/valid']:.2f}" in capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {
        "checkpoint.pt",
        "best.pt",
        "completions.png",
        "preview.png",
        "exam.npz",
    }
    assert len(Image.open(out / "completions.png").getcolors(1 << 20) or []) > 50
    best = checkpoint.read(out / "best.pt").state
    assert best["measured"]["loss/valid"] == min(m["loss/valid"] for m in measured)


def test_few_training_images_are_overfitted_and_the_gap_shows_it():
    """On the same masks, so that the two are comparable: hardly any gap with 5,400 images, a large one with 14."""
    few, many = (
        measurements(steps=60, report_every=20, train_images=n, train_exam=True, lr=1e-2) for n in (14, 0)
    )
    assert all(set(m) >= {"loss/train_exam", "loss/gap"} for m in few)
    for m in (*few, *many):
        assert m["loss/gap"] == pytest.approx(m["loss/valid"] - m["loss/train_exam"])
    assert few[-1]["loss/train_exam"] < 0.8 * few[-1]["loss/valid"]
    assert few[-1]["loss/gap"] > 2 * abs(many[-1]["loss/gap"])


def test_the_same_seed_gives_the_same_numbers():
    def run(seed):
        return measurements(seed=seed, steps=6, report_every=2)

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_trials_share_validation_whatever_their_seed_masker_and_loss():
    """Other weights, batches and tasks, but the same images, masks and pixels to be judged on."""
    one = next(train(**QUICK))
    other = next(train(**QUICK, seed=1, loss="xent", loss_pixels=9, **{"masker.kind": "orderless"}))
    elsewhere = next(train(**QUICK, split_seed=1))
    assert one and other and elsewhere
    assert one["baseline/marginal"] == other["baseline/marginal"] != elsewhere["baseline/marginal"]


KINDS = [
    {"convnet.kind": "straight", "merger.kind": "attention", "reader.kind": "lstm"},
    {"convnet.kind": "straight_dilated", "merger.kind": "conv", "masker.kind": "orderless"},
    {
        "convnet.kind": "straight_residual",
        "merger.kind": "film",
        "reader.kind": "gru",
        "optimize_given": True,
    },
    {"convnet.kind": "tapered", "loss": "emd2", "masker.kind": "contiguous", "reader.normalize": False},
    {"convnet.kind": "expanding", "loss": "xent", "reader.kind": "rnn", "reader.layers": 2},
    {
        "convnet.kind": "bottlenecked",
        "convnet.input": "onehot",
        "masker.kind": "center",
        "optimize_given": True,
    },
    {"loss": "emd", "masker.per_channel": True, "reader.bidir": False, "convnet.radius": 2},
    {"convnet.dropout": 0.1, "reader.dropout": 0.1, "merger.layers": 9, "schedule.kind": "one_cycle"},
    {"optimizer.kind": "sgd", "lr": 0.05, "schedule.kind": "triangular", "schedule.cycle": 20},
    {"optimizer.kind": "rmsprop", "lr": 0.002, "schedule.kind": "plateau"},
    {"optimizer.kind": "adamw", "optimizer.weight_decay": 0.01, "adabatch.every": 10, "adabatch.most": 32},
    {"speed.precision": "bf16"},
]


@pytest.mark.parametrize("hypers", KINDS, ids=lambda h: " ".join(map(str, h.values())))
def test_each_kind_learns(hypers):
    first, *_, last = measurements(**{"steps": 80, "report_every": 20, "lr": 0.01, **hypers})
    assert last["loss/train"] < 0.85 * first["loss/train"]
    if hypers.get("loss") != "emd":  # which ends in point masses, and those are bad forecasts
        assert last["loss/valid"] < first["loss/valid"]


def test_a_batch_grows_as_adabatch_says():
    grown = measurements(steps=4, report_every=1, **{"adabatch.every": 2, "adabatch.factor": 3})
    assert [m["batch_size"] for m in grown] == [8, 8, 24, 24]


def test_it_stops_by_itself_when_nothing_improves(capsys):
    stopped = measurements(
        steps=200, report_every=1, **{"stop.patience": 4, "stop.window": 3, "stop.min_delta": 1000.0}
    )
    assert len(stopped) < 15
    assert set(stopped[-1]) >= AT_THE_END, "the last measurement is complete wherever it comes"
    assert "has not improved" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_is_news_and_the_end(tmp_path, monkeypatch):
    """Norms and clipping make an overflow hard to bring about, so the loss is spoilt by hand."""
    real = losses.asked_mean
    calls = itertools.count()

    def asked_mean(loss, asked):
        return real(loss, asked) * (math.nan if next(calls) == NAN_AT else 1)

    monkeypatch.setattr(losses, "asked_mean", asked_mean)
    trained = train(steps=300, report_every=5, checkpoint_every=5, out=str(tmp_path), **QUICK)
    measured = []
    with pytest.raises(Diverged, match=r"loss/train became nan at step \d+"):
        for m in trained:
            measured.append(m)
    assert math.isnan(measured[-1]["loss/train"]) and measured[-1]["step"] > 5
    kept = checkpoint.read(tmp_path / "checkpoint.pt").state["learner"]
    assert kept["steps"] < measured[-1]["step"], "nobody could go on from weights that are nan"
    assert all(w.isfinite().all() for w in kept["model"].values())


NAN_AT = 40  # calls of asked_mean: some are the exam's


def test_worse_than_uniform_after_warm_up_is_divergence():
    hypers = {"lr": 10.0, "optimizer.kind": "sgd", "optimizer.clip": 0.0, "stop.warmup": 20}
    with pytest.raises(
        Diverged, match=r"loss/valid is \d+\.\d at step \d+.* worse than a uniform answer \(4"
    ):
        measurements(steps=300, report_every=5, **hypers)


@pytest.mark.parametrize(
    "hypers",
    [
        {"convnet.dropout": 0.2},
        {"optimizer.kind": "sgd", "schedule.kind": "plateau", "schedule.patience": 2, "stop.window": 2},
        {
            "schedule.kind": "one_cycle",
            "adabatch.every": 3,
            "reader.kind": "lstm",
            "merger.kind": "attention",
        },
        {"optimizer.kind": "rmsprop", "speed.precision": "bf16"},
    ],
    ids=lambda h: " ".join(map(str, h.values())),
)
def test_2n_steps_are_n_steps_and_n_more_bit_for_bit(hypers, tmp_path):
    given = {**QUICK, **hypers, "steps": 12, "report_every": 3, "seed": 5}
    whole = [m for m in train(**given, out=str(tmp_path / "whole")) if m]
    for n in (5, 6):
        parts = tmp_path / f"parts {n}"
        first = train(**given, out=str(parts), checkpoint_every=n)
        done = 0  # the last step that was measured before the stop
        while not (parts / "checkpoint.pt").exists():
            done = (next(first) or {"step": done})["step"]
        first.close()  # as a stop would
        after = [m for m in train(**given, resume=str(parts / "checkpoint.pt"), out=str(parts)) if m]

        def numbers(m):
            return {k: v for k, v in m.items() if k != "images_per_second"}

        assert [numbers(m) for m in whole if m["step"] > done] == [numbers(m) for m in after]
        one, two = (checkpoint.read(out / "checkpoint.pt").state for out in (tmp_path / "whole", parts))
        assert_same(one, two)


def assert_same(one: Any, two: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for name in one:
            assert_same(one[name], two[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            assert_same(a, b)
    else:
        assert one == two


def test_a_training_that_is_done_or_another_one_can_not_be_resumed(tmp_path):
    list(train(**QUICK, steps=2, out=str(tmp_path)))
    saved = str(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="all 2 steps are done; train longer"):
        next(train(**QUICK, steps=2, resume=saved))
    with pytest.raises(ValueError, match=r"lr was 0\.006 and is 0\.001"):
        next(train(**QUICK, steps=2, lr=0.001, resume=saved))


def test_too_big_a_model_says_so_before_the_first_step():
    """Real memory, really refused: the address space is limited first, so no machine is brought down."""
    code = """
import resource, torch, models.train
from models.train.learner import OutOfMemory
torch.set_num_threads(1)
limit = 3 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    next(models.train.train(**{"data": "shapes", "size": 32, "batch_size": 4096, "convnet.depth": 512}))
except OutOfMemory as error:
    print("typed:", error)
"""
    done = python("-c", code, OPENBLAS_NUM_THREADS="1")
    assert done.stdout.startswith("typed: out of memory on cpu before the first step: batch_size 4096"), (
        done.stderr
    )
    assert issubclass(OutOfMemory, MemoryError), "which is how whoever runs trials knows it"


class Synced(Exception):
    pass


def test_a_step_never_waits_for_the_device():
    """On a CPU nothing waits, but the operations that would are the same, and none may be called."""
    from torch.utils._python_dispatch import TorchDispatchMode

    waits = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique2", "_unique2", "equal"}

    class Watched(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func.__name__.split(".")[0]
            if name in waits:
                raise Synced(name)
            return func(*args, **(kwargs or {}))

    from models.config import Config
    from models.train import prepare

    learner = prepare(Config.of(QUICK), 0, "cpu", print).learner
    learner.trims = False  # as on a GPU: shortening captions needs their lengths
    learner.learn(8, 1e-3, 0.9)  # the optimiser's first step makes its state
    with Watched():
        learner.learn(8, 1e-3, 0.9)
        with pytest.raises(Synced):
            learner.mean_loss()  # so the watch works


def test_the_rate_finder_sees_the_loss_fall_and_explode():
    found = list(lrfind.find(**{**QUICK, "convnet.profundity": 2}))
    assert [m["step"] for m in found] == list(range(1, len(found) + 1))
    rates = [m["lr"] for m in found]
    assert rates == sorted(rates)
    assert "lr/suggested" in found[-1] and not any("lr/suggested" in m for m in found[:-1])
    assert 1e-4 < found[-1]["lr/suggested"] < 0.3
    assert min(m["loss/smoothed"] for m in found[10:]) < 0.9 * found[10]["loss/smoothed"]


def test_a_mean_of_the_past_does_not_shift_the_suggested_rate(monkeypatch):
    """To the right it would be, by a factor of two to three: with SGD, to a rate that diverges."""

    class Known:
        """Learns by a formula, since no real loss has a steepest point that is known."""

        learner = property(lambda self: self)

        def try_out(self, batch: int) -> None: ...

        def learn(self, batch: int, lr: float, momentum: float) -> None:
            self.lr = lr

        def mean_loss(self) -> float:
            return 50 - 40 / (1 + 1e-2 / self.lr)  # steepest at 1e-2

    monkeypatch.setattr(lrfind, "prepare", lambda *_: Known())
    *_, last = lrfind.find()
    assert last["lr/suggested"] == pytest.approx(1e-2, rel=0.3)
    assert last["lr"] == 10 and last["loss"] == pytest.approx(50 - 40 / 1.001)  # as measured there


def test_a_rate_is_suggested_where_the_loss_falls_fastest():
    rates = [10 ** (-6 + i / 10) for i in range(70)]
    curve = [(r, 50 - 40 / (1 + (1e-2 / r) ** 2) + (100 * r) ** 4 * (r > 0.1)) for r in rates]
    assert lrfind.suggested(curve) == pytest.approx(1e-2, rel=0.3)
    with pytest.raises(ValueError, match="never fell"):
        lrfind.suggested([(r, 50 + r) for r in rates])


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_importing_starts_no_thread_touches_no_gpu_and_knows_no_tuner():
    """A fork server imports the module and then forks; numpy's own pool is switched off as it does."""
    done = python(
        "-c",
        "import os, sys, models.train, torch\n"
        "print(len(os.listdir('/proc/self/task')), torch.cuda.is_initialized(),\n"
        "      sorted({'tuner_tui', 'mlflow', 'optuna', 'textual', 'plotext'} & set(sys.modules)))",
        OPENBLAS_NUM_THREADS="1",
    )
    assert done.stdout.strip() == "1 False []", done.stdout + done.stderr


def test_a_model_above_weights_gb_is_refused_before_it_is_made():
    """The same on every machine: nothing is allocated, and nothing is measured."""
    large = QUICK | {"reader.size": 4096, "merger.kind": "conv", "weights_gb": 0.01}
    with pytest.raises(
        OutOfMemory, match=r"[\d,]+ weights need .* GiB in training, and weights_gb allows 0.01"
    ):
        next(train(**large))
    assert next(train(**QUICK | {"weights_gb": 1.0})) is not None
