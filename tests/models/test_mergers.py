from typing import Any

import pytest
import torch
from torch import nn

from models.config import Config
from models.network import mergers
from models.network.reader import Caption

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def caption(batch=1, words=4, width=3):
    torch.manual_seed(1)
    there = torch.arange(words).expand(batch, -1) < words - 1  # the last is padding
    return Caption(torch.randn(batch, words, width) * there[..., None], there, torch.randn(batch, width))


def merger(kind, channels=5, side=2, width=3) -> Any:
    torch.manual_seed(0)
    made = mergers.build(
        Config.of({"merger.kind": kind, "merger.depth": 2}).merger, channels, side, width, width
    )
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def test_attention_is_what_it_says():
    attention, said = merger("attention"), caption()
    x = torch.randn(1, 5, 2, 2)
    merged = attention(x, said)
    z = attention.norm(attention.w(said.states[0, :3])).relu()  # [3 words, 5]
    for row in range(2):
        for column in range(2):
            pixel = x[0, :, row, column]
            w = torch.stack([pixel @ attention.u @ word for word in z]).softmax(0)
            torch.testing.assert_close(merged[0, :, row, column], pixel + w @ z)


def test_film_scales_and_shifts_each_channel():
    film, said, x = merger("film"), caption(2), torch.randn(2, 5, 2, 2)
    merged = film(x, said)
    for n in range(2):
        gamma, beta = film.project(said.summary[n]).chunk(2)
        for c in range(5):
            torch.testing.assert_close(merged[n, c], x[n, c] * (1 + gamma[c]) + beta[c])


def test_film_begins_as_nothing_and_is_learned_at_once():
    film, said, x = mergers.FiLM(5, 3), caption(2), torch.randn(2, 5, 2, 2)
    merged = film(x, said)
    assert torch.equal(merged, x)
    merged.square().sum().backward()
    gradient = film.project.weight.grad
    assert gradient is not None and gradient.all()


def test_conv_tells_every_pixel_something_of_its_own():
    conv, said, x = merger("conv"), caption(2), torch.randn(2, 5, 2, 2)
    merged = conv(x, said)
    assert merged.shape == (2, 7, 2, 2)
    assert torch.equal(merged[:, :5], x)
    told = conv.project(said.summary).view(2, 2, 2, 2)  # [B, H, W, depth]
    torch.testing.assert_close(merged[:, 5:], told.permute(0, 3, 1, 2))
    assert len(merged[0, 5:].unique()) == 8


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["attention", "conv", "film"])
def test_mergers_leave_the_memory_format_alone(kind, layout):
    x = torch.randn(2, 5, 4, 4)
    laid_out: Any = x.to(memory_format=layout).requires_grad_()
    merged = merger(kind, side=4)(laid_out, caption(2))
    assert merged.is_contiguous(memory_format=layout)
    torch.testing.assert_close(merged, merger(kind, side=4)(x, caption(2)))
    merged.square().sum().backward()
    assert laid_out.grad.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("kind", ["attention", "conv", "film"])
def test_mergers_keep_the_precision_of_the_picture(kind):
    """What is merged must not turn the activations into float32: the whole net would follow."""
    x, merge = torch.randn(2, 5, 4, 4, dtype=torch.bfloat16), merger(kind, side=4)
    with torch.autocast("cpu", torch.bfloat16):
        merged = merge(x, caption(2))
    assert merged.dtype == torch.bfloat16
    exact = merge(x.float(), caption(2))
    assert (merged - exact).abs().mean() < 0.02 * exact.abs().mean()


@pytest.mark.parametrize("kind", ["attention", "conv", "film"])
def test_gradients_against_finite_differences(kind):
    merge = merger(kind).double()
    names, values = zip(*merge.named_parameters(), strict=True)
    said = Caption(*(t.double() if t.is_floating_point() else t for t in caption(2)))

    def run(x, states, summary, *parameters):
        told = Caption(states, said.there, summary)
        return torch.func.functional_call(merge, dict(zip(names, parameters, strict=True)), (x, told))

    x = torch.randn(2, 5, 2, 2, dtype=torch.float64)
    inputs = [v.detach().clone().requires_grad_() for v in (x, said.states, said.summary, *values)]
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
