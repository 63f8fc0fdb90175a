"""The squared earth mover's distance between a predicted histogram and the level that was there.

    l = sum_j (F_j - 1[j >= y])^2,   F = cumsum softmax z,   j = 0 .. 255

It equals the discrete CRPS, E|X-y| - E|X-X'|/2: a proper score whose unit is intensity levels. A point
forecast pays its absolute error, the uniform one 84.83 at y = 0, 21.33 at y = 128, 42.67 on average.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = 2048  # softmaxes worked on at a time: 2048 x 256 floats are 2 MiB and stay in the cache


class _SquaredEMD(torch.autograd.Function):
    """Loss and gradient in one pass, a few rows at a time: one buffer as large as the logits is kept.

    Left to autograd the same sum keeps the softmax, its cumulative sum and the differences.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, y: Tensor) -> Tensor:
        rows, levels = z.shape
        loss = torch.empty(rows, dtype=z.dtype, device=z.device)
        needs_grad = ctx.needs_input_grad[0]
        dz = torch.empty_like(z) if needs_grad else None
        j = torch.arange(levels, device=z.device)
        for start in range(0, rows, ROWS):
            some = slice(start, start + ROWS)
            # Half precision can't add up 256 small numbers; float32 can.
            p = z[some].to(torch.promote_types(z.dtype, torch.float32)).softmax(-1)  # [n, J]
            e = p.cumsum(-1).sub_((j >= y[some, None]).to(p.dtype))  # [n, J]: F - H
            loss[some] = e.square().sum(-1)
            if dz is not None:
                # g_k = 2 sum_{j>=k} e_j and dl/dz_k = p_k (g_k - <p, g>)
                g = e.sum(-1, keepdim=True) - e.cumsum(-1) + e  # [n, J]: half of g
                pg = (p * g).sum(-1, keepdim=True)
                dz[some] = g.sub_(pg).mul_(p).mul_(2)
        if dz is not None:
            ctx.save_for_backward(dz)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (dz,) = ctx.saved_tensors
        return dz * grads[0][:, None], None


def squared_emd(logits: Tensor, level: Tensor) -> Tensor:
    """logits [..., J] and levels [...] (0 .. J-1) -> the loss of each variable [...]."""
    flat = logits.reshape(-1, logits.shape[-1])
    return _SquaredEMD.apply(flat, level.reshape(-1).long()).view(level.shape)  # type: ignore[union-attr]


def asked_mean(loss: Tensor, asked: Tensor) -> Tensor:
    """The mean over each example's asked variables, then over the examples that ask for any.

    loss and asked [B, ...], the latter broadcast. Nothing asked at all gives 0, with gradient 0. A ratio
    of sums over the whole batch would instead weigh an image by how much of it is hidden.
    """
    asked = asked.to(loss.dtype).expand_as(loss).flatten(1)  # [B, D]
    count = asked.sum(1)  # [B]
    # `where` and not a product: what was not asked may be infinite
    total = torch.where(asked > 0, loss.flatten(1), 0).sum(1)  # [B]
    return (total / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)
