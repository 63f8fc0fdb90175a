"""The convnet: `profundity` convolutional layers of about `depth` filters, all at the picture's full size.

`straight`: one after the other.  `straight_residual`: two by two, each pair added to what went in.
`straight_dilated`: straight, the kernel's taps ever further apart, so that few layers see everything.
`tapered`, `expanding`, `bottlenecked`: straight, with fewer filters towards the end, towards the start, in
the middle. The post of 2017 says no more of these three than their names; `widths` is our reading.
Before the layers that `merge_layers` names, the caption is merged in, and once more after the last, in the way of
`merger.last`: there each pixel can take its colour from the words themselves.
"""

import math
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from models import config
from models.network import mergers
from models.network.dropout import dropout
from models.network.norms import ImageNorm
from models.network.reader import Caption
from models.noise import Noise

NARROWEST = 8  # filters of a layer: fewer carry too little, and tensor cores are fastest at multiples of it


class Same(nn.Module):
    """A convolution that keeps height and width, whatever the kernel: even ones see one pixel more
    to the right and below.

    Dilation is left to the library: rearranging d x d grids into the batch for a dense convolution, which was
    3x as fast in 2017, is slower on a CPU today (64 x 64, d = 4, with gradients: 15 ms as is, 31 ms rearranged).
    """

    def __init__(self, inward: int, outward: int, radius: int, dilation: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inward, outward, radius, dilation=dilation, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        span = dilation * (radius - 1)
        self.pad = (span // 2, span - span // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inward, H, W] -> [B, outward, H, W]."""
        if self.pad[0] == self.pad[1]:
            return F.conv2d(x, self.conv.weight, padding=self.pad[0], dilation=self.conv.dilation)
        return self.conv(F.pad(x, self.pad))


class Layer(nn.Module):
    """Merge as often as `merge_layers` names this layer, convolve, normalise, add, rectify."""

    def __init__(self, merges: list[nn.Module], conv: Same, depth: int):
        super().__init__()
        self.merges, self.conv = nn.ModuleList(merges), conv
        self.norm = ImageNorm(depth)

    def forward(self, x: Tensor, caption: Caption, added: Tensor | None = None) -> Tensor:
        """x [B, C, H, W], added [B, depth, H, W] -> [B, depth, H, W]."""
        for merge in self.merges:
            x = merge(x, caption)
        return self.norm.rectified(self.conv(x), added)


class Convnet(nn.Module):
    """x [B, channels, side, side] and the caption -> [B, `depth`, side, side], `depth` that of the last layer (and of
    the channels that a conv merge adds after it). `caption`: how wide its states and its summary are.

    With `noise` a share of what enters each layer but the first is dropped; a residual pair adds to all of it.
    """

    def __init__(self, channels: int, side: int, caption: tuple[int, int], hypers: config.Config):
        super().__init__()
        net = hypers.convnet
        self.rate, self.residual = net.dropout, net.kind == "straight_residual"
        outward = widths(net.kind, net.depth, net.profundity)
        inward = [channels, *outward[:-1]]
        spread = dilations(net.profundity, side) if net.kind == "straight_dilated" else [1] * net.profundity
        self.layers = nn.ModuleList()
        for i in range(net.profundity):
            merges, entering = [], inward[i]
            for _ in range(hypers.merge_layers().count(i)):
                merges.append(mergers.build(hypers.merger, entering, side, *caption))
                entering += merges[-1].extra
            self.layers.append(Layer(merges, Same(entering, outward[i], net.radius, spread[i]), outward[i]))
        self.last = None
        if hypers.merger.last != "none":
            last = replace(hypers.merger, kind=hypers.merger.last)
            self.last = mergers.build(last, outward[-1], side, *caption)
        self.depth = outward[-1] + (self.last.extra if self.last else 0)
        # The first pair's input is widened to be added: numbers of another precision and layout than a layer's,
        # which a sum with them would spread to all that follow.
        self.thru = nn.Conv2d(channels, net.depth, 1) if self.residual else nn.Identity()

    def forward(self, x: Tensor, caption: Caption, noise: Noise | None = None) -> Tensor:
        """The activations of the last layer; `noise` is given in training only."""
        passed = x
        for i, layer in enumerate(self.layers):
            if i > 0:
                x = dropout(x, self.rate, noise, f"convnet.{i}", *x.shape[:2], 1, 1)
            # A pair ends with its second layer; an odd profundity ends on a pair of one.
            if self.residual and (i % 2 == 1 or i + 1 == len(self.layers)):
                x = passed = layer(x, caption, self.thru(passed) if i < 2 else passed)  # [B, C, H, W]
            else:
                x = layer(x, caption)
        return x if self.last is None else self.last(x, caption)


def widths(kind: str, depth: int, profundity: int) -> list[int]:
    """How many filters each layer has.

    tapered: from `depth` in even steps to a quarter of it; expanding: the reverse; bottlenecked: to a quarter
    in the middle (both middle layers, if there are two) and back. The narrowed have multiples of 8, at least 8
    and at most `depth`.
    """
    last = profundity - 1
    tapered = [i / max(1, last) for i in range(profundity)]  # how narrow: from 0 (`depth`) to 1 (a quarter)
    narrow = {
        "tapered": tapered,
        "expanding": tapered[::-1],
        "bottlenecked": [min(i, last - i) / max(1, last // 2) for i in range(profundity)],
    }.get(kind, [0.0] * profundity)
    wanted = [depth * (1 - 0.75 * n) for n in narrow]
    return [depth if w == depth else min(depth, _filters(w)) for w in wanted]


def _filters(wanted: float) -> int:
    return max(NARROWEST, round(wanted / NARROWEST) * NARROWEST)


def dilations(profundity: int, side: int) -> list[int]:
    """1, 1, 2, 2, 4, 4, ...: doubled so often that the last spans about a quarter of the picture."""
    doublings = max(1, round(math.log2(side) - 1))
    period = max(1, round(profundity / doublings))
    return [2 ** min(i // period, doublings - 1) for i in range(profundity)]
