"""One direction of reading: x [B, T, E] -> h [B, T, S], where h_t has seen the words 0 .. t.

A cell only looks back and padding comes last, so no cell needs to know of padding. Whatever can be had
from the words alone is had for all of them at once, in one matrix product; only the recurrence is left
for word after word. Memories are float32 under autocast. All start states are learned. `reader.forget` is added to
the forget gates: 1 remembers a few words at first (Jozefowicz et al. 2015), 5 as in 2017 nearly all of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import config
from models.network.norms import LayerNorm, wide


class QRNN(nn.Module):
    """A quasi-RNN (Bradbury et al. 2016): a convolution over the last `radius` words, then fo-pooling.

    j, f, o = LN(W [x_{t-R+1} .. x_t])
    c_t = f c_{t-1} + (1 - f) tanh j        h_t = o tanh LN(c_t)
    """

    def __init__(self, inward: int, reader: config.Reader):
        super().__init__()
        size, self.radius, self.forget = reader.size, reader.radius, reader.forget
        self.gates = nn.Linear(inward * reader.radius, 3 * size)
        self.start = nn.Parameter(torch.zeros(size))
        self.norm = LayerNorm(3 * size) if reader.normalize else nn.Identity()
        self.norm_c = LayerNorm(size) if reader.normalize else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, E] -> h [B, T, S]."""
        x = F.pad(x, (0, 0, self.radius - 1, 0))  # [B, R-1+T, E]
        window = x.unfold(1, self.radius, 1).flatten(2)  # [B, T, E*R]
        j, f, o = wide(self.norm(self.gates(window))).chunk(3, -1)  # [B, T, S] each
        f = (f + self.forget).sigmoid()
        # A GPU waits for each of a loop's T kernels; a CPU has more to do in log2(T) passes over everything
        # (T = 64: 0.8 and 0.8 ms at B, S = 16, 32; 1.6 and 10.8 ms at 30, 256, with gradients, one core).
        scan = scan_by_loop if x.device.type == "cpu" else scan_by_doubling
        c = scan(f, (1 - f) * j.tanh(), self.start)  # [B, T, S]
        return o.sigmoid() * self.norm_c(c).tanh()


def scan_by_loop(f: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """c_t = f_t c_{t-1} + b_t with c_{-1} = start: f, b [B, T, S] and start [S] -> c [B, T, S]."""
    c, memory = start.expand_as(b[:, 0]), []  # [B, S]
    for f_t, b_t in zip(f.unbind(1), b.unbind(1), strict=True):
        c = torch.addcmul(b_t, f_t, c)
        memory.append(c)
    return torch.stack(memory, 1)


def scan_by_doubling(f: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """The same in log2(T) steps (Hillis, Steele 1986; the operator is that of Blelloch 1990, section 1.4).

    Step t is the map c -> f c + b, and two maps are one: (f, b) after (f', b') is (f f', f b' + b). After
    the pass with stride d each holds the maps of its last 2d words; those before 2d are done. Products
    of f < 1 and sums only: nothing is divided by, so nothing overflows.
    """
    b = torch.cat([torch.addcmul(b[:, :1], f[:, :1], start), b[:, 1:]], 1)
    stride, length = 1, b.shape[1]
    while stride < length:
        b = torch.cat([b[:, :stride], torch.addcmul(b[:, stride:], f[:, stride:], b[:, :-stride])], 1)
        f = torch.cat([f[:, :stride], f[:, stride:] * f[:, :-stride]], 1)
        stride *= 2
    return b


class Cell(nn.Module):
    """What LSTM, GRU and RNN share: LN(W x_t) for all t at once, then `step` with LN(U h_{t-1}), word by word.

    Both products have a norm of their own (Ba et al. 2016, equation 20), over all gates together.
    """

    gates: int  # matrices the size of h in W, and in U
    states = 1  # vectors carried from word to word; the first is h

    def __init__(self, inward: int, reader: config.Reader):
        super().__init__()
        size, wide_size = reader.size, self.gates * reader.size
        self.forget = reader.forget
        self.x = nn.Linear(inward, wide_size)
        self.h = nn.Linear(size, wide_size)
        for gate in self.h.weight.chunk(self.gates):
            nn.init.orthogonal_(gate)  # h neither fades nor grows as it is carried on (Saxe et al. 2014)
        self.start = nn.Parameter(torch.zeros(self.states, size))
        self.norm_x = LayerNorm(wide_size) if reader.normalize else nn.Identity()
        self.norm_h = LayerNorm(wide_size) if reader.normalize else nn.Identity()
        self.norm_c = LayerNorm(size) if reader.normalize and self.states == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, E] -> h [B, T, S]."""
        state = tuple(start.expand(len(x), -1) for start in self.start)  # [B, S] each
        said = []
        for from_x in wide(self.norm_x(self.x(x))).unbind(1):  # [B, gates * S]
            state = self.step(from_x, wide(self.norm_h(self.h(state[0]))), *state)
            said.append(state[0])
        return torch.stack(said, 1)  # [B, T, S]

    def step(self, from_x: Tensor, from_h: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """One word: gate inputs from x and from h, [B, gates * S] each, and the state -> the next state, h first."""
        raise NotImplementedError


class LSTM(Cell):
    """c_t = f c_{t-1} + i tanh g,   h_t = o tanh LN(c_t)   (Hochreiter, Schmidhuber 1997; Gers et al. 2000)."""

    gates, states = 4, 2

    def step(self, from_x: Tensor, from_h: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """(h, c) -> the next (h, c), [B, S] each."""
        i, f, g, o = (from_x + from_h).chunk(4, -1)
        c = (f + self.forget).sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * self.norm_c(c).tanh(), c


class GRU(Cell):
    """h_t = (1 - z) n + z h_{t-1},   n = tanh(W x + r (U h_{t-1} + b))   (Cho et al. 2014, r after U as in cuDNN)."""

    gates = 3

    def step(self, from_x: Tensor, from_h: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """(h,) -> the next (h,), [B, S]."""
        (r_x, z_x, n_x), (r_h, z_h, n_h) = from_x.chunk(3, -1), from_h.chunk(3, -1)
        n = (n_x + (r_x + r_h).sigmoid() * n_h).tanh()
        return (torch.lerp(n, state[0], (z_x + z_h).sigmoid()),)


class RNN(Cell):
    """h_t = tanh(W x + U h_{t-1})   (Elman 1990)."""

    gates = 1

    def step(self, from_x: Tensor, from_h: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """(h,) -> the next (h,), [B, S]."""
        return ((from_x + from_h).tanh(),)


CELLS: dict[str, type[QRNN] | type[Cell]] = {"qrnn": QRNN, "lstm": LSTM, "gru": GRU, "rnn": RNN}
