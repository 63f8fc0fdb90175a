"""The losses and their gradient in one Triton kernel, for models/task/losses.py on a GPU.

A row's 256 levels are spread over one warp, eight to a thread: of bf16 a load of 16 bytes. Softmax, both
cumulative sums and all three losses happen in registers, and sums cross the warp by shuffles. A logit is
read once and its gradient written once, which is 4 bytes of traffic in bf16 and nothing kept besides.

Nothing outside a CUDA path imports this file: Triton takes a second to import.
"""

import contextlib

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from torch import Tensor

# Derived, not timed. Two rows per warp keep 1 KiB per warp in flight; compiled for sm_90 with bf16
# logits and emd2 + xent that is 72 registers per thread, so 28 warps per SM and 28 KiB in flight (4.8 TB/s
# at 700 ns are 25 KiB each for 132 of them), and about 40 instructions per logit. One row per warp has 24 KiB in
# flight and needs 44; four rows per warp take 128 registers to save two.
ROWS, WARPS = 8, 4  # of a program

# exp2 is one instruction; exp handles denormals, whose sum is negligible.
LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def kernel(
    z_at, y_at, loss_at, dz_at, rows, emd2, emd, xent,
    J: tl.constexpr, R: tl.constexpr,
    EMD2: tl.constexpr, EMD: tl.constexpr, XENT: tl.constexpr, WANTED: tl.constexpr,
):  # fmt: skip
    """R rows of J logits. The names are those of models/task/losses.py; a weight of 0 compiles to nothing."""
    first = tl.program_id(0).to(tl.int64) * R  # 8.4 million rows of 256 overflow an int32
    n = first + tl.arange(0, R)  # [R]
    j = tl.arange(0, J)[None, :]  # [1, J]
    there = n < rows  # [R]
    here = tl.arange(0, R)[:, None] * J + j  # [R, J]

    y = tl.load(y_at + n, mask=there, other=0).to(tl.int64)  # [R]
    z = tl.load(z_at + first * J + here, mask=there[:, None], other=0.0).to(tl.float32)  # [R, J]
    possible = (y >= 0) & (y < J)  # [R]
    z_y = tl.load(z_at + n * J + y, mask=there & possible, other=0.0).to(tl.float32)  # [R]
    y = y.to(tl.int32)[:, None]  # [R, 1]

    top = tl.max(z, 1)  # [R]
    q = tl.exp2((z - top[:, None]) * LOG2E)  # [R, J]: p is q / total
    total = tl.sum(q, 1)  # [R]
    total = tl.where(
        possible, total, float("nan")
    )  # a level out of range is reported without synchronisation
    part = 1 / total  # [R]

    loss = tl.zeros([R], tl.float32)
    g = tl.zeros([R, J], tl.float32)  # dl/dp / unit, but for a constant in each row
    unit = 1.0
    if EMD2:
        e = tl.cumsum(q, 1) * part[:, None] - tl.where(j >= y, 1.0, 0.0)  # [R, J]: F - H
        loss += emd2 * tl.sum(e * e, 1)
        g = e - tl.cumsum(e, 1)
        unit = 2 * emd2
    if EMD:
        d = emd * tl.abs(j - y).to(tl.float32)  # [R, J]
        loss += part * tl.sum(q * d, 1)
        g = unit * g + d
        unit = 1.0
    if XENT:
        loss += xent * (tl.log(total) + top - z_y)
    tl.store(loss_at + n, loss, mask=there)

    if WANTED:
        pg = unit * part * tl.sum(q * g, 1)  # [R]: <p, g>
        # p (g - <p, g> + xent), with all that is the same for a row put together first
        dz = q * (g * (unit * part)[:, None] + (part * (xent - pg))[:, None])
        if XENT:
            dz = tl.where(j == y, dz - xent, dz)
        tl.store(dz_at + first * J + here, dz.to(dz_at.dtype.element_ty), mask=there[:, None])


def takes(z: Tensor) -> bool:
    """Rows that a warp can share out evenly, and no float64: inside, all is float32."""
    levels = z.shape[1]
    return z.dtype != torch.float64 and 32 <= levels <= 1024 and levels & (levels - 1) == 0


def fill(z: Tensor, y: Tensor, emd2: float, emd: float, xent: float, loss: Tensor, dz: Tensor) -> None:
    """Writes the loss [N] of z [N, J] and y [N] to `loss`, and its gradient to `dz`, [N, J] or [0] for no gradient.

    A level out of range makes its row nan.
    """
    if len(z) == 0:  # a GPU starts no empty grid
        return
    # Triton's interpreter, which the tests use, works on the CPU.
    with torch.cuda.device(z.device) if z.is_cuda else contextlib.nullcontext():
        kernel[(triton.cdiv(len(z), ROWS),)](
            z, y, loss, dz, len(z), emd2, emd, xent,
            J=z.shape[1], R=ROWS, EMD2=emd2 != 0, EMD=emd != 0, XENT=xent != 0, WANTED=dz.numel() > 0,
            num_warps=WARPS,  # pyright: ignore[reportCallIssue]
        )  # fmt: skip
