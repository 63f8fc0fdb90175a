"""Losses between a predicted histogram of intensities and the true level, and their mean over asked variables.

With p = softmax z, F = cumsum p and H_j = 1[j >= y], over the levels j = 0 .. J-1:

    emd2  sum_j (F_j - H_j)^2          the squared earth mover's distance, in levels
    emd   sum_j |F_j - H_j| = E|X-y|   the plain one, in levels
    xent  -ln p_y                      in nats

emd2 is the discrete CRPS, E|X-y| - E|X-X'|/2 (Gneiting, Raftery 2007): a proper score. A point forecast pays its
absolute error; the uniform one 84.83 at y = 0, 21.33 at y = 128, 42.67 on average. emd is not strictly
proper: a point at the median pays least. Both are blind to tails: alone, emd2 gives 10 to 25 bits for a
level where a uniform guess needs 8. And both leave a softmax that is certain of a wrong level without a
gradient, because every term of it has a factor p_k. `mixed` = emd2 + xent_weight * xent has neither fault.

Loss and gradient come from one pass: only the gradient is saved for the backward pass, in the logits'
dtype and as large as they are; autograd would keep the softmax and the differences as well. On a
GPU the pass is one Triton kernel (models/task/fused.py); elsewhere it is `_reference`, a few rows at a time.
"""

import math
from typing import Any

import torch
from torch import Tensor

from models.config import Config
from models.network.kernels import kernels

ROWS = 512  # softmaxes worked on at a time: four buffers of 512 x 256 floats stay in a 2 MiB cache
ROWS_ON_GPU = 1 << 14  # where there is no Triton: 16 MiB a buffer, enough to keep a GPU busy


def weights(config: Config) -> dict[str, float]:
    """The keywords of `level_loss` for `config.loss` and `config.xent_weight`."""
    if config.loss == "mixed":
        return {"emd2": 1.0, "xent": config.xent_weight}
    return {config.loss: 1.0}


def level_loss(
    logits: Tensor, level: Tensor, *, emd2: float = 0.0, emd: float = 0.0, xent: float = 0.0
) -> Tensor:
    """The weighted sum of the three losses for each variable; a weight of 0 leaves its loss out.

    logits [..., J] and whole levels [...] from 0 to J-1 -> [...] float32 (float64 for float64 logits).
    The backward pass may run once only: it reuses the saved buffer for the gradient.

    Raises ValueError for shapes that do not fit, levels that are not integers and weights that leave
    nothing. On a CPU a level out of range raises it too; on a GPU the check would need a synchronisation,
    so the kernel sets that loss to nan.
    """
    if logits.shape[:-1] != level.shape:
        raise ValueError(
            f"the levels are {list(level.shape)} and the logits {list(logits.shape)}; "
            f"levels must be {list(logits.shape[:-1])}"
        )
    if level.is_floating_point() or level.dtype == torch.bool:
        raise ValueError(f"the levels are {level.dtype}; give them as whole numbers, such as uint8 or int64")
    if not (emd2 or emd or xent):
        raise ValueError("emd2, emd and xent all have weight 0, which leaves no loss; give one of them")
    z = logits.reshape(-1, logits.shape[-1]).contiguous()  # [N, J]
    y = level.reshape(-1).contiguous()  # [N]
    return _LevelLoss.apply(z, y, float(emd2), float(emd), float(xent)).view(level.shape)  # type: ignore[union-attr]


def squared_emd(logits: Tensor, level: Tensor) -> Tensor:
    """logits [..., J] and levels [...] -> the squared EMD of each variable [...], in levels."""
    return level_loss(logits, level, emd2=1.0)


def bits(logits: Tensor, level: Tensor) -> Tensor:
    """logits [..., J] and levels [...] -> -log2 of the probability of each level [...]."""
    return level_loss(logits, level, xent=1 / math.log(2))


def scores(logits: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `squared_emd` and `bits` say, and (mean - level)^2 of the histogram's mean, of one softmax: [...] each.

    A validation asks for all three. logits [..., J] and levels [...]; no gradient.
    """
    z, y = logits.flatten(0, -2), level.flatten()  # [N, J], [N]
    emd2, bits, error = z.new_empty(3, len(z), dtype=torch.promote_types(z.dtype, torch.float32))
    j = torch.arange(z.shape[1], device=z.device)  # [J]
    rows = ROWS if z.device.type == "cpu" else ROWS_ON_GPU
    for start in range(0, len(z), rows):
        some = slice(start, start + rows)
        x, at = z[some].to(emd2.dtype), y[some, None].long()  # [n, J], [n, 1]
        p = x.softmax(-1)
        # p_y may have underflown, but the largest p is exp(0) / sum exp(x - max x)
        nats = x.amax(-1) - x.gather(-1, at)[:, 0] - p.amax(-1).log()
        torch.mul(nats, 1 / math.log(2), out=bits[some])
        f = p.cumsum(-1)  # [n, J]
        mean = (z.shape[1] - 1) - f[:, :-1].sum(-1)  # of a whole number from 0: the sum of P(X > j)
        torch.square(mean - at[:, 0], out=error[some])
        torch.sum(f.sub_((j >= at).to(f.dtype)).square_(), -1, out=emd2[some])
    return emd2.view(level.shape), bits.view(level.shape), error.view(level.shape)


def asked_mean(loss: Tensor, asked: Tensor) -> Tensor:
    """The mean over each example's asked variables, then over the examples that have any: [].

    loss [B, ...]; asked is bool and broadcast to it. If nothing is asked, the result and its gradient are 0. A
    ratio of sums over the whole batch would instead weigh an image by the size of its hidden part.
    """
    asked = asked.expand_as(loss).flatten(1)  # [B, D]
    count = asked.sum(1)  # [B]
    # `where` and not a product: losses that are not asked may be infinite
    total = torch.where(asked, loss.flatten(1), 0).sum(1)  # [B]
    return (total / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


class _LevelLoss(torch.autograd.Function):
    """The backward pass multiplies the gradient saved by the forward pass with the incoming one."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, y: Tensor, emd2: float, emd: float, xent: float) -> Tensor:
        loss, dz = loss_and_gradient(z, y, emd2, emd, xent, ctx.needs_input_grad[0])
        ctx.save_for_backward(dz)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # once_differentiable would let a constant `grads` pass
            raise RuntimeError("level_loss knows no second derivative; call backward without create_graph")
        (dz,) = ctx.saved_tensors
        # In place, for want of room. A second way back would find another version here, and PyTorch refuses it.
        return dz.mul_(grads[0][:, None]), None, None, None, None


@torch.library.custom_op("caption::loss_and_gradient", mutates_args=(), device_types="cpu")
def loss_and_gradient(
    z: Tensor, y: Tensor, emd2: float, emd: float, xent: float, wanted: bool
) -> tuple[Tensor, Tensor]:
    """z [N, J] and y [N] -> the loss [N] and, if it is wanted, its gradient [N, J] in z's dtype (else [0]).

    An operator of its own, so that torch.compile and CUDA graphs hold it as one piece.
    """
    # Python's numbers: as a uint8, 256 would be 0
    low, high = (int(y.min()), int(y.max())) if len(y) else (0, 0)
    if low < 0 or high >= z.shape[1]:
        raise ValueError(
            f"the levels go from {low} to {high}; {z.shape[1]} logits are for levels from 0 to {z.shape[1] - 1}"
        )
    return _reference(z, y, emd2, emd, xent, wanted)


@loss_and_gradient.register_kernel("cuda")
def _on_gpu(
    z: Tensor, y: Tensor, emd2: float, emd: float, xent: float, wanted: bool
) -> tuple[Tensor, Tensor]:
    fused = kernels("models.task.fused")
    if not (fused and fused.takes(z)):
        return _reference(z, y, emd2, emd, xent, wanted)
    loss, dz = outputs(z, wanted)
    fused.fill(z, y, emd2, emd, xent, loss, dz)
    return loss, dz


@loss_and_gradient.register_fake
def _shapes(
    z: Tensor, y: Tensor, emd2: float, emd: float, xent: float, wanted: bool
) -> tuple[Tensor, Tensor]:
    return outputs(z, wanted)


def outputs(z: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    """Room for the loss [N] and the gradient [N, J], or [0]."""
    # Half precision can't add up 256 small numbers; float32 can.
    loss = z.new_empty(z.shape[0], dtype=torch.promote_types(z.dtype, torch.float32))
    return loss, torch.empty_like(z) if wanted else z.new_empty(0)


def _reference(
    z: Tensor, y: Tensor, emd2: float, emd: float, xent: float, wanted: bool
) -> tuple[Tensor, Tensor]:
    """The formulas, on any device, `ROWS` rows at a time."""
    loss, dz = outputs(z, wanted)
    j = torch.arange(z.shape[1], device=z.device)  # [J]
    rows = ROWS if z.device.type == "cpu" else ROWS_ON_GPU
    for start in range(0, len(z), rows):
        some = slice(start, start + rows)
        x, at = z[some].to(loss.dtype), y[some, None].long()  # [n, J], [n, 1]
        p = x.softmax(-1)
        cost = torch.zeros_like(p[:, :1])  # [n, 1]
        g = torch.zeros_like(cost)  # dl/dp [n, J], but for a constant in each row
        if emd2:
            e = p.cumsum(-1).sub_((j >= at).to(p.dtype))  # [n, J]: F - H
            cost += emd2 * e.square().sum(-1, keepdim=True)
            # dl/dp_k = 2 sum_{i>=k} e_i, and that is a constant minus 2 sum_{i<k} e_i
            g = e.sub_(e.cumsum(-1)).mul_(2 * emd2)
        if emd:
            d = (j - at).abs().to(p.dtype).mul_(emd)  # [n, J]
            cost += (p * d).sum(-1, keepdim=True)
            g = d.add_(g)
        if xent:
            # p_y may have underflown, but the largest p is exp(0) / sum exp(x - max x)
            top, p_top = x.amax(-1, keepdim=True), p.amax(-1, keepdim=True)
            cost += xent * (top - x.gather(-1, at) - p_top.log())
        loss[some] = cost.squeeze(-1)
        if wanted:
            # through the softmax: dl/dz_k = p_k (g_k - <p, g>), and of xent p_k - 1[k=y]
            p *= g.sub_((p * g).sum(-1, keepdim=True)).add_(xent)
            if xent:
                p.scatter_add_(-1, at, torch.full_like(cost, -xent))
            dz[some] = p
    return loss, dz
