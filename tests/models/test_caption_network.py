"""The parts of the network: sizes are kept, padding and hidden pixels are invisible, captions are read."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import config, mergers
from models.config import Config
from models.convnets import Same, dilations
from models.losses import asked_mean, squared_emd
from models.mergers import Caption
from models.model import CaptionModel, pixels
from models.reader import Reader

SIZE = 12
CONVNETS = ("straight", "straight_dilated", "straight_residual")
MERGERS = ("attention", "conv")


def model(**hypers):
    torch.manual_seed(0)
    small = {"size": SIZE, "convnet.depth": 8, "reader.size": 8, "merger.depth": 3}
    return CaptionModel(Config.of({**small, **hypers}), vocabulary=20)


def batch(count=4, length=5):
    rng = torch.Generator().manual_seed(1)
    images = torch.randint(256, (count, 3, SIZE, SIZE), generator=rng).to(torch.uint8)
    given_mask = torch.rand(count, 1, SIZE, SIZE, generator=rng) < 0.5
    return images, given_mask, torch.randint(1, 20, (count, length), generator=rng)


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("radius", range(1, 8))
def test_every_kernel_keeps_the_size_and_sees_its_own_pixel(radius, dilation):
    same = Same(1, 1, radius, dilation)
    torch.nn.init.ones_(same.conv.weight)
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


@pytest.mark.parametrize("bidir", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("radius", [1, 2, 5])
def test_the_reader_does_not_see_padding(bidir, normalize, radius):
    torch.manual_seed(0)
    reader = Reader(20, config.Reader(size=6, radius=radius, bidir=bidir, normalize=normalize))
    captions = [[3, 4, 5, 6], [7], [8, 9]]
    padded = torch.tensor([c + [0] * (9 - len(c)) for c in captions])
    states, there, summary = reader(padded)
    assert there.sum(1).tolist() == [4, 1, 2]
    for row, caption in enumerate(captions):
        alone, _, summary_alone = reader(torch.tensor([caption]))
        torch.testing.assert_close(states[row, : len(caption)], alone[0])
        torch.testing.assert_close(summary[row], summary_alone[0])
        assert not states[row, len(caption) :].any()


def test_the_reader_is_a_quasi_rnn():
    """Against the recurrence written out for one caption, word by word."""
    torch.manual_seed(0)
    reader = Reader(20, config.Reader(size=4, radius=2, bidir=False, normalize=False))
    qrnn: Any = reader.passes[0]
    torch.nn.init.normal_(qrnn.start)
    tokens = [5, 6, 7]
    states, _, summary = reader(torch.tensor([tokens]))
    x = [torch.zeros(4), *reader.embed.weight[tokens]]
    conv, c = qrnn.conv, qrnn.start
    for t in range(3):
        j, f, o = (conv.weight[..., 0] @ x[t] + conv.weight[..., 1] @ x[t + 1] + conv.bias).chunk(3)
        f = (f + 1).sigmoid()
        c = f * c + (1 - f) * j.tanh()
        h = o.sigmoid() * c.tanh()
        torch.testing.assert_close(states[0, t], h)
    torch.testing.assert_close(summary[0], h)


def test_reading_both_ways():
    """The second half of the states is a forward reading of the caption turned round."""
    torch.manual_seed(0)
    reader = Reader(20, config.Reader(size=4, bidir=True))
    states, _, summary = reader(torch.tensor([[5, 6, 7, 0, 0], [8, 9, 10, 11, 12]]))
    assert reader.width == 8 == states.shape[-1]
    one_way = Reader(20, config.Reader(size=4, bidir=False))
    one_way.embed, one_way.passes[0] = reader.embed, reader.passes[1]
    turned, _, last = one_way(torch.tensor([[7, 6, 5]]))
    torch.testing.assert_close(states[0, :3, 4:], turned[0].flip(0))
    torch.testing.assert_close(summary[0, 4:], last[0])


def test_attention_is_what_it_says():
    torch.manual_seed(0)
    attention = mergers.Attention(channels=5, width=3)
    torch.nn.init.normal_(attention.u)
    x, states = torch.randn(1, 5, 2, 2), torch.randn(1, 4, 3)
    there = torch.tensor([[True, True, True, False]])
    merged = attention(x, Caption(states, there, states[:, 0]))
    z = attention.norm(attention.w(states[0, :3])).relu()  # [3 words, 5]
    for row in range(2):
        for column in range(2):
            pixel = x[0, :, row, column]
            w = torch.stack([pixel @ attention.u @ word for word in z]).softmax(0)
            torch.testing.assert_close(merged[0, :, row, column], pixel + w @ z)


@pytest.mark.parametrize("merger", MERGERS)
@pytest.mark.parametrize("convnet", CONVNETS)
def test_logits_do_not_depend_on_padding_or_on_hidden_pixels(convnet, merger):
    net = model(**{"convnet.kind": convnet, "merger.kind": merger})
    images, given_mask, tokens = batch()
    tokens[1, 2:] = 0
    logits = net(images, given_mask, tokens)
    assert logits.shape == (4, SIZE * SIZE, 3, 256)
    padded = torch.cat([tokens, torch.zeros(4, 6, dtype=torch.int64)], 1)
    elsewhere = torch.where(given_mask, images, 255 - images)
    torch.testing.assert_close(net(elsewhere, given_mask, padded), logits)


@pytest.mark.parametrize("merger", MERGERS)
@pytest.mark.parametrize("layers", [1, 3, [0], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("convnet", CONVNETS)
def test_the_caption_and_what_is_given_matter(convnet, layers, merger):
    hypers = {
        "convnet.kind": convnet,
        "merger.kind": merger,
        "merger.layers": layers,
        "convnet.profundity": 5,
    }
    net = model(**hypers)
    images, given_mask, tokens = batch()
    logits = net(images, given_mask, tokens)
    assert not torch.allclose(net(images, given_mask, 20 - tokens), logits)
    assert not torch.allclose(net(255 - images, given_mask, tokens), logits)
    assert not torch.allclose(net(images, ~given_mask, tokens), logits)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("radius", [1, 2, 4])
@pytest.mark.parametrize("profundity", [1, 2, 3])
def test_shallow_nets_and_even_kernels(profundity, radius):
    for kind in CONVNETS:
        hypers = {"convnet.profundity": profundity, "convnet.radius": radius, "merger.layers": 1}
        assert model(**hypers, **{"convnet.kind": kind})(*batch()).shape == (4, SIZE * SIZE, 3, 256)


def test_logits_at_some_pixels_are_those_of_all():
    net, (images, given_mask, tokens) = model(), batch()
    at = torch.tensor([[0, 5, 143], [7, 6, 5], [1, 2, 3], [100, 0, 50]])
    everywhere = net(images, given_mask, tokens)
    some = net(images, given_mask, tokens, at)
    torch.testing.assert_close(some, everywhere[torch.arange(4)[:, None], at])
    levels = pixels(images, at)
    assert levels[1, 0].tolist() == images[1, :, 0, 7].tolist()  # pixel 7 is row 0, column 7
    assert levels[0, 2].tolist() == images[0, :, 11, 11].tolist()


@pytest.mark.parametrize("merger", MERGERS)
@pytest.mark.parametrize("convnet", CONVNETS)
def test_one_batch_is_learned_by_heart(convnet, merger):
    """Six pictures of one colour each, everything hidden: only the caption can tell which colour."""
    net = model(**{"convnet.kind": convnet, "merger.kind": merger, "convnet.profundity": 4})
    colours = torch.tensor(
        [[250, 10, 10], [10, 250, 10], [10, 10, 250], [0, 0, 0], [255, 255, 255], [9, 99, 200]]
    )
    images = colours[..., None, None].expand(-1, -1, SIZE, SIZE).to(torch.uint8)
    hidden = torch.zeros(6, 1, SIZE, SIZE, dtype=torch.bool)
    tokens = torch.tensor([[2, n + 3] for n in range(6)])
    adam = torch.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    for _ in range(80):
        loss = asked_mean(
            squared_emd(net(images, hidden, tokens), pixels(images, None)), ~hidden.flatten(1)[..., None]
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[0] > 40
    assert losses[-1] < 6  # the best answer that ignores the captions costs about 50
