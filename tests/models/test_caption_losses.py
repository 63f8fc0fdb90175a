"""The squared EMD is the CRPS, its gradient is right, and hidden pixels are averaged as they should be."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.losses import ROWS, asked_mean, squared_emd


def crps(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """E|X - y| - E|X - X'| / 2 by summing over all pairs: p [N, J], y [N]."""
    j = torch.arange(p.shape[-1], dtype=p.dtype)
    apart = (j[:, None] - j).abs()  # [J, J]
    return (p * (j - y[:, None]).abs()).sum(-1) - 0.5 * torch.einsum("ni,ij,nj->n", p, apart, p)


@given(
    levels=st.integers(2, 256),
    seed=st.integers(0, 2**31),
    sharpness=st.sampled_from([0.1, 1.0, 10.0, 100.0]),
)
@settings(max_examples=40, deadline=None)
def test_it_is_the_crps(levels, seed, sharpness):
    rng = torch.Generator().manual_seed(seed)
    z = sharpness * torch.randn(7, levels, generator=rng, dtype=torch.float64)
    y = torch.randint(levels, (7,), generator=rng)
    torch.testing.assert_close(squared_emd(z, y), crps(z.softmax(-1), y), atol=1e-10, rtol=1e-10)


def test_uniform_forecast():
    z = torch.zeros(256, 256, dtype=torch.float64)
    loss = squared_emd(z, torch.arange(256))
    assert loss[0].item() == pytest.approx(84.83, abs=0.005)
    assert loss[255].item() == pytest.approx(84.83, abs=0.005)
    assert loss[128].item() == pytest.approx(21.33, abs=0.005)
    assert loss.mean().item() == pytest.approx(42.67, abs=0.005)


def test_a_point_forecast_pays_its_absolute_error():
    z = torch.full((1, 256), -1e4, dtype=torch.float64)
    z[0, 100] = 0
    for y in (0, 93, 100, 255):
        assert squared_emd(z, torch.tensor([y])).item() == pytest.approx(abs(y - 100))


@pytest.mark.parametrize("levels", [2, 9, 256])
def test_gradient_against_finite_differences(levels):
    torch.manual_seed(0)
    z = torch.randn(3, levels, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, levels - 1, levels // 2])
    assert torch.autograd.gradcheck(squared_emd, (z, y))


def test_gradient_against_autograd_across_chunks():
    """More rows than are worked on at a time, weighted unequally, against the formula left to autograd."""
    torch.manual_seed(0)
    z = torch.randn(ROWS + 5, 32, dtype=torch.float64, requires_grad=True)
    y = torch.randint(32, (ROWS + 5,))
    weight = torch.rand(ROWS + 5, dtype=torch.float64)
    e = z.softmax(-1).cumsum(-1) - (torch.arange(32) >= y[:, None]).double()
    (plain,) = torch.autograd.grad((weight * e.square().sum(-1)).sum(), z)
    (ours,) = torch.autograd.grad((weight * squared_emd(z, y)).sum(), z)
    torch.testing.assert_close(ours, plain)


def test_half_precision_logits():
    torch.manual_seed(0)
    z = torch.randn(500, 256) * 3
    y = torch.randint(256, (500,))
    exact, half = squared_emd(z.double(), y), squared_emd(z.bfloat16(), y)
    assert ((half.double() - exact).abs() / exact).mean() < 0.01


def test_any_shape_keeps_its_shape():
    z, y = torch.randn(2, 5, 3, 256), torch.randint(256, (2, 5, 3))
    loss = squared_emd(z, y)
    assert loss.shape == (2, 5, 3)
    torch.testing.assert_close(loss[1, 4, 2], squared_emd(z[1, 4, 2:], y[1, 4, 2:])[0])


def test_each_example_counts_the_same_however_much_it_hides():
    loss = torch.tensor([[10.0, 99, 99, 99], [2.0, 4, 6, 8]])
    asked = torch.tensor([[True, False, False, False], [True, True, True, True]])
    assert asked_mean(loss, asked).item() == (10 + 5) / 2


def test_an_example_that_asks_nothing_does_not_count():
    loss = torch.tensor([[7.0, 9.0], [3.0, 5.0]])
    asked = torch.tensor([[False, False], [True, True]])
    assert asked_mean(loss, asked).item() == 4


def test_nothing_asked_is_zero_with_gradient_zero():
    z = torch.randn(2, 4, 256, requires_grad=True)
    loss = asked_mean(squared_emd(z, torch.zeros(2, 4)), torch.zeros(2, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert not z.grad.any()


def test_what_was_not_asked_may_be_anything():
    loss = torch.tensor([[1.0, torch.inf], [2.0, torch.nan]])
    assert asked_mean(loss, torch.tensor([[True, False], [True, False]])).item() == 1.5
