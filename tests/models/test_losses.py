"""The losses are what they say, their gradients are right, and hidden pixels are averaged as they should be."""

import math
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.config import Config
from models.task.losses import ROWS, asked_mean, bits, level_loss, loss_and_gradient, squared_emd, weights

MIXTURES = [
    {"emd2": 1.0},
    {"emd": 1.0},
    {"xent": 1.0},
    {"emd2": 1.0, "xent": 0.3},
    {"emd2": 0.5, "emd": 2.0, "xent": 1.5},
]


def naive(z: Tensor, y: Tensor, emd2: float = 0.0, emd: float = 0.0, xent: float = 0.0) -> Tensor:
    """The definitions, left to autograd: z [..., J], y [...]."""
    loss = torch.zeros((), dtype=z.dtype)
    if emd2 or emd:
        e = z.softmax(-1).cumsum(-1) - (torch.arange(z.shape[-1]) >= y[..., None]).to(z.dtype)
    if emd2:
        loss = loss + emd2 * e.square().sum(-1)
    if emd:
        loss = loss + emd * e.abs().sum(-1)
    if xent:
        loss = loss - xent * z.log_softmax(-1).gather(-1, y[..., None].long()).squeeze(-1)
    return loss


def apart(levels: int) -> Tensor:
    j = torch.arange(levels, dtype=torch.float64)
    return (j[:, None] - j).abs()  # [J, J]


@given(
    levels=st.integers(2, 256),
    seed=st.integers(0, 2**31),
    sharpness=st.sampled_from([0.1, 1.0, 10.0, 100.0]),
)
@settings(max_examples=25, deadline=None)
def test_emd2_is_the_crps_and_emd_the_expected_distance(levels, seed, sharpness):
    """By summing over all pairs: E|X - y| - E|X - X'| / 2, and E|X - y|."""
    rng = torch.Generator().manual_seed(seed)
    z = sharpness * torch.randn(7, levels, generator=rng, dtype=torch.float64)
    y = torch.randint(levels, (7,), generator=rng)
    p = z.softmax(-1)
    to_truth = (p * apart(levels)[y]).sum(-1)
    to_itself = torch.einsum("ni,ij,nj->n", p, apart(levels), p)
    torch.testing.assert_close(squared_emd(z, y), to_truth - to_itself / 2, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(level_loss(z, y, emd=1), to_truth, atol=1e-10, rtol=1e-10)


def test_uniform_forecast():
    z = torch.zeros(256, 256, dtype=torch.float64)
    loss = squared_emd(z, torch.arange(256))
    assert loss[0].item() == pytest.approx(84.83, abs=0.005)
    assert loss[255].item() == pytest.approx(84.83, abs=0.005)
    assert loss[128].item() == pytest.approx(21.33, abs=0.005)
    assert loss.mean().item() == pytest.approx(42.67, abs=0.005)
    assert bits(z, torch.arange(256)).tolist() == pytest.approx([8.0] * 256)


@pytest.mark.parametrize("kind", ["emd2", "emd"])
def test_a_point_forecast_pays_its_absolute_error(kind):
    z = torch.full((4, 256), -1e4)
    z[:, 100] = 0
    y = torch.tensor([0, 93, 100, 255])
    assert level_loss(z, y, **{kind: 1.0}).tolist() == pytest.approx([100, 7, 0, 155])


def test_emd2_is_proper_and_emd_is_not():
    """The truth 1/4, 3/4: emd2 is least for that forecast; emd for a point at its median."""
    truth = torch.tensor([0.25, 0.75], dtype=torch.float64)
    forecasts = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)  # of the second level
    z = torch.stack([1 - forecasts, forecasts], -1).log()  # [99, 2]
    y = torch.tensor([0, 1]).expand(99, 2)
    expected = {
        kind: (level_loss(z[:, None].expand(-1, 2, -1), y, **{kind: 1.0}) * truth).sum(-1)
        for kind in ("emd2", "emd")
    }
    assert forecasts[expected["emd2"].argmin()].item() == pytest.approx(0.75)
    assert forecasts[expected["emd"].argmin()].item() == pytest.approx(0.99)


@pytest.mark.parametrize("mixture", MIXTURES, ids=str)
@pytest.mark.parametrize("levels", [2, 9, 256])
def test_gradient_against_finite_differences(levels, mixture):
    """Central differences in float64. (gradcheck goes back several times through one graph: refused below.)"""
    torch.manual_seed(0)
    z = torch.randn(3, levels, dtype=torch.float64)
    y = torch.tensor([0, levels - 1, levels // 2])
    step = 1e-6 * torch.eye(levels, dtype=torch.float64)[:, None]  # [J, 1, J]: rows don't mix, so all at once
    above, below = (level_loss(z + s, y.expand(levels, 3), **mixture) for s in (step, -step))  # [J, 3]
    z.requires_grad_()
    (dz,) = torch.autograd.grad(level_loss(z, y, **mixture).sum(), z)
    torch.testing.assert_close(dz, (above - below).T / 2e-6, atol=2e-7, rtol=1e-6)


@pytest.mark.parametrize("mixture", MIXTURES, ids=str)
def test_loss_and_gradient_against_autograd_across_chunks(mixture):
    """More rows than are worked on at a time, weighted unequally, against the definitions left to autograd."""
    torch.manual_seed(0)
    z = torch.randn(ROWS + 5, 32, dtype=torch.float64, requires_grad=True)
    y = torch.randint(32, (ROWS + 5,))
    weight = torch.rand(ROWS + 5, dtype=torch.float64)
    plain, ours = naive(z, y, **mixture), level_loss(z, y, **mixture)
    torch.testing.assert_close(ours, plain)
    expected = torch.autograd.grad((weight * plain).sum(), z)
    torch.testing.assert_close(torch.autograd.grad((weight * ours).sum(), z), expected)


def test_a_softmax_certain_of_a_wrong_level_is_dead_to_emd_and_not_to_xent():
    z = torch.zeros(1, 256)
    z[0, 10] = 1e3
    z.requires_grad_()
    for kind, alive in (("emd2", False), ("emd", False), ("xent", True)):
        (dz,) = torch.autograd.grad(level_loss(z, torch.tensor([200]), **{kind: 1.0}).sum(), z)
        assert bool(dz.any()) == alive
        assert not alive or dz[0, 200] == -1


extreme = st.sampled_from(["huge", "one hot", "all equal", "mixed", "largest"])


@given(
    shape=extreme,
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    mixture=st.sampled_from(MIXTURES),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=80, deadline=None)
def test_finite_logits_never_give_nan(shape, dtype, mixture, seed):
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(6, 256, generator=rng, dtype=torch.float64)
    if shape == "huge":
        z = 1e4 * z.sign()
    elif shape == "one hot":
        z = 1e4 * torch.nn.functional.one_hot(torch.randint(256, (6,), generator=rng), 256)
    elif shape == "all equal":
        z = z[:, :1].expand(-1, 256) * 1e4
    elif shape == "mixed":
        z = z * 10 ** torch.randint(-4, 4, (6, 1), generator=rng)
    else:
        z = z.sign() * torch.finfo(dtype).max
    z = z.to(dtype).requires_grad_()
    loss = level_loss(z, torch.randint(256, (6,), generator=rng), **mixture)
    loss.sum().backward()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert not loss.isnan().any()
    assert (loss >= -1e-4).all()  # the rounding of logits of a thousand
    assert z.grad is not None
    assert z.grad.dtype == dtype
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits(dtype):
    torch.manual_seed(0)
    z, y = torch.randn(2000, 256) * 3, torch.randint(256, (2000,))
    exact = squared_emd(z.double(), y)
    error = squared_emd(z.to(dtype), y).double() / exact - 1
    assert error.abs().mean() < 0.004
    assert error.mean().abs() < 4e-4


def test_any_shape_and_any_whole_level():
    torch.manual_seed(0)
    z, y = torch.randn(2, 5, 3, 256), torch.randint(256, (2, 5, 3))
    loss = level_loss(z, y, emd2=1, xent=1)
    assert loss.shape == (2, 5, 3)
    torch.testing.assert_close(loss, naive(z, y, emd2=1, xent=1))
    columns_first = z.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)  # as a convolution leaves them
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert (level_loss(columns_first, y.to(dtype), emd2=1, xent=1) == loss).all()
    assert squared_emd(z[:0], y[:0]).shape == (0, 5, 3)


def test_what_makes_no_sense_is_refused():
    z = torch.zeros(2, 256)
    with pytest.raises(ValueError, match=r"levels must be \[2\]"):
        squared_emd(z, torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="whole numbers"):
        squared_emd(z, torch.zeros(2))
    with pytest.raises(ValueError, match="leaves no loss"):
        level_loss(z, torch.zeros(2, dtype=torch.long))
    for y in ([0, 256], [-1, 3]):
        with pytest.raises(ValueError, match="from 0 to 255"):
            squared_emd(z, torch.tensor(y))


def test_the_buffer_is_used_up_and_a_second_way_back_refused():
    z, y = torch.randn(3, 256, requires_grad=True), torch.tensor([1, 2, 3])
    loss = squared_emd(z, y).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(squared_emd(z, y).sum(), z, create_graph=True)


class Memory(TorchDispatchMode):
    """The most bytes alive at once in what operators gave back: all there is on a GPU, where the kernel
    has no other memory (on a CPU it has four buffers of ROWS rows besides)."""

    def __init__(self):
        super().__init__()
        self.alive: dict[int, weakref.ref] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            storage = tensor.untyped_storage()
            self.alive[id(storage)] = weakref.ref(storage)
        self.alive = {i: ref for i, ref in self.alive.items() if ref() is not None}
        self.peak = max(self.peak, sum(ref().nbytes() for ref in self.alive.values()))
        return out


@pytest.mark.parametrize("mixture", [MIXTURES[0], MIXTURES[3]], ids=str)
def test_loss_and_gradient_take_a_quarter_of_the_naive_memory(mixture):
    """Four bytes a logit at the most, logits and gradient, where float32 left to autograd has twenty."""

    def peak(loss, dtype):
        z = torch.randn(1000, 256, dtype=dtype, requires_grad=True)
        y = torch.randint(256, (1000,))
        with Memory() as memory:
            loss(z.clone(), y, **mixture).mean().backward()  # the clone: logits are made, too
        return memory.peak / z.numel()

    ours, left_to_autograd = peak(level_loss, torch.bfloat16), peak(naive, torch.float32)
    assert ours < 4.1
    assert ours < left_to_autograd / 4


@pytest.mark.parametrize("kind", ["emd2", "emd", "xent", "mixed"])
def test_the_weights_of_a_configuration(kind):
    got = weights(Config.of({"loss": kind, "xent_weight": 0.5}))
    assert got == ({"emd2": 1.0, "xent": 0.5} if kind == "mixed" else {kind: 1.0})
    assert level_loss(torch.zeros(1, 256), torch.tensor([128]), **got).isfinite()


def test_the_operator_keeps_its_word_to_torch():
    """Schema, fake shapes and tracing agree with what it does (`opcheck`)."""
    z, y = torch.randn(6, 16), torch.randint(16, (6,), dtype=torch.uint8)
    for wanted in (True, False):
        torch.library.opcheck(loss_and_gradient, (z, y, 1.0, 0.5, 0.3, wanted))
        torch.library.opcheck(loss_and_gradient, (z.bfloat16(), y, 1.0, 0.0, 0.0, wanted))


def test_torch_compile_takes_it_whole_with_its_way_back():
    z, y = torch.randn(2, 3, 16, requires_grad=True), torch.randint(16, (2, 3))
    asked = torch.tensor([[True, False, True], [True, True, True]])

    def mean(z, y):
        return asked_mean(level_loss(z * 2, y, emd2=1.0, xent=0.5), asked)

    compiled = torch.compile(mean, backend="aot_eager", fullgraph=True)
    loss, expected = compiled(z, y), mean(z, y)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, z), torch.autograd.grad(expected, z))


def test_each_example_counts_the_same_however_much_it_hides():
    loss = torch.tensor([[10.0, 99, 99, 99], [2.0, 4, 6, 8]])
    asked = torch.tensor([[True, False, False, False], [True, True, True, True]])
    assert asked_mean(loss, asked).item() == (10 + 5) / 2


def test_asked_is_broadcast_over_channels():
    loss = torch.arange(12.0).view(2, 2, 3)
    asked = torch.tensor([[[True], [False]], [[True], [True]]])
    assert asked_mean(loss, asked) == asked_mean(loss, asked.expand(2, 2, 3)) == (1 + 8.5) / 2


def test_an_example_that_asks_nothing_does_not_count():
    loss = torch.tensor([[7.0, 9.0], [3.0, 5.0]])
    asked = torch.tensor([[False, False], [True, True]])
    assert asked_mean(loss, asked).item() == 4


def test_nothing_asked_is_zero_with_gradient_zero():
    z = torch.randn(2, 4, 256, requires_grad=True)
    loss = asked_mean(squared_emd(z, torch.zeros(2, 4).long()), torch.zeros(2, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert not z.grad.any()


def test_what_was_not_asked_may_be_anything():
    loss = torch.tensor([[1.0, torch.inf], [2.0, torch.nan]])
    assert asked_mean(loss, torch.tensor([[True, False], [True, False]])).item() == 1.5


def test_an_infinite_loss_that_was_not_asked_for_leaves_the_gradient_alone():
    z = torch.zeros(1, 2, 256)
    z[0, 1, 1:] = torch.finfo(torch.float32).max
    z[0, 1, 0] = -torch.finfo(torch.float32).max
    z.requires_grad_()
    each = level_loss(z, torch.zeros(1, 2).long(), xent=1.0)
    assert each[0, 1] == torch.inf
    loss = asked_mean(each, torch.tensor([[True, False]]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(256))
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert not z.grad[0, 1].any()
