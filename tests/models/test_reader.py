from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models import config
from models.network.cells import CELLS, scan_by_doubling, scan_by_loop
from models.network.reader import Reader
from models.noise import Noise

KINDS = tuple(CELLS)


def reader(**hypers) -> Any:
    torch.manual_seed(0)
    small: dict[str, Any] = {"size": 6, "embedding": 5, "summary": "last"}
    made = Reader(20, config.Reader(**small | hypers))
    for name, parameter in made.named_parameters():
        if name.endswith("start"):  # zeros at first; anything after a while
            nn.init.normal_(parameter)
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidir", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_padding_is_invisible(kind, bidir, normalize, layers):
    read = reader(kind=kind, bidir=bidir, normalize=normalize, layers=layers, radius=3)
    captions = [[3, 4, 5, 6], [7], [8, 9]]
    states, there, summary = read(torch.tensor([c + [0] * (9 - len(c)) for c in captions]))
    assert there.sum(1).tolist() == [4, 1, 2]
    for row, caption in enumerate(captions):
        alone = read(torch.tensor([caption]))
        torch.testing.assert_close(states[row, : len(caption)], alone.states[0])
        torch.testing.assert_close(summary[row], alone.summary[0])
        assert not states[row, len(caption) :].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_summary_is_at_each_captions_own_ends(kind):
    """Forwards at its last word, backwards at its first; both depend on every word."""
    read = reader(kind=kind)
    states, _, summary = read(torch.tensor([[3, 4, 5, 0, 0], [6, 7, 8, 9, 10]]))
    for row, length in enumerate((3, 5)):
        torch.testing.assert_close(summary[row, :6], states[row, length - 1, :6])
        torch.testing.assert_close(summary[row, 6:], states[row, 0, 6:])
    for position in range(3):
        tokens = torch.tensor([[3, 4, 5, 0, 0]])
        tokens[0, position] = 11
        other = read(tokens).summary[0]
        assert not torch.allclose(other[:6], summary[0, :6])
        assert not torch.allclose(other[6:], summary[0, 6:])


@pytest.mark.parametrize("kind", KINDS)
def test_reading_both_ways(kind):
    """The second half of the states is a forward reading of the caption turned round."""
    both, one = reader(kind=kind, bidir=True), reader(kind=kind, bidir=False)
    assert (both.width, one.width) == (12, 6)
    one.embed, one.forwards = both.embed, both.backwards
    states, _, summary = both(torch.tensor([[5, 6, 7, 0, 0], [8, 9, 10, 11, 12]]))
    turned, _, last = one(torch.tensor([[7, 6, 5]]))
    torch.testing.assert_close(states[0, :3, 6:], turned[0].flip(0))
    torch.testing.assert_close(summary[0, 6:], last[0])


def test_layers_read_what_the_one_below_said():
    """Two stacked layers that read both ways, against their cells called one after the other."""
    read = reader(layers=2)
    x = read.embed(torch.tensor([[5, 6, 7]]))
    for layer in range(2):
        back = read.backwards[layer](x.flip(1)).flip(1)
        x = torch.cat([read.forwards[layer](x), back], -1)
    torch.testing.assert_close(read(torch.tensor([[5, 6, 7]])).states, x)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("radius", [1, 2, 5])
def test_the_qrnn_word_by_word(radius, normalize):
    read = reader(kind="qrnn", radius=radius, bidir=False, normalize=normalize)
    cell, tokens = read.forwards[0], [5, 6, 7]
    states, _, summary = read(torch.tensor([tokens]))
    x = torch.cat([torch.zeros(radius - 1, 5), read.embed.weight[tokens]])  # [R-1+T, E]
    c = cell.start
    for t in range(3):
        window = x[t : t + radius].T.flatten()  # [E * R]
        j, f, o = cell.norm(cell.gates(window)).chunk(3)
        f = (f + config.Reader.forget).sigmoid()
        c = f * c + (1 - f) * j.tanh()
        torch.testing.assert_close(states[0, t], o.sigmoid() * cell.norm_c(c).tanh())
    torch.testing.assert_close(summary[0], states[0, 2])


@pytest.mark.parametrize(
    ("kind", "peer"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)], ids=["lstm", "gru", "rnn"]
)
def test_cells_are_those_of_torch(kind, peer):
    ours: Any = CELLS[kind](5, config.Reader(kind=kind, size=6, normalize=False)).double()
    nn.init.normal_(ours.start)
    theirs = peer(5, 6, batch_first=True).double()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.x.weight)
        theirs.weight_hh_l0.copy_(ours.h.weight)
        theirs.bias_ih_l0.copy_(ours.x.bias)
        theirs.bias_hh_l0.copy_(ours.h.bias)
        if kind == "lstm":
            theirs.bias_ih_l0[6:12] += config.Reader.forget
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    start = [s.expand(1, 3, 6).contiguous() for s in ours.start]
    expected, _ = theirs(x, tuple(start) if kind == "lstm" else start[0])
    torch.testing.assert_close(ours(x), expected, rtol=1e-12, atol=1e-12)


def test_the_normalised_lstm_is_that_of_ba_2016():
    """Equations 20 to 22 of "Layer normalization", written out."""
    cell: Any = CELLS["lstm"](5, config.Reader(kind="lstm", size=6, normalize=True)).double()
    x = torch.randn(2, 4, 5, dtype=torch.float64)

    def norm(a):
        return (a - a.mean(-1, keepdim=True)) / (a.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()

    h = c = torch.zeros(2, 6, dtype=torch.float64)
    said = cell(x)
    for t in range(4):
        i, f, g, o = (norm(cell.x(x[:, t])) + norm(cell.h(h))).chunk(4, -1)
        c = (f + config.Reader.forget).sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * norm(c).tanh()
        torch.testing.assert_close(said[:, t], h)


@given(st.integers(1, 70), st.integers(1, 3), st.integers(1, 4), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_both_scans_are_the_same_map_with_the_same_gradient(words, batch, size, seed):
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_()

    f, b, start = draw(batch, words, size), draw(batch, words, size), draw(size)
    asked = torch.randn(batch, words, size, generator=rng, dtype=torch.float64)
    answers = []
    for scan in (scan_by_loop, scan_by_doubling):
        c = scan((2 * f).sigmoid(), b, start)
        answers.append((c, *torch.autograd.grad((c * asked).sum(), (f, b, start))))
    for loop, doubling in zip(*answers, strict=True):
        torch.testing.assert_close(doubling, loop, rtol=1e-12, atol=1e-12)


def test_a_scan_that_forgets_everything_or_nothing():
    """f of 0 and 1 exactly: no logarithm and no division that would mind."""
    b = torch.arange(1.0, 9).view(1, 8, 1)
    for scan in (scan_by_loop, scan_by_doubling):
        assert torch.equal(scan(torch.zeros(1, 8, 1), b, torch.ones(1)), b)
        assert torch.equal(scan(torch.ones(1, 8, 1), b, torch.ones(1)), 1 + b.cumsum(1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_against_finite_differences(kind, normalize):
    torch.manual_seed(0)
    cell = CELLS[kind](2, config.Reader(kind=kind, size=3, normalize=normalize)).double()
    names, values = zip(*cell.named_parameters(), strict=True)

    def run(x, *parameters):
        return torch.func.functional_call(cell, dict(zip(names, parameters, strict=True)), x)

    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *(v.detach().requires_grad_() for v in values)), fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_learned(kind):
    """Also the start states; of the words those that were read, and padding never."""
    read = reader(kind=kind, layers=2, normalize=True)
    caption = read(torch.tensor([[3, 4, 5], [6, 0, 0]]))
    (caption.summary.square().sum() + caption.states.pow(3).sum()).backward()
    for name, parameter in read.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    assert read.embed.weight.grad is not None
    assert read.embed.weight.grad.any(1).nonzero().flatten().tolist() == [3, 4, 5, 6]


def test_dropout_is_of_a_step_and_the_same_for_all_words():
    read = reader(kind="qrnn", radius=1, dropout=0.5, layers=2, bidir=False, normalize=False)
    tokens = torch.tensor([[3] * 6] * 8)
    plain, first = read(tokens), read(tokens, Noise.at(0, 1))
    assert torch.equal(first.states, read(tokens, Noise.at(0, 1)).states)
    assert not torch.allclose(first.states, read(tokens, Noise.at(0, 2)).states)
    assert not torch.allclose(first.states, plain.states)
    assert not torch.allclose(first.states[0], first.states[1])  # each caption has a mask of its own
    # One word again and again, one mask for all of them: the first layer is told the same six times.
    read.forwards = nn.ModuleList([nn.Identity()])
    x = read(tokens, Noise.at(0, 1)).states  # [B, T, E]
    assert torch.equal(x, x[:, :1].expand_as(x))
    assert 0.2 < (x == 0).float().mean() < 0.8
    kept = x != 0
    torch.testing.assert_close(x[kept], (2 * read.embed(tokens))[kept])


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_reads_nearly_the_same_and_remembers_in_float32(kind):
    read = reader(kind=kind, size=32, layers=2)
    tokens = torch.randint(3, 20, (4, 40))
    exact = read(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        half = read(tokens)
    assert half.states.dtype == half.summary.dtype == torch.float32
    assert (half.states - exact.states).abs().mean() < 0.02  # of states in -1 .. 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_summary_of_all_words_adds_their_states(kind):
    tokens = torch.tensor([[3, 4, 5, 0, 0], [6, 7, 8, 9, 10]])
    states, _, last = reader(kind=kind)(tokens)
    torch.testing.assert_close(reader(kind=kind, summary="sum")(tokens).summary, last + states.sum(1))


@pytest.mark.parametrize("kind", ["qrnn", "lstm"])
def test_a_large_forget_bias_keeps_what_was_there_longer(kind):
    """What a change of the memory before the first word does to the state after the last, untrained."""
    tokens, kept = torch.arange(4, 12)[None], []
    for forget in (-3.0, 1.0, 5.0):
        read = reader(kind=kind, bidir=False, normalize=False, forget=forget)
        before = read(tokens).summary
        with torch.no_grad():
            read.forwards[0].start[..., -1:, :].add_(1) if kind == "lstm" else read.forwards[0].start.add_(1)
        kept.append((read(tokens).summary - before).abs().sum().item())
    assert kept == sorted(kept) and kept[0] < 0.1 * kept[2]
