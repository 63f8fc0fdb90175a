"""The fully-connected layers between the reader and the mergers: they make of words what a picture needs.

A summary has the words side by side: red, circle, left. A merge projects it, and no sum of a map for "circle" and a
map for "left" is a circle at the left: units that answer to both words at once have to come between.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from models import config
from models.network.dropout import dropout
from models.noise import Noise


class FullyConnected(nn.Module):
    """`fc.layers` - 1 hidden layers, each Linear, rectified; the projection of each merge is the last layer."""

    def __init__(self, inward: int, fc: config.Fc):
        super().__init__()
        sizes = [inward] + [fc.size] * (fc.layers - 1)
        self.rate, self.width = fc.dropout, sizes[-1]
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """x [B, D] -> [B, `width`]; `noise` is given in training only, for dropout before each layer."""
        x = dropout(x, self.rate, noise, "fc.0", *x.shape)
        for i, layer in enumerate(self.layers, 1):
            x = dropout(F.relu(layer(x)), self.rate, noise, f"fc.{i}", len(x), self.width)
        return x
