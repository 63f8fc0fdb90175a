"""Training from the outside: measurements, both figures, the picture, determinism, and news of NaN."""

import math
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from PIL import Image

from models import pictures
from models import train as training
from models.config import Config
from models.model import CaptionModel
from models.train import train

QUICK: dict[str, Any] = {
    "size": 12,
    "convnet.depth": 8,
    "convnet.profundity": 4,
    "reader.size": 8,
    "batch_size": 8,
}
NAMES = {"step", "loss/train", "loss/valid", "baseline/marginal", "skill"}


def test_measurements_and_the_two_figures(tmp_path, capsys):
    out = tmp_path / "made" / "for me"
    measured = list(train(seed=1, out=str(out), steps=25, report_every=10, **QUICK))
    assert [m["step"] for m in measured] == [1, 10, 20, 25]
    assert all(set(m) == NAMES for m in measured)
    last = measured[-1]
    assert last["skill"] == pytest.approx(1 - last["loss/valid"] / last["baseline/marginal"])
    assert len({m["baseline/marginal"] for m in measured}) == 1
    said = f"loss/valid {last['loss/valid']:.1f}, constant marginal {last['baseline/marginal']:.1f}"
    assert said in capsys.readouterr().out
    picture = Image.open(out / "completions.png")
    assert picture.height > 8 * 12
    assert len(picture.getcolors(1 << 20) or []) > 50


def test_the_same_seed_gives_the_same_numbers():
    def run(seed):
        return list(train(seed=seed, steps=6, report_every=2, **QUICK))

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_trials_share_validation_whatever_their_seed():
    """Other weights and batches, but the same images, masks and pixels to be judged on."""
    baselines = [next(train(seed=seed, **QUICK))["baseline/marginal"] for seed in (0, 1)]
    other = next(train(seed=0, split_seed=1, **QUICK))["baseline/marginal"]
    assert baselines[0] == baselines[1] != other


@pytest.mark.parametrize("convnet", ["straight", "straight_dilated", "straight_residual"])
@pytest.mark.parametrize("merger", ["attention", "conv"])
@pytest.mark.parametrize(
    ("bidir", "normalize", "optimize_given"), [(False, True, False), (True, False, True)]
)
def test_each_kind_learns(convnet, merger, bidir, normalize, optimize_given):
    hypers = {
        "convnet.kind": convnet,
        "merger.kind": merger,
        "reader.bidir": bidir,
        "reader.normalize": normalize,
        "optimize_given": optimize_given,
        "convnet.radius": 2,
    }
    first, *_, last = train(steps=20, report_every=10, lr=0.01, **{**QUICK, **hypers})
    assert last["loss/train"] < 0.8 * first["loss/train"]
    assert last["loss/valid"] < 0.8 * first["loss/valid"]


def test_a_short_run_beats_the_constant_marginal():
    *_, last = train(steps=50, report_every=50)  # all defaults otherwise
    assert last["skill"] > 0.15


@pytest.mark.slow
def test_a_full_run_beats_it_clearly():
    *_, last = train(report_every=200)
    assert last["skill"] > 0.3


def test_nan_is_news_and_the_end(monkeypatch):
    steps = iter([False, False, True])
    real = training.asked_mean

    def asked_mean(loss, asked):
        return real(loss, asked) * (math.nan if next(steps) else 1)

    monkeypatch.setattr(training, "asked_mean", asked_mean)
    measured = list(train(steps=50, report_every=10, **QUICK))
    assert [m["step"] for m in measured] == [1, 3]
    assert all(math.isnan(measured[-1][name]) for name in ("loss/train", "loss/valid", "skill"))


def test_completions_keep_what_is_given():
    model = CaptionModel(Config.of(QUICK), vocabulary=9)
    images = torch.randint(256, (5, 3, 12, 12)).to(torch.uint8)
    given = torch.rand(5, 1, 12, 12) < 0.5
    drawn = pictures.complete(model, images, given, torch.ones(5, 3, dtype=torch.int64))
    assert drawn.dtype == torch.uint8
    kept = given.expand_as(images)
    assert (drawn[kept] == images[kept]).all()
    assert (drawn[~kept] != images[~kept]).float().mean() > 0.5


def test_a_completion_is_the_median():
    class Certain(torch.nn.Module):
        def forward(self, images, given, tokens):
            logits = torch.zeros(1, 4, 3, 256)
            logits[..., [10, 200, 201]] = torch.tensor([20.0, 20.0, 20.0])  # a third each: median 200
            return logits

    hidden = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    drawn = pictures.complete(Certain(), torch.zeros(1, 3, 2, 2, dtype=torch.uint8), hidden, torch.ones(1, 1))  # type: ignore[arg-type]
    assert (drawn == 200).all()


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_from_the_command_line(tmp_path):
    sets = [f"--set={name}={value}" for name, value in QUICK.items()]
    done = python(
        *("-m", "models.train", "--steps", "3", "--seed", "0", "--out", str(tmp_path)),
        *("--set", "convnet.kind=straight_residual", "--set", "merger.layers=[1, 2]", *sets),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["step", "1"]
    assert lines[-2].split()[:2] == ["step", "3"]
    assert lines[-1].startswith("loss/valid ") and ", constant marginal " in lines[-1]
    assert (tmp_path / "completions.png").exists()


def test_a_wrong_command_line_is_told_without_a_traceback(capsys):
    assert training.main(["--set", "convnet.kind=tapered", "--set", "lr=fast"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "convnet.kind = 'tapered' is not built yet; choose straight, straight_dilated or straight_residual",
        "lr = 'fast' is not a number; give a number above 0 and at most 10",
    ]
    with pytest.raises(SystemExit) as e:
        training.main(["--set", "lr"])
    assert e.value.code == 2
    assert "--set lr: write it as NAME=VALUE" in capsys.readouterr().err


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
