"""How fast the caption model trains, beside the same model written naively.

    python benchmarks/caption.py [--device cuda] [--depth 256] [--profundity 16] [--size 64] [--batch 64]

Three ways to take the same training steps, one after the other, each in a process of its own:
  ours          models.learner as `train` uses it: bf16, channels_last, fused loss, CUDA graph, where there is a GPU
  all pixels    the same, but asked for every pixel (loss_pixels = size^2)
  naive         eager float32, NCHW, logits of all pixels, the loss spelled out for autograd
Prints images/s, TFLOP/s, MFU, peak memory and the time of each part; writes benchmarks/results/caption-DEVICE.json.
A device we have no peak for has no MFU. On a CPU, peak memory is the process's growth, and sizes are small.
Host synchronisations are counted by CUDA itself (torch.cuda.set_sync_debug_mode): the goal is none in a step.
Goals on a GPU at depth >= 256: MFU >= 35 %, 5 x naive; loss and gradient <= 5 % of a step, 1/4 of naive's memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
WARM = 5  # steps before timing: three eager ones and a capture on a GPU
ROUNDS = 5  # medians of so many


def main() -> None:
    given = _arguments()
    rows = {}
    for way in ("ours", "all pixels", "naive"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # a fresh process has a fresh peak
            rows[way] = pool.apply(measure, (way, given))
        print(_line(way, rows[way], rows["ours"]), flush=True)
    ours, naive = rows["ours"], rows["naive"]
    print(f"\nours / naive: {ours['images_per_s'] / naive['images_per_s']:.2f}x images/s")
    print(f"all pixels / naive: {rows['all pixels']['images_per_s'] / naive['images_per_s']:.2f}x images/s")
    parts = {way: row["parts"] for way, row in rows.items() if row["parts"]}
    print("\ntime per part of a step, ms (measured one by one, so they need not add up)")
    for name in parts["ours"]:
        print(f"  {name:<22}" + "".join(f"{way} {p[name]:9.2f}   " for way, p in parts.items()))
    _save(given, rows)


def measure(way: str, given: argparse.Namespace) -> dict:
    """Images a second, memory and parts of one way to train."""
    import torch

    from models import flops
    from models.config import Config
    from models.train import prepare

    torch.set_num_threads(given.threads)
    pixels = given.size**2 if way != "ours" else given.pixels
    config = Config.of(
        {
            "data.source": "shapes", "size": given.size, "batch_size": given.batch, "loss": "emd2",
            "loss_pixels": pixels, "convnet.depth": given.depth, "convnet.profundity": given.profundity,
            "convnet.kind": "straight_residual", "merger.kind": given.merger, "steps": given.steps,
            "schedule.kind": "constant", "valid_images": 8, "speed.compile": given.compile,
        }
        | ({"speed.precision": "fp32", "speed.compile": "off", "speed.graph": "off"} if way == "naive" else {})
    )  # fmt: skip
    prepared = prepare(config, 0, given.device, lambda _: None)
    learner, cuda = prepared.learner, given.device.startswith("cuda")
    wait = torch.cuda.synchronize if cuda else (lambda: None)
    if way == "naive":
        prepared.model.to(memory_format=torch.contiguous_format)
        learner._loss = _naive_loss(learner)  # type: ignore[method-assign]

    def step() -> None:
        learner.learn(given.batch, config.lr, config.optimizer.momentum)

    before = _memory(cuda)
    began = time.perf_counter()
    for _ in range(WARM):
        step()
    wait()
    first = time.perf_counter() - began
    syncs = _syncs(step) if cuda else None
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(given.steps):
            step()
        wait()
        rounds.append((time.perf_counter() - began) / given.steps)
    seconds = statistics.median(rounds)
    per_image = flops.training_step(config, len(prepared.data.tokenizer)) / given.batch
    speed = given.batch / seconds * per_image
    name = torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine()
    return {
        "images_per_s": given.batch / seconds,
        "tflop_per_s": speed / 1e12,
        "gflop_per_image": per_image / 1e9,
        "mfu": flops.mfu(speed, name, "bf16" if learner.plan.bf16 else "fp32"),
        "peak_mb": (_memory(cuda) - before) / 2**20,
        "first_steps_s": first,
        "host_syncs_in_a_step": syncs,
        "parts": _parts(learner, given, wait) if way != "all pixels" else None,
        "device": name,
        "torch": torch.__version__,
    }


def _naive_loss(learner) -> Callable:
    """The loss as one would first write it: everything materialised, autograd does the rest."""
    import torch
    import torch.nn.functional as F

    def loss(batch: int, noise):
        images, tokens = learner.train.draw(noise, batch)  # [B, 3, H, W], [B, T]
        given = learner.masker(noise, batch, learner.config.size)
        logits = learner.model(images, given, tokens)  # [B, H*W, 3, 256]
        truth = images.flatten(2).transpose(1, 2).long()  # [B, H*W, 3]
        asked = ~given.flatten(2).transpose(1, 2)
        forecast = logits.softmax(-1).cumsum(-1)
        happened = F.one_hot(truth, 256).float().cumsum(-1)
        each = (forecast - happened).square().sum(-1)  # [B, H*W, 3]
        return ((each * asked).sum((1, 2)) / asked.sum((1, 2)).clamp(min=1)).mean()

    return torch.enable_grad()(loss)


def _parts(learner, given: argparse.Namespace, wait: Callable) -> dict[str, float]:
    """Milliseconds of each part by itself, medians of ROUNDS."""
    import torch

    from models.asking import choose
    from models.losses import asked_mean, level_loss
    from models.model import pixels
    from models.noise import Noise

    config, model = learner.config, learner.model
    noise = Noise.at(0, 1, learner.device)

    def draw():
        images, tokens = learner.train.draw(noise, given.batch)
        masks = learner.masker(noise, given.batch, config.size)
        return images, tokens, masks, *choose(masks, config.loss_pixels, noise)

    images, tokens, masks, at, asked = draw()

    def read():
        with learner.plan.autocast(learner.device):
            return model.read(tokens)

    def all_forward():
        with learner.plan.autocast(learner.device):
            return model(images, masks, tokens, at)

    logits = all_forward().detach().requires_grad_()
    truth = pixels(images, at)

    def loss():
        asked_mean(level_loss(logits, truth, **learner.weights), asked).backward()
        logits.grad = None

    def backward():
        all_forward().float().square().mean().backward()
        learner.optimizer.zero_grad(set_to_none=True)

    def update():
        learner.optimizer.step()

    timed = {
        "batch and masks": draw,
        "reader": read,
        "forward": all_forward,
        "forward and backward": backward,
        "loss and its gradient": loss,
    }
    milliseconds = {name: _ms(part, wait) for name, part in timed.items()}
    all_forward().float().square().mean().backward()
    milliseconds["optimiser"] = _ms(update, wait)
    milliseconds["whole step"] = _ms(lambda: learner.learn(given.batch, 1e-4, 0.9), wait)
    del torch
    return milliseconds


def _ms(part: Callable, wait: Callable) -> float:
    times = []
    for _ in range(ROUNDS + 1):
        wait()
        began = time.perf_counter()
        part()
        wait()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[1:])


def _syncs(step: Callable) -> int:
    """How often the host waits for the GPU in one step, counted by CUDA's own warnings."""
    import torch

    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        step()
    torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(w.message) for w in caught)


def _memory(cuda: bool) -> int:
    """Peak bytes so far: of the GPU's allocator, or of this process."""
    if cuda:
        import torch

        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _line(way: str, row: dict, ours: dict) -> str:
    mfu = "-" if row["mfu"] is None else f"{row['mfu']:.1%}"
    syncs = "-" if row["host_syncs_in_a_step"] is None else row["host_syncs_in_a_step"]
    return (
        f"{way:<11} {row['images_per_s']:9.1f} images/s  {row['tflop_per_s']:8.3f} TFLOP/s  MFU {mfu:>6}  "
        f"peak {row['peak_mb']:8.0f} MB  syncs {syncs}  first {WARM} steps {row['first_steps_s']:.1f} s"
        f"  ({ours['images_per_s'] / row['images_per_s']:.2f}x slower than ours)"
    )


def _save(given: argparse.Namespace, rows: dict) -> None:
    name = "".join(c if c.isalnum() else "-" for c in rows["ours"]["device"]).strip("-").lower()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"caption-{name}.json"
    path.write_text(json.dumps({"arguments": vars(given), "rows": rows}, indent=1) + "\n")
    print(f"\nwritten to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", default=None, help="default: cuda where there is one")
    add("--depth", type=int), add("--profundity", type=int), add("--size", type=int), add("--batch", type=int)
    add("--pixels", type=int, default=192, help="asked of each image in a step")
    add("--merger", default="film", choices=["film", "attention", "conv"])
    add("--steps", type=int, default=None, help="in each timed round")
    add("--compile", default="auto", choices=["auto", "on", "off"])
    add("--threads", type=int, default=1, help="of a CPU")
    given = parser.parse_args()
    if given.device is None:
        import torch

        given.device = "cuda" if torch.cuda.is_available() else "cpu"
    # On a GPU the model the goals are set for; on a CPU one that a minute is enough for.
    usual = (256, 16, 64, 64, 50) if given.device.startswith("cuda") else (24, 6, 32, 16, 10)
    for name, value in zip(("depth", "profundity", "size", "batch", "steps"), usual, strict=True):
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


if __name__ == "__main__":
    main()
