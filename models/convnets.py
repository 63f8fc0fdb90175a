"""What draws: `profundity` convolutional layers of `depth` filters at the full size of the picture.

`straight`: one after the other.  `straight_residual`: two by two, each pair added to what went in.
`straight_dilated`: straight, the kernel's taps ever further apart, so that few layers see everything.
Before the layers that `merge_layers` names, the caption is merged in.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from models import config, mergers
from models.mergers import Caption


class Same(nn.Module):
    """A convolution that keeps height and width, whatever the kernel: even ones see one pixel more
    to the right and below."""

    def __init__(self, inward: int, outward: int, radius: int, dilation: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inward, outward, radius, dilation=dilation, bias=False)
        span = dilation * (radius - 1)
        self.pad = (span // 2, span - span // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        if self.pad[0] == self.pad[1]:
            return F.conv2d(x, self.conv.weight, padding=self.pad[0], dilation=self.conv.dilation)
        return self.conv(F.pad(x, self.pad))


class Layer(nn.Module):
    """Merge (if it is one of those layers), convolve, normalise. The caller rectifies."""

    def __init__(self, merge: nn.Module | None, conv: Same, depth: int):
        super().__init__()
        self.merge, self.conv = merge, conv
        self.norm = nn.GroupNorm(1, depth)  # one group: any depth, any batch size, nothing remembered

    def forward(self, x: Tensor, caption: Caption) -> Tensor:
        if self.merge is not None:
            x = self.merge(x, caption)
        return self.norm(self.conv(x))


class Convnet(nn.Module):
    """x [B, channels, side, side] and the caption -> [B, depth, side, side]."""

    def __init__(self, channels: int, side: int, width: int, hypers: config.Config):
        super().__init__()
        net, depth = hypers.convnet, hypers.convnet.depth
        self.residual = net.kind == "straight_residual"
        spread = dilations(net.profundity, side) if net.kind == "straight_dilated" else [1] * net.profundity
        self.layers = nn.ModuleList()
        for i in range(net.profundity):
            inward = channels if i == 0 else depth
            merge = mergers.build(hypers.merger, inward, side, width) if i in hypers.merge_layers() else None
            extra = merge.extra if merge is not None else 0
            conv = Same(inward + extra, depth, net.radius, spread[i])
            self.layers.append(Layer(merge, conv, depth))
        # The first pair's input has fewer channels than its output: it is widened to be added.
        self.thru = nn.Conv2d(channels, depth, 1) if self.residual else None

    def forward(self, x: Tensor, caption: Caption) -> Tensor:
        if self.thru is None:
            for layer in self.layers:
                x = F.relu(layer(x, caption))
            return x
        for i in range(0, len(self.layers), 2):  # an odd profundity ends on a pair of one
            passed = self.thru(x) if i == 0 else x
            y = self.layers[i](x, caption)
            if i + 1 < len(self.layers):
                y = self.layers[i + 1](F.relu(y), caption)
            x = F.relu(passed + y)
        return x


def dilations(profundity: int, side: int) -> list[int]:
    """1, 1, 2, 2, 4, 4, ...: doubled so often that the last spans about a quarter of the picture."""
    doublings = max(1, round(math.log2(side) - 1))
    period = max(1, round(profundity / doublings))
    return [2 ** min(i // period, doublings - 1) for i in range(profundity)]
