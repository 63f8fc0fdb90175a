"""The whole network: hidden pixels and padding are invisible, captions are read, a GPU is never waited for."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from models.config import Config
from models.network.head import Head
from models.network.inputs import LEVELS, OneHot
from models.network.model import CaptionModel, pixels
from models.network.norms import ImageNorm
from models.noise import Noise
from models.task.losses import asked_mean, squared_emd

SIZE = 12
CONVNETS = ("straight", "straight_dilated", "straight_residual", "tapered", "expanding", "bottlenecked")
MERGERS = ("attention", "conv", "film")
INPUTS = ("scalar", "onehot")
READERS = ("qrnn", "lstm", "gru", "rnn")
EACH = (  # every kind of everything, with dropout, even kernels and dilation somewhere
    {},
    {"reader.kind": "lstm", "merger.kind": "attention", "convnet.input": "onehot", "convnet.dropout": 0.2},
    {"reader.kind": "gru", "merger.kind": "conv", "convnet.kind": "straight_dilated", "reader.layers": 2},
    {"reader.kind": "rnn", "convnet.kind": "bottlenecked", "convnet.radius": 4, "reader.dropout": 0.2},
)


def model(**hypers) -> Any:
    """Small, and as after some training: FiLM starts as the identity, deaf to every caption."""
    torch.manual_seed(0)
    small = {"size": SIZE, "convnet.depth": 8, "reader.size": 8, "reader.embedding": 6, "merger.depth": 3}
    net = CaptionModel(Config.of({**small, **hypers}), vocabulary=20)
    for name, parameter in net.named_parameters():
        if "merges" in name and not parameter.any():
            nn.init.normal_(parameter, std=0.5)
    return net


def batch(count=4, length=5):
    rng = torch.Generator().manual_seed(1)
    images = torch.randint(256, (count, 3, SIZE, SIZE), generator=rng).to(torch.uint8)
    given_mask = torch.rand(count, 3, SIZE, SIZE, generator=rng) < 0.5
    return images, given_mask, torch.randint(1, 20, (count, length), generator=rng)


def step(net, *arguments):
    """Forward and backward."""
    logits = net(*arguments)
    logits.float().square().mean().backward()
    return logits


@pytest.mark.parametrize("seen", INPUTS)
@pytest.mark.parametrize("merger", MERGERS)
@pytest.mark.parametrize("convnet", CONVNETS)
def test_logits_do_not_depend_on_padding_or_on_hidden_pixels(convnet, merger, seen):
    net = model(**{"convnet.kind": convnet, "merger.kind": merger, "convnet.input": seen})
    images, given_mask, tokens = batch()
    tokens[1, 2:] = 0
    logits = net(images, given_mask, tokens)
    assert logits.shape == (4, SIZE * SIZE, 3, 256)
    elsewhere = torch.where(given_mask, images, 255 - images)
    assert torch.equal(net(elsewhere, given_mask, tokens), logits)
    padded = torch.cat([tokens, torch.zeros(4, 6, dtype=torch.int64)], 1)
    torch.testing.assert_close(net(images, given_mask, padded), logits)


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
    logits = step(net, images, given_mask, tokens)
    assert not torch.allclose(net(images, given_mask, 20 - tokens), logits)
    assert not torch.allclose(net(255 - images, given_mask, tokens), logits)
    assert not torch.allclose(net(images, ~given_mask, tokens), logits)
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_each_channel_has_a_mask_of_its_own():
    net, (images, given_mask, tokens) = model(), batch()
    logits = net(images, given_mask, tokens)
    given_mask[0, 1, 5, 5] ^= True
    assert not torch.allclose(net(images, given_mask, tokens)[0], logits[0])


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("words", [1, 3])
def test_tiny_pictures_and_kernels_longer_than_the_caption(kind, words):
    for radius in (2, 3, 4, 5):
        hypers = {"size": 8, "convnet.radius": radius, "reader.kind": kind}
        net = model(**hypers, **({"reader.radius": 32} if kind == "qrnn" else {}))
        images, mask = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 3, 8, 8, dtype=torch.bool)
        assert net(images, mask, torch.full((2, words), 5)).isfinite().all()


def test_more_merges_than_layers_are_all_made():
    for merger in MERGERS:
        net = model(**{"convnet.profundity": 2, "merger.layers": 5, "merger.kind": merger})
        assert sorted(len(layer.merges) for layer in net.convnet.layers) == [2, 3]
        step(net, *batch())
        assert all(p.grad.any() for p in net.convnet.parameters())


def test_logits_at_some_pixels_are_those_of_all():
    net, (images, given_mask, tokens) = model(), batch()
    at = torch.tensor([[0, 5, 143], [7, 6, 5], [1, 2, 3], [100, 0, 50]])
    everywhere = net(images, given_mask, tokens)
    some = net(images, given_mask, tokens, at)
    torch.testing.assert_close(some, everywhere[torch.arange(4)[:, None], at])
    torch.testing.assert_close(net.draw(images, given_mask, net.read(tokens), at), some)
    levels = pixels(images, at)
    assert levels[1, 0].tolist() == images[1, :, 0, 7].tolist()  # pixel 7 is row 0, column 7
    assert levels[0, 2].tolist() == images[0, :, 11, 11].tolist()


def test_only_the_pixels_asked_for_pass_the_head():
    net, (images, given_mask, tokens) = model(), batch()
    seen = []
    net.head.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    net(images, given_mask, tokens, torch.zeros(4, 7, dtype=torch.int64))
    assert seen == [(4, 7, 8)]


@pytest.mark.parametrize("wrong", [(4, 3, SIZE, SIZE + 1), (4, 1, SIZE, SIZE), (3, 3, SIZE, SIZE)])
def test_other_shapes_are_refused(wrong):
    net, (images, given_mask, tokens) = model(), batch()
    with pytest.raises(ValueError, match=rf"must both be \[B, 3, {SIZE}, {SIZE}\]"):
        net(images, torch.zeros(wrong, dtype=torch.bool), tokens)
    assert net(images, given_mask, tokens) is not None


def test_onehot_is_a_convolution_of_768_masked_channels():
    torch.manual_seed(0)
    images, given_mask, _ = batch()
    see, where = OneHot(10).double(), torch.randn(2, SIZE, SIZE, dtype=torch.float64)
    hot = F.one_hot(images.long(), LEVELS) * given_mask[..., None]  # [B, 3, H, W, 256]
    hot = hot.permute(0, 1, 4, 2, 3).flatten(1, 2).double()  # [B, 768, H, W]
    kernel = see.levels.weight[:-1].T[..., None, None]  # [C, 768, 1, 1]
    others = torch.cat([given_mask.double(), where.expand(4, -1, -1, -1)], 1)
    expected = F.conv2d(hot, kernel) + see.rest(others)
    torch.testing.assert_close(see(images, given_mask, where), expected)


def test_dropout_is_for_training_only():
    net, arguments = model(**{"convnet.dropout": 0.3, "reader.dropout": 0.3}), batch()
    plain = net(*arguments)
    assert torch.equal(net(*arguments), plain)
    assert torch.equal(net.train()(*arguments), plain)  # it is `noise` that says so, not the mode
    noisy = net(*arguments, noise=Noise.at(0, 3))
    assert torch.equal(net(*arguments, noise=Noise.at(0, 3)), noisy)
    assert not torch.allclose(noisy, plain)
    assert not torch.allclose(net(*arguments, noise=Noise.at(0, 4)), noisy)
    assert not torch.allclose(net(*arguments, noise=Noise.at(1, 3)), noisy)


class Waiting(TorchDispatchMode):
    """Refuses what would make the host wait for a GPU: a value read, or a shape that depends on one."""

    REFUSED = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique", "is_nonzero", "bincount")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        assert not name.startswith(self.REFUSED), f"{name} waits for the device"
        if name.startswith("index"):
            masks = [i for i in args[1] if i is not None] if isinstance(args[1], list | tuple) else []
            assert all(i.dtype != torch.bool for i in masks), f"the shape of {name} depends on a mask"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("hypers", EACH)
def test_nothing_waits_for_the_device(hypers):
    net, (images, given_mask, tokens) = model(**hypers), batch()
    at, noise = torch.zeros(4, 7, dtype=torch.int64), Noise.at(0, 1)
    with Waiting():
        step(net, images, given_mask, tokens, at, noise)
    with Waiting(), pytest.raises(AssertionError, match=r"depends on a mask|waits"):
        _ = tokens[tokens > 0]


@pytest.mark.parametrize("hypers", EACH)
def test_no_value_is_looked_at_and_no_tensor_comes_from_the_host(hypers):
    """A meta tensor has no values, and meets no tensor of a CPU. It takes the lines that a GPU takes."""
    with torch.device("meta"):
        net = CaptionModel(Config.of({"size": SIZE, **hypers}), 20)
    images, given_mask, tokens = (t.to("meta") for t in batch())
    at = torch.zeros(4, 7, dtype=torch.int64, device="meta")
    noise = Noise(0, torch.zeros((), dtype=torch.int64, device="meta"))
    assert step(net, images, given_mask, tokens, at, noise).shape == (4, 7, 3, 256)
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("hypers", EACH)
def test_a_gpu_is_never_waited_for_and_says_what_a_cpu_says(hypers):
    net, (images, given_mask, tokens) = model(**hypers), batch()
    expected = net(images, given_mask, tokens, None, Noise.at(0, 1))
    net.cuda()
    images, given_mask, tokens, noise = (
        images.cuda(),
        given_mask.cuda(),
        tokens.cuda(),
        Noise.at(0, 1, "cuda"),
    )
    step(net, images, given_mask, tokens, None, noise)  # libraries may wait when they are first used
    torch.cuda.set_sync_debug_mode("error")
    try:
        logits = step(net, images, given_mask, tokens, None, noise)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(logits.cpu(), expected, rtol=0.05, atol=0.05)  # TF32 has ten bits


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("hypers", EACH)
def test_compiled_for_a_gpu_it_says_the_same(hypers):
    net, (images, given_mask, tokens) = model(**hypers).cuda(), (t.cuda() for t in batch())
    noise = Noise.at(0, 1, "cuda")
    expected = net(images, given_mask, tokens, None, noise)
    logits = step(torch.compile(net, fullgraph=True), images, given_mask, tokens, None, noise)
    torch.testing.assert_close(logits, expected, rtol=0.05, atol=0.05)  # TF32 has ten bits


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
@pytest.mark.parametrize("hypers", EACH[1:])
def test_the_compiler_takes_it_whole(hypers, seed):
    """fullgraph: no Python that depends on tensors is left. The eager backend needs no compiler."""
    net, (images, given_mask, tokens) = model(**hypers), batch()
    at, noise = torch.zeros(4, 7, dtype=torch.int64), Noise.at(seed, 1)
    torch._dynamo.reset()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    logits = step(compiled, images, given_mask, tokens, at, noise)
    torch.testing.assert_close(logits, net(images, given_mask, tokens, at, noise))
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("seen", INPUTS)
@pytest.mark.parametrize("merger", MERGERS)
@pytest.mark.parametrize("convnet", ["straight_residual", "tapered"])
def test_half_precision_stays_close_and_half(convnet, merger, seen):
    """Each layer hands on bfloat16: one float32 summand would double the memory of all that follow."""
    net = model(
        **{"convnet.kind": convnet, "merger.kind": merger, "convnet.input": seen, "convnet.radius": 2}
    )
    arguments = batch()
    exact = net(*arguments)
    handed = []
    for layer in net.convnet.layers:
        layer.register_forward_hook(lambda _, args, y: handed.append((args[0].dtype, y.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        half = step(net, *arguments)
    assert half.dtype == torch.bfloat16
    assert {y for _, y in handed} == {x for x, _ in handed[1:]} == {torch.bfloat16}
    assert (half - exact).abs().mean() < 0.1 * exact.abs().mean()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("radius", [3, 4])
@pytest.mark.parametrize("merger", MERGERS)
@pytest.mark.parametrize("seen", INPUTS)
def test_all_layers_are_channels_last(seen, merger, radius, monkeypatch):
    """Also with the norm that a GPU has; a copy to another layout would be silent, and slow."""
    monkeypatch.setattr(ImageNorm, "forward", ImageNorm.spelled_out)
    hypers = {"convnet.input": seen, "merger.kind": merger, "convnet.radius": radius, "convnet.dropout": 0.2}
    net = model(**hypers, **{"merger.layers": [1, 2, 4], "convnet.profundity": 6})
    laid_out = []

    def look(_, __, y):
        laid_out.append(y.is_contiguous(memory_format=torch.channels_last))
        y.register_hook(lambda g: laid_out.append(g.is_contiguous(memory_format=torch.channels_last)))

    for layer in net.convnet.layers:
        for part in (*layer.merges, layer.conv, layer.norm):
            part.register_forward_hook(look)
    step(net, *batch(), None, Noise.at(0, 1))
    assert len(laid_out) == 2 * (6 + 6 + 3)
    assert all(laid_out)


@given(
    st.fixed_dictionaries(
        {
            "batch_size": st.integers(5, 30),
            "convnet.kind": st.sampled_from(CONVNETS),
            "convnet.input": st.sampled_from(INPUTS),
            "convnet.depth": st.integers(64, 512),
            "convnet.profundity": st.integers(4, 48),
            "convnet.radius": st.integers(2, 5),
            "merger.kind": st.sampled_from(MERGERS),
            "merger.depth": st.integers(4, 64),
            "merger.layers": st.integers(1, 8),
            "reader.radius": st.integers(4, 32),
            "reader.size": st.integers(32, 256),
            "reader.bidir": st.booleans(),
            "reader.normalize": st.booleans(),
        }
    )
)
@settings(max_examples=10, deadline=None)
def test_the_whole_search_of_2017_can_be_made_and_run(hypers):
    """On the meta device, where the largest of these takes no memory."""
    with torch.device("meta"):
        net = CaptionModel(Config.of({"size": 64, **hypers}), 5000)
        count = hypers["batch_size"]
        images = torch.zeros(count, 3, 64, 64, dtype=torch.uint8)
        tokens = torch.zeros(count, 12, dtype=torch.int64)
        at = torch.zeros(count, 128, dtype=torch.int64)
        assert net(images, images.bool(), tokens, at).shape == (count, 128, 3, 256)


@pytest.mark.parametrize(
    "hypers",
    [
        *({"convnet.kind": kind} for kind in CONVNETS),
        *({"merger.kind": kind} for kind in MERGERS[:2]),
        *({"reader.kind": kind} for kind in READERS[1:]),
        {"convnet.input": "onehot"},
    ],
    ids=lambda hypers: "-".join(hypers.values()),
)
def test_one_batch_is_learned_by_heart(hypers):
    """Six pictures of one colour each, everything hidden: only the caption can tell which colour."""
    net = model(**{"convnet.profundity": 4, **hypers})
    colours = torch.tensor(
        [[250, 10, 10], [10, 250, 10], [10, 10, 250], [0, 0, 0], [255, 255, 255], [9, 99, 200]]
    )
    images = colours[..., None, None].expand(-1, -1, SIZE, SIZE).to(torch.uint8)
    hidden = torch.zeros(6, 3, SIZE, SIZE, dtype=torch.bool)
    tokens = torch.tensor([[2, n + 3] for n in range(6)])
    adam = torch.optim.Adam(net.parameters(), lr=0.02)
    at = torch.arange(0, SIZE**2, 5).expand(6, -1)  # every fifth pixel is enough to tell
    losses = []
    for _ in range(80):
        drawn = net(images, hidden, tokens, at)
        loss = asked_mean(squared_emd(drawn, pixels(images, at)), pixels(~hidden, at))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[0] > 40
    assert losses[-1] < 6  # the best answer that ignores the captions costs about 50


def test_without_coordinates_a_blank_picture_is_the_same_everywhere_inside():
    hypers = {"merger.kind": "film", "merger.last": "none", "convnet.profundity": 2, "convnet.radius": 3}
    images = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)
    for coordinates in (False, True):
        net = model(**hypers, **{"convnet.coordinates": coordinates})
        drawn = net(images, images.bool(), torch.tensor([[4, 5]]))[0].unflatten(0, (SIZE, SIZE))[3:-3, 3:-3]
        assert torch.allclose(drawn, drawn[:1, :1], atol=1e-5) == (not coordinates)


@pytest.mark.parametrize("last", ["none", "attention", "conv", "film"])
def test_the_last_merge_is_after_all_layers(last):
    net = model(**{"merger.last": last, "merger.kind": "film"})
    order = []
    net.convnet.layers[-1].register_forward_hook(lambda *_: order.append("layers"))
    if net.convnet.last is not None:
        net.convnet.last.register_forward_hook(lambda *_: order.append("last"))
    step(net, *batch())
    assert order == ["layers"] + ["last"] * (last != "none")
    assert net.head.in_features == net.convnet.depth == 8 + (3 if last == "conv" else 0)


def test_fully_connected_layers_count_the_merge_s_own_projection():
    for layers in (1, 2, 4):
        net = model(**{"fc.layers": layers, "fc.size": 20})
        assert len(net.fully.layers) == layers - 1
        assert net.fully.width == (20 if layers > 1 else net.reader.width)
        step(net, *batch())
        assert all(p.grad.any() for p in net.fully.parameters())


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_of_the_fully_connected_layers_is_of_training_alone(layers):
    """Of a single one's input, too: the merge's own projection."""
    net, arguments = model(**{"fc.layers": layers, "fc.dropout": 0.5}), batch()
    assert torch.equal(net(*arguments), net(*arguments))
    one, two = (net(*arguments, None, Noise.at(0, n)) for n in (1, 2))
    assert not torch.allclose(one, two) and not torch.allclose(one, net(*arguments))


def test_the_head_adds_smooth_curves_to_its_weights():
    """The formula of models/network/head.py, level by level."""
    torch.manual_seed(0)
    head = Head(4, 3)
    assert head.amplitudes is not None
    torch.nn.init.normal_(head.amplitudes)
    x = torch.randn(4)
    logits = head(x).unflatten(-1, (3, 256))
    for channel, level in [(0, 0), (1, 100), (2, 255)]:
        at = 256 * channel + level
        wanted = head.weight[at] @ x + head.bias[at]
        for k in (1, 2, 3):
            curve = math.cos(math.pi * k * (level + 0.5) / 256) / math.sqrt(k)
            a = head.amplitudes[channel, :, k - 1]
            wanted = wanted + curve * (a[:-1] @ x + a[-1])
        torch.testing.assert_close(logits[channel, level], wanted)
    assert not [name for name, _ in Head(4, 0).named_parameters() if name == "amplitudes"]
