"""The problems that come with the library: the bowl against its closed form, and the digits that are read."""

import dataclasses
import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.idx_files import N_TEST, N_TRAIN, contents, idx

from meta import Hypers, hypergradient
from meta.dynamics import HeavyBall
from meta.inner.ties import constant
from meta.problems.digits import digits, mnist
from meta.problems.nets import Examples, network
from meta.problems.quadratic import Quadratic, rotated

T = 17
METHODS = ("unroll", "tape")


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one(value):
    return torch.tensor([value], dtype=torch.float64)


def bowl(dynamics=None):
    return rotated(torch.tensor([0.2, 1.0, 3.0, 7.0]), T, seed=3, dynamics=dynamics)


def hypers(rows):
    return Hypers(
        log_lr=-0.7 + 0.2 * normal(1, rows, 1),
        logit_momentum=1.5 + 0.3 * normal(2, rows, 1),
        log_init_scale=torch.tensor([0.3], dtype=torch.float64),
        log_l2=torch.tensor([-1.2], dtype=torch.float64),
        other={"target": normal(4, 4)},
    )


def agree(found, value, grads, rtol=1e-10):
    assert found.value.item() == pytest.approx(value, rel=rtol)
    truth = grads.parts()
    for name, part in found.grads.parts().items():
        torch.testing.assert_close(part, truth[name], rtol=rtol, atol=rtol * truth[name].abs().max().item())


# ── the closed form ──


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("denominator", [None, 2**16])
def test_schedules_meet_the_product_of_matrices(method, denominator):
    quadratic, h = bowl(HeavyBall(denominator=denominator)), hypers(T)
    found = hypergradient(quadratic.problem(), h, method, precision="float64", seeds=(5,))
    agree(found, *quadratic.exact(h, 5))


@pytest.mark.parametrize("method", METHODS)
def test_constant_rates_meet_the_power_of_one_matrix(method):
    quadratic, h = bowl(), hypers(1)
    ties = {"log_lr": constant(T), "logit_momentum": constant(T)}
    found = hypergradient(quadratic.problem(), h, method, precision="float64", ties=ties)
    agree(found, *quadratic.exact(h))


@pytest.mark.parametrize("method", METHODS)
def test_groups_and_a_penalty_for_each_weight(method):
    quadratic = Quadratic(normal(1, 5).exp(), normal(2, 5), normal(3, 5), T, groups=(2, 3))
    h = Hypers(
        log_lr=-1 + 0.2 * normal(4, T, 2),
        logit_momentum=1 + 0.2 * normal(5, T, 2),
        log_init_scale=normal(6, 2),
        log_l2=normal(7, 5) - 1,
    )
    found = hypergradient(quadratic.problem(), h, method, precision="float64", seeds=(0, 1), chunk_size=2)
    for row, seed in enumerate((0, 1)):
        value, grads = quadratic.exact(h, seed)
        assert found.seed_values[row].item() == pytest.approx(value, rel=1e-10)
        for name, part in found.seed_grads.parts().items():
            torch.testing.assert_close(part[row], grads.parts()[name], rtol=1e-10, atol=1e-12)


@settings(max_examples=25)
@given(
    st.floats(-3, 0.5),
    st.floats(-2, 3),
    st.floats(-1, 1),
    st.floats(-4, 1),
    st.integers(1, 40),
)
def test_power_product_and_roots_are_one(log_lr, logit, log_scale, log_l2, steps):
    """z_T by the roots μ of each 2×2 block: U_n = (μ₊ⁿ⁺¹ − μ₋ⁿ⁺¹)/(μ₊ − μ₋), M^T = U_{T−1}M − det(M) U_{T−2}."""
    a = torch.tensor([0.2, 1.0, 3.1], dtype=torch.float64)
    quadratic = Quadratic(a, normal(1, 3), normal(2, 3), steps, dynamics=HeavyBall(denominator=None))
    shared = {"log_init_scale": one(log_scale), "log_l2": one(log_l2)}
    rates = {"log_lr": one(log_lr)[None], "logit_momentum": one(logit)[None]}
    power, grads = quadratic.exact(Hypers.of(shared | rates))
    every = {name: part.expand(steps, 1) for name, part in rates.items()}
    product, grads_ = quadratic.exact(Hypers.of(shared | every))
    assert product == pytest.approx(power, rel=1e-9)
    for name in rates:
        torch.testing.assert_close(
            grads_.parts()[name].sum(0, keepdim=True),
            grads.parts()[name],
            rtol=1e-6,
            atol=1e-9 * (1 + abs(power)),
        )

    alpha, beta = math.exp(log_lr), 1 / (1 + math.exp(-logit))
    h = (a + math.exp(log_l2)).numpy()
    trace = 1 - alpha * (1 - beta) * h + beta
    root = np.sqrt(trace.astype(complex) ** 2 - 4 * beta)
    up, down = (trace + root) / 2, (trace - root) / 2
    if np.abs(root).min() < 1e-2:  # a double root: the quotient is 0/0
        return
    u = [(up**n - down**n) / root for n in (steps, steps - 1)]  # U_{T−1}, U_{T−2}
    residual = (u[0] * (1 - alpha * (1 - beta) * h) - beta * u[1]).real
    rest = a.numpy() * quadratic.target.numpy() / h
    x = rest + residual * (math.exp(log_scale) * quadratic.init(0).numpy() - rest)
    assert power == pytest.approx(0.5 * np.square(x - quadratic.goal.numpy()).sum(), rel=1e-8)


def test_one_step_by_hand():
    """x₁ = x₀ − α(1−β)a(x₀ − c): dE/d log α = −(x₁ − d) α(1−β)a(x₀ − c)."""
    quadratic = Quadratic(one(3.0), one(0.5), one(2.0), 1, dynamics=HeavyBall(momentum=0.75))
    x0 = quadratic.init(0).item()
    moved = 0.1 * 0.25 * 3 * (x0 - 0.5)
    value, grads = quadratic.exact(Hypers(log_lr=one(0.1).log()[None]))
    assert value == pytest.approx(0.5 * (x0 - moved - 2) ** 2, rel=1e-14)
    assert grads.log_lr is not None
    assert grads.log_lr.item() == pytest.approx(-(x0 - moved - 2) * moved, rel=1e-14)


def test_a_wrong_derivative_would_be_seen():
    quadratic, h = bowl(), hypers(T)
    _, grads = quadratic.exact(h)
    found = hypergradient(quadratic.problem(), h, "tape", precision="float64")
    assert grads.log_lr is not None and found.grads.log_lr is not None
    off = grads.log_lr.roll(1, 0)
    assert ((found.grads.log_lr - off).norm() / off.norm()).item() > 1e-3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Quadratic(torch.ones(3), torch.ones(3), torch.ones(3), 2, groups=(1, 1)), "add up to 3"),
        (
            lambda: Quadratic(torch.ones(2), torch.ones(2), torch.ones(2), 2, torch.eye(2), (1, 1)),
            "leave out the basis or the groups",
        ),
        (lambda: bowl().exact(Hypers(log_lr=torch.zeros(3, 1))), f"3 rows; give 1 or {T}"),
        (lambda: bowl().exact(Hypers(log_l2=torch.zeros(4))), "log_l2 has 4 entries"),
    ],
)
def test_what_does_not_fit_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()


# ── digits ──


def rows(examples):
    return {image.numpy().tobytes() for image in examples.images}


def test_digits_are_shared_out_by_the_seed():
    split = digits(train=1000, valid=400, seed=1)
    sizes = [len(part.images) for part in (split.train, split.valid, split.test)]
    assert sizes == [1000, 400, 397]
    for part in (split.train, split.valid, split.test):
        assert part.images.shape[1:] == (64,) and part.images.dtype == torch.float32
        assert part.labels.dtype == torch.int64 and part.labels.unique().tolist() == list(range(10))
        assert part.images.min() == 0 and part.images.max() == 1
    together = rows(split.train) | rows(split.valid) | rows(split.test)
    assert len(together) == 1797  # no two of them are alike, so none is in two places
    assert torch.equal(digits(seed=1).train.images, split.train.images)
    assert not torch.equal(digits(seed=2).train.images, split.train.images)


@pytest.mark.parametrize("sizes", [(1500, 297), (0, 100), (1797, 1)])
def test_too_many_digits_are_refused(sizes):
    with pytest.raises(ValueError, match="together at most 1797"):
        digits(*sizes)


def test_a_network_learns_the_digits_and_tells_its_scores():
    split = digits(train=500, valid=200)
    problem = network(
        split.train, split.valid, (16,), test=split.test, steps=80, batch=50, dynamics=HeavyBall(lr=2.0)
    )
    found = hypergradient(problem, Hypers(log_init_scale=torch.full((4,), -1.5)), "tape")
    assert problem.scores is not None
    before, after = problem.scores(problem.init(0) * math.exp(-1.5)), problem.scores(found.weights[0])
    assert set(after) == {
        f"{what}/{where}" for what in ("loss", "error") for where in ("train", "valid", "test")
    }
    assert after["loss/valid"] == pytest.approx(found.value.item(), rel=1e-5)
    assert after["error/test"] < 0.2 < 0.7 < before["error/test"]
    assert all(type(figure) is float for figure in after.values())


def test_scores_say_error_as_a_share_and_train_as_told():
    images, labels = torch.eye(4), torch.tensor([0, 1, 2, 0])
    train, seen = Examples(images[:2], labels[:2]), Examples(images, labels)
    problem = network(train, train, classes=3, steps=1, batch=1)
    x = torch.zeros(15)
    x[:12] = 9 * torch.eye(4, 3).flatten()  # image i is called i; the last one, which is a 0, may be anything
    x[9:12] = torch.tensor([0.0, 9.0, 0.0])
    assert problem.scores is not None
    alone = problem.scores(x)
    assert set(alone) == {"loss/train", "error/train", "loss/valid", "error/valid"}
    assert alone["error/train"] == 0
    told = network(train, train, classes=3, steps=1, batch=1, seen=seen).scores
    assert told is not None and told(x)["error/train"] == 0.25
    assert told(x.double().requires_grad_())["loss/train"] == pytest.approx(
        (3 * math.log(1 + 2 * math.exp(-9)) + math.log(2 + math.exp(9))) / 4
    )


# ── MNIST in IDX files ──


@pytest.fixture
def folder(tmp_path):
    for name, raw in contents().items():
        (tmp_path / name).write_bytes(raw)
    return tmp_path


def test_idx_files_are_read_plain_and_packed(folder, tmp_path):
    split = mnist(folder, 7, 5)
    raw = np.frombuffer(contents()["t10k-images-idx3-ubyte"][16:], np.uint8).reshape(N_TEST, 784)
    assert np.array_equal(split.test.images.numpy(), raw.astype(np.float32) / 255)
    assert split.test.labels.tolist() == [0, 1, 2, 3, 4]
    assert len(rows(split.train) | rows(split.valid)) == N_TRAIN
    assert sorted(split.train.labels.tolist() + split.valid.labels.tolist()) == sorted([*range(10), 0, 1])
    packed = tmp_path / "packed"
    packed.mkdir()
    for name, bytes_ in contents().items():
        (packed / f"{name}.gz").write_bytes(gzip.compress(bytes_, mtime=0))
    for part, other in zip(dataclasses.astuple(split), dataclasses.astuple(mnist(packed, 7, 5)), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(part, other, strict=True))


@pytest.mark.parametrize(
    ("name", "raw", "kind", "said"),
    [
        (
            "train-images-idx3-ubyte",
            None,
            FileNotFoundError,
            "neither train-images-idx3-ubyte nor .*four IDX files",
        ),
        (
            "t10k-labels-idx1-ubyte",
            b"<html>not found",
            ValueError,
            "begins with 3c 68 74 6d, which is not an IDX file",
        ),
        ("t10k-labels-idx1-ubyte", b"", ValueError, "which is not an IDX file"),
        (
            "train-labels-idx1-ubyte",
            idx(np.zeros(12, np.uint8))[:-3],
            ValueError,
            "holds 9 bytes.*promises 12",
        ),
        ("train-labels-idx1-ubyte", idx(np.zeros(9, np.uint8)), ValueError, "12 images and 9 labels"),
        (
            "train-labels-idx1-ubyte.gz",
            gzip.compress(bytes(99), mtime=0)[:-9],
            ValueError,
            "can't be unpacked",
        ),
        ("train-labels-idx1-ubyte.gz", b"junk", ValueError, "can't be unpacked"),
    ],
)
def test_a_bad_file_is_named_with_what_to_do(folder, name, raw, kind, said):
    (folder / name.removesuffix(".gz")).unlink()
    if raw is not None:
        (folder / name).write_bytes(raw)
    with pytest.raises(kind, match=said) as caught:
        mnist(folder, 7, 5)
    assert str(folder) in str(caught.value)


@pytest.mark.skipif(
    "TUNER_MNIST" not in os.environ, reason="TUNER_MNIST names no folder of MNIST's IDX files"
)
def test_the_real_mnist():
    split = mnist(Path(os.environ["TUNER_MNIST"]), 1000, 500)
    assert split.test.images.shape == (10_000, 784) and split.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert split.test.images.mean().item() == pytest.approx(0.1325, abs=1e-4)
