import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.config import Config
from models.network.convnets import Convnet, Same, dilations, widths
from models.network.norms import ImageNorm
from models.network.reader import Caption
from models.noise import Noise

TAPERS = ("tapered", "expanding", "bottlenecked")
KINDS = ("straight", "straight_dilated", "straight_residual", *TAPERS)


def caption(batch=2, width=4):
    torch.manual_seed(1)
    states = torch.randn(batch, 3, width)
    return Caption(states, torch.ones(batch, 3, dtype=torch.bool), states[:, -1])


def convnet(side=12, channels=8, width=4, **hypers) -> Any:
    torch.manual_seed(0)
    return Convnet(channels, side, (width, width), Config.of({"convnet.depth": 16, "size": side, **hypers}))


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("radius", range(1, 8))
def test_every_kernel_keeps_the_size_and_sees_its_own_pixel(radius, dilation):
    same = Same(1, 1, radius, dilation)
    nn.init.ones_(same.conv.weight)
    x = torch.zeros(1, 1, 25, 25)
    x[0, 0, 12, 12] = 1
    y = same(x)
    assert y.shape == x.shape
    seen = y[0, 0].nonzero()
    assert len(seen) == radius**2
    # symmetric about the pixel, but for the one step by which an even kernel cannot be
    off_centre = (seen.double().mean(0) - 12).abs()
    assert (off_centre <= dilation / 2).all()
    assert same(torch.zeros(1, 1, 7, 9)).shape == (1, 1, 7, 9)


@pytest.mark.parametrize("dilation", [2, 4])
def test_a_dilated_convolution_is_a_dense_one_on_every_dth_pixel(dilation):
    same, x = Same(2, 3, 3, dilation).double(), torch.randn(2, 2, 12, 12, dtype=torch.float64)
    y = same(x)
    for row, column in itertools.product(range(dilation), repeat=2):
        grid = (..., slice(row, None, dilation), slice(column, None, dilation))
        torch.testing.assert_close(y[grid], F.conv2d(x[grid], same.conv.weight, padding=1))


@given(profundity=st.integers(1, 60), side=st.integers(8, 128))
@settings(max_examples=50)
def test_dilations_double_and_stay_within_the_picture(profundity, side):
    spread = dilations(profundity, side)
    assert len(spread) == profundity
    assert spread[0] == 1
    assert all(b in (a, 2 * a) for a, b in itertools.pairwise(spread))
    assert spread[-1] <= side / 2


def test_dilations_of_2017():
    assert sorted(set(dilations(20, 64))) == [1, 2, 4, 8, 16]


def test_widths_by_name():
    assert widths("straight_residual", 30, 3) == [30, 30, 30]
    assert widths("tapered", 64, 4) == [64, 48, 32, 16]
    assert widths("expanding", 64, 4) == [16, 32, 48, 64]
    assert widths("bottlenecked", 64, 5) == [64, 40, 16, 40, 64]
    assert widths("bottlenecked", 64, 4) == [64, 16, 16, 64]


@given(st.sampled_from(KINDS), st.integers(1, 512), st.integers(1, 60))
def test_widths_stay_between_a_quarter_and_the_whole(kind, depth, profundity):
    filters = widths(kind, depth, profundity)
    assert len(filters) == profundity
    assert max(filters) == depth
    # The nearest multiple of 8 to a quarter may be 4 below it.
    assert min(filters) >= min(depth, max(8, depth / 4 - 4))
    if kind == "tapered":
        assert filters == sorted(filters, reverse=True) == widths("expanding", depth, profundity)[::-1]
    if kind == "bottlenecked":
        assert filters == filters[::-1]
        assert filters[: (profundity + 1) // 2] == sorted(filters[: (profundity + 1) // 2], reverse=True)
    if kind in TAPERS and profundity > 2 and depth >= 32:
        assert min(filters) <= depth / 4 + 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("radius", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("profundity", [1, 2, 3, 5])
def test_every_net_answers_at_full_size_and_learns_everywhere(kind, radius, profundity):
    hypers = {
        "convnet.kind": kind,
        "convnet.radius": radius,
        "convnet.profundity": profundity,
        "merger.layers": 1,
    }
    net = convnet(**hypers)
    y = net(torch.randn(2, 8, 12, 12), caption())
    assert y.shape == (2, net.depth, 12, 12)
    assert net.depth == widths(kind, 16, profundity)[-1]
    y.pow(3).mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize("profundity", [1, 2, 5])
def test_a_residual_net_passes_its_input_by(profundity):
    """When the layers say nothing only the widened input is left: nothing else is on the way."""
    net = convnet(
        **{"convnet.kind": "straight_residual", "convnet.profundity": profundity, "merger.layers": 1},
        **{"merger.kind": "film", "merger.last": "none"},
    )
    for layer in net.layers:
        nn.init.zeros_(layer.norm.weight)
    x = torch.randn(2, 8, 12, 12)
    torch.testing.assert_close(net(x, caption()), net.thru(x).relu())


@pytest.mark.parametrize("kind", ["straight", "straight_residual"])
def test_deep_nets_start(kind):
    """After 48 layers pixels still differ, and the first layers hear of the loss as the last ones do."""
    net = convnet(16, **{"convnet.kind": kind, "convnet.profundity": 48})
    y = net(torch.randn(2, 8, 16, 16), caption())
    assert y.var((2, 3)).mean() > 0.05 * y.var((1, 2, 3)).mean()
    (y * torch.randn_like(y)).mean().backward()
    weights = [layer.conv.conv.weight for layer in net.layers]
    pull = [(w.grad.norm() / w.norm()).item() for w in weights]
    assert max(pull) < 100 * min(pull)


def test_dropout_takes_whole_channels_and_never_the_way_past():
    net = convnet(**{"convnet.dropout": 0.5, "convnet.kind": "straight_residual", "convnet.profundity": 4})
    x, said = torch.randn(2, 8, 12, 12), caption()
    entered = {}
    for i, layer in enumerate(net.layers):
        layer.register_forward_pre_hook(lambda _, args, i=i: entered.__setitem__(i, args[0]))
    y = net(x, said, Noise.at(0, 1))
    assert torch.equal(y, net(x, said, Noise.at(0, 1)))
    assert not torch.allclose(y, net(x, said, Noise.at(0, 2)))
    net(x, said, Noise.at(0, 1))
    assert torch.equal(entered[0], x)
    for i in (1, 2, 3):
        gone = (entered[i] == 0).flatten(2).all(2)  # [B, C]
        assert 0.2 < gone.float().mean() < 0.8
        assert not torch.equal(gone[0], gone[1])
    for layer in net.layers[2:]:
        nn.init.zeros_(layer.norm.weight)
    past_two = net(x, said, Noise.at(0, 1))
    assert not (past_two == 0).flatten(2).all(2).all()
    plain = convnet(**{"convnet.kind": "straight_residual", "convnet.profundity": 4})
    torch.testing.assert_close(
        convnet(**{"convnet.dropout": 0.5, "convnet.profundity": 4})(x, said), plain(x, said)
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_norm_of_a_gpu_is_that_of_a_cpu(dtype, layout):
    torch.manual_seed(0)
    norm = ImageNorm(6)
    if dtype == torch.float64:
        norm.double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = (3 + 5 * torch.randn(2, 6, 7, 7, dtype=torch.float64)).to(dtype).to(memory_format=layout)
    x.requires_grad_()
    answers = []
    for run in (norm.forward, norm.spelled_out):
        y = run(x)
        assert y.dtype == dtype
        assert y.is_contiguous(memory_format=layout)
        answers.append((y, *torch.autograd.grad(y.pow(3).sum(), (x, norm.weight, norm.bias))))
    for one, other in zip(*answers, strict=True):
        # Sums of some hundred terms of up to 1,000, in another order: an error of 1e-7 in each adds up to this.
        rtol, atol = {torch.bfloat16: (0.05, 0.5), torch.float32: (1e-4, 1e-3)}.get(dtype, (None, None))
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol)
