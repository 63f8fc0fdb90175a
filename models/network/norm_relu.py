"""relu(the normalised x + added) and its gradient, as two operations of a GPU: models/network/norms.py calls them.

    x̂ = (x - mean) / sqrt(variance + eps),   y = relu(w x̂ + b + added),   mean and variance over an image's C, H, W
    with g = dy where y > 0:   d added = g,   dx = (g w - <g w> - x̂ <g w x̂>) / sqrt(variance + eps),   <> its mean

A GPU runs the Triton kernels of fused_norm.py. Elsewhere the formulas above are written out.
As operations of PyTorch's own kind they go through torch.compile and CUDA graphs as they are.
"""

from typing import Any

import torch
from torch import Tensor

from models.network.kernels import kernels

KERNELS = "models.network.fused_norm"


class NormReLU(torch.autograd.Function):
    """x [B, C, H, W], weight and bias [C], eps, added like x or None -> y like x, in channels_last."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, added: Tensor | None
    ) -> Tensor:
        x, added = last(x), None if added is None else last(added)
        y, moments = output(x, weight, bias, eps, added)
        ctx.save_for_backward(x, y, weight, moments)
        ctx.added = added is not None
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dx, dadded, dweight, dbias = gradient(last(grads[0]), *ctx.saved_tensors, ctx.added)
        return dx, dweight, dbias, None, dadded if ctx.added else None


def norm_relu(x: Tensor, weight: Tensor, bias: Tensor, eps: float, added: Tensor | None = None) -> Tensor:
    """x [B, C, H, W], weight and bias [C], added like x -> y like x, in channels_last. Sums are in float32."""
    return NormReLU.apply(x, weight, bias, eps, added)  # pyright: ignore[reportReturnType]


def takes(x: Tensor, added: Tensor | None) -> bool:
    """Whether it can be done for these: not in float64, and only if `added` is of x's shape and dtype."""
    alike = added is None or (added.dtype == x.dtype and added.shape == x.shape)
    return x.dtype != torch.float64 and alike


def last(x: Tensor) -> Tensor:
    """x [B, C, H, W] in channels_last."""
    return x.contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("caption::norm_relu", mutates_args=(), device_types="cpu")
def output(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, added: Tensor | None
) -> tuple[Tensor, Tensor]:
    """y like x, and each image's mean and 1 / deviation, float32 [B, 2]."""
    z = x.float()
    variance, mean = torch.var_mean(z, (1, 2, 3), correction=0)  # [B]
    moments = torch.stack([mean, torch.rsqrt(variance + eps)], 1)  # [B, 2]
    y = _normalised(x, moments) * weight[:, None, None] + bias[:, None, None]
    y = y if added is None else y + added.float()
    return last(y.relu().to(x.dtype)), moments


@output.register_kernel("cuda")
def _output_on_gpu(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, added: Tensor | None
) -> tuple[Tensor, Tensor]:
    fused = kernels(KERNELS)
    if not (fused and fused.takes(x)):
        return output._init_fn(x, weight, bias, eps, added)
    return fused.output(x, weight, bias, eps, added)


@output.register_fake
def _output_shapes(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, added: Tensor | None
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty(len(x), 2, dtype=torch.float32)


@torch.library.custom_op("caption::norm_relu_gradient", mutates_args=(), device_types="cpu")
def gradient(
    dy: Tensor, x: Tensor, y: Tensor, weight: Tensor, moments: Tensor, added: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, added ([0] if there is none), weight and bias."""
    g = torch.where(y <= 0, 0, dy.float())
    normal = _normalised(x, moments)
    gw = g * weight[:, None, None]
    of_image = {"dim": (1, 2, 3), "keepdim": True}
    dx = gw - gw.mean(**of_image) - normal * (gw * normal).mean(**of_image)
    dx = last((dx * moments[:, 1, None, None, None]).to(x.dtype))
    dadded = last(g.to(x.dtype)) if added else x.new_empty(0)
    return dx, dadded, (g * normal).sum((0, 2, 3)).to(weight.dtype), g.sum((0, 2, 3)).to(weight.dtype)


@gradient.register_kernel("cuda")
def _gradient_on_gpu(
    dy: Tensor, x: Tensor, y: Tensor, weight: Tensor, moments: Tensor, added: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    fused = kernels(KERNELS)
    if not (fused and fused.takes(x)):
        return gradient._init_fn(dy, x, y, weight, moments, added)
    return fused.gradient(dy, x, y, weight, moments, added)


@gradient.register_fake
def _gradient_shapes(
    dy: Tensor, x: Tensor, y: Tensor, weight: Tensor, moments: Tensor, added: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dadded = torch.empty_like(x) if added else x.new_empty(0)
    return torch.empty_like(x), dadded, torch.empty_like(weight), torch.empty_like(weight)


def _normalised(x: Tensor, moments: Tensor) -> Tensor:
    """x [B, C, H, W] with mean 0 and deviation 1 in each image, float32."""
    return (x.float() - moments[:, 0, None, None, None]) * moments[:, 1, None, None, None]
