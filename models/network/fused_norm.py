"""Normalisation of an image, addition and ReLU as four Triton kernels, for models/network/norm_relu.py on a GPU.

Eager PyTorch passes over the activations dozens of times for a layer's output and gradient, some of them in float32;
what torch.compile makes of it takes three times as long as this (benchmarks/README.md). Here the output takes three
passes (two reads and a write; one more read with `added`) and the gradient seven (eight with `added`), in the
activations' own precision, with sums in float32 and in a fixed order. Only x, y and two numbers per image are kept
for the gradient.

Each program takes a part of one image's pixels: the sums over an image are first written for each part, and the next
kernel adds the parts up. Nothing outside a CUDA path imports this file: Triton takes a second to import.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from torch import Tensor

TILE = 4096  # elements in a program's registers at a time: 32 of each of 128 threads
WARPS = 4
WIDEST = 2048  # channels: a tile holds whole pixels
PROGRAMS = (
    1056  # at least so many in all, if the pixels allow: eight on each of an H100's 132 multiprocessors
)


@triton.jit
def sums_kernel(
    x_at, sums_at, N, C, PART,
    R: tl.constexpr, CC: tl.constexpr,
):  # fmt: skip
    """Of each part of an image: the sum of x - x_0 and of its square, x_0 being the image's first number."""
    part, image = tl.program_id(0), tl.program_id(1)
    start = image.to(tl.int64) * N * C
    c = tl.arange(0, CC)[None, :]  # [1, CC]
    x_0 = tl.load(x_at + start).to(tl.float32)
    total = tl.zeros([R, CC], tl.float32)
    squares = tl.zeros([R, CC], tl.float32)
    for first in range(part * PART, part * PART + PART, R):
        n = first + tl.arange(0, R)[:, None]  # [R, 1]
        there = (n < N) & (n < part * PART + PART) & (c < C)
        x = tl.load(x_at + start + n * C + c, mask=there, other=0.0).to(tl.float32)
        d = tl.where(there, x - x_0, 0.0)
        total += d
        squares += d * d
    at = sums_at + (image * tl.num_programs(0) + part) * 2
    tl.store(at, tl.sum(total))
    tl.store(at + 1, tl.sum(squares))


@triton.jit
def output_kernel(
    x_at, added_at, w_at, b_at, sums_at, moments_at, y_at, N, C, PART, eps,
    P: tl.constexpr, ADDED: tl.constexpr, R: tl.constexpr, CC: tl.constexpr,
):  # fmt: skip
    """y, and each image's mean and 1 / standard deviation."""
    part, image = tl.program_id(0), tl.program_id(1)
    parts = tl.num_programs(0)
    start = image.to(tl.int64) * N * C
    p = tl.arange(0, P)
    at = sums_at + (image * parts + p) * 2
    size = (N * C).to(tl.float32)
    shift = tl.sum(tl.load(at, mask=p < parts, other=0.0)) / size
    square = tl.sum(tl.load(at + 1, mask=p < parts, other=0.0)) / size
    mean = tl.load(x_at + start).to(tl.float32) + shift
    rest = 1 / tl.sqrt(tl.maximum(square - shift * shift, 0.0) + eps)
    if part == 0:
        tl.store(moments_at + image * 2, mean)
        tl.store(moments_at + image * 2 + 1, rest)
    c = tl.arange(0, CC)[None, :]  # [1, CC]
    w = tl.load(w_at + c, mask=c < C, other=0.0).to(tl.float32)
    b = tl.load(b_at + c, mask=c < C, other=0.0).to(tl.float32)
    for first in range(part * PART, part * PART + PART, R):
        n = first + tl.arange(0, R)[:, None]  # [R, 1]
        there = (n < N) & (n < part * PART + PART) & (c < C)
        here = start + n * C + c
        x = tl.load(x_at + here, mask=there, other=0.0).to(tl.float32)
        y = (x - mean) * (rest * w) + b
        if ADDED:
            y += tl.load(added_at + here, mask=there, other=0.0).to(tl.float32)
        # Not maximum(y, 0), which may lose a nan: not-a-number has to reach the loss.
        y = tl.where(y < 0, 0.0, y)
        tl.store(y_at + here, y.to(y_at.dtype.element_ty), mask=there)


@triton.jit
def slopes_kernel(
    dy_at, x_at, y_at, moments_at, g_at, gx_at, N, C, PART,
    R: tl.constexpr, CC: tl.constexpr,
):  # fmt: skip
    """Of each part and channel: the sum of g and of g x̂, where g is dy past the ReLU and x̂ the normalised x."""
    part, image = tl.program_id(0), tl.program_id(1)
    start = image.to(tl.int64) * N * C
    mean, rest = tl.load(moments_at + image * 2), tl.load(moments_at + image * 2 + 1)
    c = tl.arange(0, CC)[None, :]  # [1, CC]
    g_total = tl.zeros([R, CC], tl.float32)
    gx_total = tl.zeros([R, CC], tl.float32)
    for first in range(part * PART, part * PART + PART, R):
        n = first + tl.arange(0, R)[:, None]  # [R, 1]
        there = (n < N) & (n < part * PART + PART) & (c < C)
        here = start + n * C + c
        y = tl.load(y_at + here, mask=there, other=0.0).to(tl.float32)
        g = tl.load(dy_at + here, mask=there, other=0.0).to(tl.float32)
        g = tl.where(y <= 0, 0.0, g)
        x = tl.load(x_at + here, mask=there, other=0.0).to(tl.float32)
        g_total += g
        gx_total += g * ((x - mean) * rest)
    to = (image * tl.num_programs(0) + part) * C + tl.arange(0, CC)
    inside = tl.arange(0, CC) < C
    tl.store(g_at + to, tl.sum(g_total, 0), mask=inside)
    tl.store(gx_at + to, tl.sum(gx_total, 0), mask=inside)


@triton.jit
def gradient_kernel(
    dy_at, x_at, y_at, w_at, moments_at, means_at, dx_at, dadded_at, N, C, PART,
    ADDED: tl.constexpr, R: tl.constexpr, CC: tl.constexpr,
):  # fmt: skip
    """dx = (g w - <g w> - x̂ <g w x̂>) / deviation, <> the mean over the image; and d added = g."""
    part, image = tl.program_id(0), tl.program_id(1)
    start = image.to(tl.int64) * N * C
    mean, rest = tl.load(moments_at + image * 2), tl.load(moments_at + image * 2 + 1)
    gw_mean, gwx_mean = tl.load(means_at + image * 2), tl.load(means_at + image * 2 + 1)
    c = tl.arange(0, CC)[None, :]  # [1, CC]
    w = tl.load(w_at + c, mask=c < C, other=0.0).to(tl.float32)
    for first in range(part * PART, part * PART + PART, R):
        n = first + tl.arange(0, R)[:, None]  # [R, 1]
        there = (n < N) & (n < part * PART + PART) & (c < C)
        here = start + n * C + c
        y = tl.load(y_at + here, mask=there, other=0.0).to(tl.float32)
        g = tl.load(dy_at + here, mask=there, other=0.0).to(tl.float32)
        g = tl.where(y <= 0, 0.0, g)
        x = tl.load(x_at + here, mask=there, other=0.0).to(tl.float32)
        dx = rest * (g * w - gw_mean - (x - mean) * rest * gwx_mean)
        tl.store(dx_at + here, dx.to(dx_at.dtype.element_ty), mask=there)
        if ADDED:
            tl.store(dadded_at + here, g.to(dadded_at.dtype.element_ty), mask=there)


def output(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, added: Tensor | None
) -> tuple[Tensor, Tensor]:
    """x and added [B, C, H, W] in channels_last -> y, and mean and 1 / deviation of each image, float32 [B, 2]."""
    with _on(x):
        shape = _Shape(x)
        y = torch.empty_like(x)
        sums = x.new_empty(shape.images, shape.parts, 2, dtype=torch.float32)
        moments = x.new_empty(shape.images, 2, dtype=torch.float32)
        sums_kernel[shape.grid](x, sums, *shape.sizes, **shape.tile)
        output_kernel[shape.grid](
            x, x if added is None else added, weight, bias, sums, moments, y, *shape.sizes, eps,
            **{"P": triton.next_power_of_2(shape.parts), "ADDED": added is not None}, **shape.tile,
        )  # fmt: skip
    return y, moments


def gradient(
    dy: Tensor, x: Tensor, y: Tensor, weight: Tensor, moments: Tensor, added: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, added ([0] if there is none), weight and bias; dy, x and y in channels_last."""
    with _on(x):
        shape = _Shape(x)
        by_part = x.new_empty(2, shape.images, shape.parts, shape.channels, dtype=torch.float32)
        slopes_kernel[shape.grid](dy, x, y, moments, by_part[0], by_part[1], *shape.sizes, **shape.tile)
        by_image = by_part.sum(2)  # [2, B, C]
        means = (by_image * weight).sum(2).T.contiguous() / (shape.pixels * shape.channels)  # [B, 2]
        dx = torch.empty_like(x)
        dadded = torch.empty_like(x) if added else x.new_empty(0)
        gradient_kernel[shape.grid](
            dy, x, y, weight, moments, means, dx, dadded if added else dx, *shape.sizes,
            **{"ADDED": added}, **shape.tile,
        )  # fmt: skip
    # Two sums: an operation's results may not share memory.
    return dx, dadded, by_image[1].sum(0).to(weight.dtype), by_image[0].sum(0).to(weight.dtype)


def takes(x: Tensor) -> bool:
    """Whether a tile can hold a pixel of x [B, C, H, W], and there is something to do."""
    return x.shape[1] <= WIDEST and x.numel() > 0


class _Shape:
    """How the kernels share out x [B, C, H, W]."""

    def __init__(self, x: Tensor):
        self.images, self.channels = x.shape[:2]
        self.pixels = x.shape[2] * x.shape[3]
        width = triton.next_power_of_2(self.channels)
        rows = max(1, TILE // width)
        blocks = triton.cdiv(self.pixels, rows)
        parts = min(blocks, max(1, triton.cdiv(PROGRAMS, self.images)))
        each = triton.cdiv(blocks, parts) * rows
        self.parts = int(triton.cdiv(self.pixels, each))  # pyright: ignore[reportArgumentType]
        self.grid = (self.parts, self.images)
        self.sizes = (self.pixels, self.channels, each)
        self.tile: dict[str, Any] = {"R": rows, "CC": width, "num_warps": WARPS}


def _on(x: Tensor) -> contextlib.AbstractContextManager:
    # Triton's interpreter, which the tests use, works on the CPU.
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()
