"""What the loss and its gradient cost, beside the same sums left to autograd in float32.

On a GPU also the share of its memory bandwidth, taken from a large copy in the same run, and the kernel
alone at other numbers of rows and warps: models/task/fused.py chose them by reasoning, this can prove it wrong.

    python benchmarks/loss.py [ROWS]
"""

import statistics
import sys
import time
from collections.abc import Callable

import machine  # noqa: F401  (finds the checkout's packages)
import torch
import torch.nn.functional as F
from torch import Tensor

from models.task.losses import level_loss, outputs

RUNS = 30


def naive(z: Tensor, y: Tensor) -> Tensor:
    e = z.softmax(-1).cumsum(-1) - (torch.arange(z.shape[-1], device=z.device) >= y[:, None]).float()
    return e.square().sum(-1) + F.cross_entropy(z, y, reduction="none")


def ours(z: Tensor, y: Tensor) -> Tensor:
    return level_loss(z, y, emd2=1.0, xent=1.0)


def seconds(work: Callable[[], object], cuda: bool) -> float:
    """The median of RUNS, by the device's own clock."""
    for _ in range(3):  # compiles, allocates
        work()
    taken = []
    for _ in range(RUNS):
        if cuda:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            work()
            end.record()
            end.synchronize()
            taken.append(begin.elapsed_time(end) / 1e3)
        else:
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    cuda = torch.cuda.is_available()
    device = "cuda" if cuda else "cpu"
    if not cuda:
        torch.set_num_threads(1)
    # 1.5 million rows are 128 whole images of 64 x 64, 0.8 GB in bf16: far more than a cache holds
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else (3 << 19 if cuda else 6144)
    y = torch.randint(256, (rows,), device=device)
    print(
        f"{torch.cuda.get_device_name() if cuda else 'CPU, one thread'}; torch {torch.__version__}; {rows:,} rows"
    )
    for loss, dtype in ((naive, torch.float32), (ours, torch.float32), (ours, torch.bfloat16)):
        z = torch.randn(rows, 256, device=device).to(dtype).requires_grad_()
        weight = torch.rand(rows, device=device)

        def both(loss=loss, z=z, weight=weight):
            return torch.autograd.grad(loss(z, y), z, weight)

        taken = seconds(both, cuda)
        print(f"{loss.__name__:>6} {dtype!s:15} forward and backward {taken * 1e3:8.2f} ms", end="")
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated() - z.nbytes  # the logits count
            both()
            print(f"  peak {(torch.cuda.max_memory_allocated() - held) / z.numel():5.1f} B/logit", end="")
        print()
    if cuda:
        _kernel(rows, y)


def _kernel(rows: int, y: Tensor) -> None:
    from models.task import fused

    z = torch.randn(rows, 256, device="cuda", dtype=torch.bfloat16)
    copied = 2 * z.nbytes / seconds(z.clone, True)  # bytes/s, read and written
    print(f"a copy moves {copied / 1e12:.2f} TB/s; the kernel, emd2 + xent, reads and writes as much:")
    loss, dz = outputs(z, True)
    for fused.ROWS, fused.WARPS in ((1, 1), (2, 1), (4, 4), (8, 4), (16, 4), (8, 8), (16, 8)):
        taken = seconds(lambda: fused.fill(z, y, 1.0, 0.0, 1.0, loss, dz), True)
        moved = 2 * z.nbytes / taken
        print(f"  {fused.ROWS:2} rows, {fused.WARPS} warps  {taken * 1e3:7.3f} ms", end="")
        print(f"  {moved / 1e12:.2f} TB/s  {moved / copied:4.0%}")


if __name__ == "__main__":
    main()
