"""Meta-training as the tuner runs it: what it yields, leaves and refuses, and that it learns."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from meta import Hypers, hypergradient
from meta.inner.first_weights import first_weights
from meta.inner.ties import piecewise
from meta.train import train
from meta.train.__main__ import main
from meta.train.config import LEARNABLE, Config
from meta.train.setup import Setup, begin

SMALL = {
    "train_examples": 200, "valid_examples": 100, "batch": 50, "hidden": 20, "steps": 20, "seeds": 2,
    "meta_iterations": 2,
}  # fmt: skip


def trained(**hypers) -> list[dict[str, float]]:
    return list(train(say=lambda _: None, **SMALL | hypers))


def test_all_names_are_there():
    first, second = trained(method="reversible", learn="log_lr,logit_momentum,log_init_scale,log_l2")
    names = {
        "step", "loss/train", "loss/valid", "loss/test", "error/train", "error/valid", "error/test", "gap", "outer",
        "grad/log_lr", "grad/logit_momentum", "grad/log_init_scale", "grad/log_l2", "se", "growth", "ms_per_step",
        "peak_mb", "bits", "exact", "inner_steps", "meta_scale", "guard",
    }  # fmt: skip
    assert set(first) == names and set(second) == names | {"cosine"}
    assert (first["step"], second["step"]) == (1, 2)
    assert first["exact"] == 1.0 and 0 <= first["bits"] < 64
    assert first["gap"] == pytest.approx(first["loss/test"] - first["loss/valid"])
    assert first["outer"] == pytest.approx(first["loss/valid"], rel=1e-5)
    assert -1 <= second["cosine"] <= 1 and first["se"] > 0
    assert all(isinstance(value, int | float) for value in second.values())


def test_what_is_not_known_is_left_out():
    (only,) = trained(seeds=1, meta_iterations=1, method="tape", learn="log_lr")
    assert not {"se", "cosine", "exact", "grad/log_l2"} & set(only) and only["bits"] == 64


@pytest.mark.parametrize("optimizer", ["heavy_ball", "adam"])
@pytest.mark.parametrize("meta_optimizer", ["adam", "sign", "rmsprop", "sgd"])
def test_it_learns(optimizer, meta_optimizer):
    lr = {"heavy_ball": 0.1, "adam": 3e-3}[optimizer]
    meta_lr = 5.0 if meta_optimizer == "sgd" else 0.2
    seen = trained(
        method="tape", optimizer=optimizer, lr=lr, meta_optimizer=meta_optimizer,
        learn="log_lr,log_init_scale,log_l2", tie="piecewise", tie_pieces=4, meta_iterations=8, seeds=1,
        meta_lr=meta_lr,
    )  # fmt: skip
    assert seen[-1]["loss/valid"] < 0.9 * seen[0]["loss/valid"]
    assert seen[-1]["loss/test"] < seen[0]["loss/test"]


@pytest.mark.parametrize("kind", LEARNABLE)
def test_every_kind_gets_a_gradient_and_moves(kind, tmp_path):
    seen = trained(learn=kind, method="tape", meta_iterations=2, seeds=1, init_scale=0.3, out=str(tmp_path))
    assert seen[0][f"grad/{kind}"] > 0
    before = Setup(Config.of(SMALL | {"learn": kind, "init_scale": 0.3}), *_split()).hypers().parts()[kind]
    learned = np.load(tmp_path / "hypers.npz")[kind]
    assert learned.shape == tuple(before.shape) and not np.allclose(learned, before.numpy())


def _split():
    return begin(Config.of(SMALL), "cpu").split, SMALL["steps"]


def test_first_weights_have_the_asked_spread_whichever_way_they_are_made():
    for learn in ("log_lr", "log_init_scale", "init_bins"):
        setup = Setup(Config.of(SMALL | {"learn": learn, "init_scale": 0.25}), *_split())
        problem = setup.problem
        parts = (setup.fixed or Hypers()).parts() | setup.hypers().parts()
        x = first_weights(problem.init(3), parts, problem.layout)
        assert x.std().item() == pytest.approx(0.25, rel=0.05), learn


def test_the_kept_hyperparameters_are_those_of_the_last_measurement(tmp_path):
    """Training on with what was left gives the loss that was measured last."""
    hypers = SMALL | {"learn": "log_lr,log_l2", "tie": "piecewise", "tie_pieces": 4, "method": "tape"}
    seen = list(
        train(
            out=str(tmp_path),
            meta_iterations=3,
            **{k: v for k, v in hypers.items() if k != "meta_iterations"},
        )
    )
    left = {name: torch.tensor(part) for name, part in np.load(tmp_path / "hypers.npz").items()}
    setup = begin(Config.of(hypers), "cpu")
    ties = {"log_lr": piecewise(20, 4)}
    found = hypergradient(setup.problem, Hypers.of(left), "tape", seeds=(0, 1), ties=ties, fixed=setup.fixed)
    assert found.value.item() == pytest.approx(seen[-1]["loss/valid"], rel=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["hypers.npz"]


def test_a_stop_leaves_what_was_learned_so_far(tmp_path):
    going = train(out=str(tmp_path), **SMALL | {"meta_iterations": 1000})
    next(going), next(going)
    going.close()
    assert set(np.load(tmp_path / "hypers.npz")) == {"log_lr", "log_l2"}


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    def losses(**more):
        return [m["loss/valid"] for m in trained(method="tape", **more)]

    assert losses() == losses() != losses(seed=1)
    assert losses(resample=True)[1] != losses()[1]


@pytest.mark.parametrize(
    ("hypers", "words"),
    [
        ({"stepss": 3}, ["'stepss'", "did you mean 'steps'"]),
        ({"steps": 0}, ["steps = 0", "whole number from 1"]),
        ({"steps": 2.5}, ["steps = 2.5"]),
        ({"lr": -1.0}, ["lr = -1.0", "above 0"]),
        ({"momentum": float("nan")}, ["momentum = nan"]),
        ({"method": "tap"}, ["method = 'tap'", "did you mean 'tape'"]),
        ({"learn": "log_lr,lr"}, ["learn = 'log_lr,lr'", "lr can't be learned", "'log_lr'"]),
        ({"learn": ""}, ["learn = ''", "log_l2"]),
        ({"learn": "log_lr,log_lr"}, ["each once"]),
        ({"hidden": "a"}, ["hidden = 'a'", "50,30"]),
        ({"hidden": -4}, ["hidden = -4"]),
        ({"guards": 1}, ["guards = 1", "true or false"]),
        ({"batch": 2000}, ["batch = 2000", "train_examples is 1000"]),
        ({"tie": "piecewise", "steps": 5}, ["tie_pieces = 10", "5 steps"]),
        ({"tie": "constant", "learn": "log_l2"}, ["tie = 'constant'", "leave it out"]),
        ({"l2": 0.5, "learn": "log_lr"}, ["l2 = 0.5", "add log_l2 to learn"]),
        ({"method": "tape", "method.last": 3}, ["method.last", "tape", "it has none"]),
        ({"method": "truncated", "method.lst": 3}, ["method.lst", "method.last"]),
        ({"method": "implicit", "method.solver": "lu"}, ["'implicit'", "'lu'"]),
        ({"method": "auto", "method.last": 3}, ["method.last", "auto"]),
        ({"steps": 0, "lr": 0, "bach": 3}, ["steps = 0", "lr = 0", "did you mean 'batch'"]),
        ({"data": " "}, ["data = ' '"]),
        ({"train_examples": 1700}, ["1700", "1797"]),
        ({"method": "implicit", "learn": "log_lr"}, ["implicit", "log_lr"]),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_with_a_sentence_that_names_them(hypers, words, monkeypatch):
    monkeypatch.setattr("meta.inner.steps.Inner.advance", lambda *_: pytest.fail("it trained"))
    with pytest.raises(ValueError) as caught:
        next(train(**hypers))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_missing_folder_or_device_is_refused():
    with pytest.raises(FileNotFoundError, match="MNIST"):
        next(train(data="/no/such/folder"))
    with pytest.raises(ValueError, match="is not a device"):
        next(train(device="gpuu"))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="give cpu"):
            next(train(device="cuda"))


def test_options_reach_the_method():
    config = Config.of({"method": "truncated", "method.last": 7})
    assert config.chosen().last == 7
    whole, part = (
        trained(method="truncated", learn="log_lr", seeds=1, **{"method.last": n})[0] for n in (20, 5)
    )
    exact = trained(method="tape", learn="log_lr", seeds=1)[0]
    assert whole["grad/log_lr"] == pytest.approx(exact["grad/log_lr"], rel=1e-5)
    assert part["grad/log_lr"] < exact["grad/log_lr"]


# ── the command ──

WORDS = [f"--set={k}={v}" for k, v in SMALL.items()]


@pytest.fixture
def undisturbed():
    """`main` takes SIGTERM for itself."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_command_ends_with_one_line_of_json(tmp_path, capsys, undisturbed):
    assert main([*WORDS, "--seed", "3", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    (line,) = said.out.splitlines()
    told = json.loads(line)
    assert told["step"] == 2 and told["loss/valid"] > 0 and told["seconds"] > 0
    assert said.err.count("meta-iteration") == 2 and (tmp_path / "hypers.npz").exists()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--set", "stepss=3"], 2, "did you mean 'steps'"),
        (["--set", "steps"], 2, "NAME=VALUE"),
        (["--set", "meta_lr=1", "--set", "meta_lr=2"], 2, "given twice"),
        (
            [
                "--set=l2=1000.0",
                "--set=l2_cap=false",
                "--set=guards=false",
                "--set=hidden=0",
                "--set=batch=50",
            ],
            1,
            "diverged: outer loss became",
        ),
    ],
)
def test_the_command_says_what_is_wrong(words, code, sentence, capsys, undisturbed):
    assert main(words) == code
    said = capsys.readouterr()
    assert sentence in said.err and not said.out


def test_it_is_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "meta.train", "--set=stepss=3"], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2 and "did you mean 'steps'" in done.stderr


def test_sigterm_saves_what_was_learned(tmp_path, capsys, monkeypatch, undisturbed):
    said: list[object] = []

    def killed(line: object) -> None:
        said.append(line)
        if len(said) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("meta.train.__main__._say", killed)
    endless = [word.replace("iterations=2", "iterations=100000") for word in WORDS]
    assert main([*endless, "--out", str(tmp_path)]) == 143
    assert len(said) == 3 and not capsys.readouterr().out
    assert set(np.load(tmp_path / "hypers.npz")) == {"log_lr", "log_l2"}
