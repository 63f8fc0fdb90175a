"""How fast the caption model trains, beside the same model written naively.

    python benchmarks/caption.py [--device cuda] [--depth 256] [--profundity 16] [--size 64] [--batch 64] [--defaults]

The model is the one that benchmarks/README.md has figures of (FIXED, and FiLM); with --defaults it has today's
defaults instead where these do not say otherwise: conv merges, a last one by attention, curves in the head.

The same training steps taken in several ways, one after the other, each in a process of its own:
  ours          models.train.learner as `train` uses it: bf16, channels_last, fused loss, CUDA graph, on a GPU
  compiled      the same with torch.compile (always on a GPU, with --compile on a CPU)
  all pixels    ours, but asked for every pixel (loss_pixels = size^2), as naive is
  free          compiled, with speed.deterministic off: cuDNN times its kernels and takes the fastest
  naive         eager float32, NCHW, PyTorch's own group norm, logits of all pixels, the loss spelled out for
                autograd. TF32 is as PyTorch has it: on for convolutions. The optimiser and the reader are ours.
  no tf32       naive in float32 proper, TF32 off (on a GPU only)
Before naive is timed, its loss is compared with ours: it must be the same number.
Prints images/s, TFLOP/s, MFU, peak memory and the time of each part; writes benchmarks/results/caption-DEVICE.json.
A device we have no peak for has no MFU. Peak memory is what a step needs besides data, weights and masks: on a GPU
what the allocator gave out, on a CPU the growth of the process. On a CPU sizes are small, and with one thread
times are processor times, compiling excepted.
Host synchronisations are counted by CUDA itself (torch.cuda.set_sync_debug_mode): the goal is none in a step.
Goals on a GPU at depth >= 256: MFU >= 35 %, 5 x naive; loss and gradient <= 5 % of a step, 1/4 of naive's memory.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from machine import processor

RESULTS = Path(__file__).parent / "results"
WARM = 5  # steps before timing: three eager ones and a capture on a GPU
ROUNDS = 5  # medians of so many
FIXED = {"merger.last": "none", "reader.summary": "last", "head.cosines": 0, "masker.blank": 0.0}
EAGER = {"speed.precision": "fp32", "speed.compile": "off", "speed.graph": "off"}


def main() -> None:
    given = _arguments()
    rows = {}
    cuda = given.device.startswith("cuda")
    compiled = ["compiled", *(["free"] if cuda else [])] if given.compile else []
    for way in ("ours", *compiled, "all pixels", "naive", *(["no tf32"] if cuda else [])):
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # a fresh process has a fresh peak
            rows[way] = pool.apply(measure, (way, given))
        print(_line(way, rows[way]), flush=True)
    print()
    for plain in rows.keys() & {"naive", "no tf32"}:
        for way in rows.keys() - {"naive", "no tf32"}:
            ratio = rows[way]["images_per_s"] / rows[plain]["images_per_s"]
            memory = rows[way]["peak_mb"] / rows[plain]["peak_mb"]
            print(f"{way} / {plain}: {ratio:.2f}x images/s, {memory:.2f}x memory")
    if "compiled" in rows:
        _print_compiling(rows["ours"], rows["compiled"])
    print("\ntime of each part of a step by itself, eager, ms (they need not add up)")
    print(f"  {'':<22}" + "".join(f"{way:>12}" for way in rows))
    for name in rows["ours"]["parts"]:
        print(f"  {name:<22}" + "".join(f"{row['parts'][name]:12.2f}" for row in rows.values()))
    _save(given, rows)


def measure(way: str, given: argparse.Namespace) -> dict:
    """Images a second, memory and parts of one way to train."""
    import torch

    from models.config import Config
    from models.train import flops, prepare

    torch.set_num_threads(given.threads)
    few, plain = way in ("ours", "compiled", "free"), way in ("naive", "no tf32")
    if way == "no tf32":
        torch.backends.cudnn.allow_tf32 = False
    config = Config.of(
        {
            "data.source": "shapes", "size": given.size, "batch_size": given.batch, "loss": "emd2",
            "loss_pixels": given.pixels if few else given.size**2, "convnet.depth": given.depth,
            "convnet.profundity": given.profundity, "convnet.kind": "straight_residual",
            "merger.kind": given.merger, "schedule.kind": "constant", "valid_images": 8,
            "speed.compile": "on" if way in ("compiled", "free") else "off",
            "speed.deterministic": way != "free",
        }
        | ({} if given.defaults else FIXED)
        | (EAGER if plain else {})
    )  # fmt: skip
    prepared = prepare(config, 0, given.device, lambda _: None)
    learner, cuda = prepared.learner, given.device.startswith("cuda")
    wait = torch.cuda.synchronize if cuda else (lambda: None)
    if plain:
        _compare(make_naive(learner), given.batch)

    def step() -> None:
        learner.learn(given.batch, config.lr, config.optimizer.momentum)

    peak = _peak_memory(cuda)
    began = time.perf_counter()
    for _ in range(WARM):
        step()
    wait()
    first = time.perf_counter() - began
    syncs = _syncs(step) if cuda else None
    # One thread's processor time is less disturbed by neighbours than the clock on the wall.
    clock = time.process_time if not cuda and given.threads == 1 else time.perf_counter
    rounds = []
    for _ in range(ROUNDS):
        began = clock()
        for _ in range(given.steps):
            step()
        wait()
        rounds.append((clock() - began) / given.steps)
    seconds = statistics.median(rounds)
    per_image = flops.training_step(config, len(prepared.data.tokenizer)) / given.batch
    speed = given.batch / seconds * per_image
    name = torch.cuda.get_device_name(given.device) if cuda else processor()
    return {
        "images_per_s": given.batch / seconds,
        "ms_per_step": 1000 * seconds,
        "ms_per_step_of_rounds": [1000 * s for s in rounds],
        "tflop_per_s": speed / 1e12,
        "gflop_per_image": per_image / 1e9,
        "mfu": flops.mfu(speed, name, "bf16" if learner.plan.bf16 else "fp32"),
        "peak_mb": peak() / 2**20,
        "reserved_mb": torch.cuda.max_memory_reserved() / 2**20
        if cuda
        else None,  # with the graph's own pool
        "first_steps_s": first,
        "host_syncs_in_a_step": syncs,
        "parts": _parts(learner, given.batch, wait, clock),
        "loss_peak_mb": _loss_memory(learner, given.batch) if cuda else None,
        "plan": vars(learner.plan),
        "tf32_convolutions": torch.backends.cudnn.allow_tf32 if cuda else None,
        "device": name,
        "versions": {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "python": platform.python_version(),
        },
    }


def make_naive(learner):
    """The learner, taking its steps as one would first write them."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    from models.network.norms import ImageNorm

    def rectified(norm, x, added=None):
        y = nn.GroupNorm.forward(norm, x)
        return F.relu(y if added is None else added + y)

    learner.model.to(memory_format=torch.contiguous_format)
    for module in learner.model.modules():
        if isinstance(module, ImageNorm):
            module.rectified = partial(rectified, module)
    learner._loss = partial(_naive_loss, learner)
    return learner


def _naive_loss(learner, batch: int, noise):
    """Everything materialised, autograd does the rest: []."""
    from models.train.learner import without

    images, tokens = learner.train.draw(noise, batch)  # [B, 3, H, W], [B, T]
    tokens = without(tokens, noise.uniform("silence", batch) < learner.config.caption_dropout)
    given = learner.masker(noise, batch, learner.config.size)
    logits = learner.model(images, given, tokens, None, noise)  # [B, H*W, 3, 256]
    truth, asked = (x.flatten(2).transpose(1, 2) for x in (images, ~given))  # [B, H*W, 3]
    return _naive_mean(logits, truth, asked)


def _naive_mean(logits, truth, asked):
    import torch.nn.functional as F

    happened = F.one_hot(truth.long(), 256).float().cumsum(-1)  # [B, K, 3, 256]
    each = (logits.softmax(-1).cumsum(-1) - happened).square().sum(-1)  # [B, K, 3]
    count = asked.sum((1, 2))  # [B]
    return ((each * asked).sum((1, 2)) / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


def _compare(naive, batch: int) -> None:
    """Raises AssertionError unless naive's loss is that of the product on the same pictures, masks and captions."""
    import torch

    from models.noise import Noise
    from models.train.learner import Learner

    noise = Noise.at(0, 1, naive.device)
    with torch.no_grad():
        torch.testing.assert_close(
            naive._loss(batch, noise), Learner._loss(naive, batch, noise), rtol=1e-3, atol=0
        )


def _made(learner, batch: int):
    """A batch, and two functions of what a step does with it: `forward` -> logits, and `loss` of logits."""
    from models.network.model import pixels
    from models.noise import Noise
    from models.task.asking import choose
    from models.task.losses import asked_mean, level_loss

    config = learner.config
    noise = Noise.at(0, 1, learner.device)

    def draw():
        images, tokens = learner.train.draw(noise, batch)
        masks = learner.masker(noise, batch, config.size)
        return images, tokens, masks, *choose(masks, config.loss_pixels, noise)

    images, tokens, masks, at, asked = draw()
    naive = "_loss" in vars(learner)
    if naive:
        at, asked = None, pixels(~masks, None)
    truth = pixels(images, at)

    def read():
        with learner.plan.autocast(learner.device):
            return learner.model.read(tokens, noise)

    def forward():
        with learner.plan.autocast(learner.device):
            return learner.draw(images, masks, learner.model.read(tokens, noise), at, noise)

    def loss(logits):
        if naive:
            return _naive_mean(logits, truth, asked)
        return asked_mean(level_loss(logits, truth, **learner.weights), asked)

    return draw, read, forward, loss


def _parts(learner, batch: int, wait: Callable, clock: Callable) -> dict[str, float]:
    """Milliseconds of each part by itself, medians of ROUNDS."""
    draw, read, forward, loss = _made(learner, batch)
    logits = forward().detach().requires_grad_()
    above = logits.detach().clone()  # what the loss would hand back

    def judge():
        logits.grad = None
        loss(logits).backward()

    def backward():
        learner.optimizer.zero_grad(set_to_none=True)
        forward().backward(above)

    timed = {
        "batch and masks": draw,
        "reader": read,
        "forward": forward,
        "forward and backward": backward,
        "loss and its gradient": judge,
        "optimiser": learner.optimizer.step,
        "whole step": lambda: learner.learn(batch, 1e-4, 0.9),
    }
    return {name: _ms(part, wait, clock) for name, part in timed.items()}


def _loss_memory(learner, batch: int) -> float:
    """MB that the loss and its gradient need on a GPU at the most, the logits included."""
    import torch

    _, _, forward, loss = _made(learner, batch)
    logits = forward().detach().requires_grad_()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated() - logits.nbytes
    loss(logits).backward()
    return (torch.cuda.max_memory_allocated() - held) / 2**20


def _ms(part: Callable, wait: Callable, clock: Callable) -> float:
    times = []
    for _ in range(ROUNDS + 1):
        wait()
        began = clock()
        part()
        wait()
        times.append(clock() - began)
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


def _peak_memory(cuda: bool) -> Callable[[], int]:
    """A function that says how many bytes more than now were in use at some time since."""
    if cuda:
        import torch

        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        return lambda: torch.cuda.max_memory_allocated() - held
    ctypes.CDLL(None).malloc_trim(0)  # what data and imports left free would be used again and not be seen
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak until now (man proc_pid_clear_refs)

    def status(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

    held = status("VmRSS")
    return lambda: status("VmHWM") - held


def _line(way: str, row: dict) -> str:
    mfu = "-" if row["mfu"] is None else f"{row['mfu']:.1%}"
    syncs = "-" if row["host_syncs_in_a_step"] is None else row["host_syncs_in_a_step"]
    return (
        f"{way:<11} {row['images_per_s']:9.1f} images/s {row['ms_per_step']:9.1f} ms/step  "
        f"{row['tflop_per_s']:8.3f} TFLOP/s  MFU {mfu:>6}  peak {row['peak_mb']:8.0f} MB  syncs {syncs}  "
        f"first {WARM} steps {row['first_steps_s']:.1f} s"
    )


def _print_compiling(eager: dict, compiled: dict) -> None:
    cost = compiled["first_steps_s"] - WARM * compiled["ms_per_step"] / 1000
    saved = (eager["ms_per_step"] - compiled["ms_per_step"]) / 1000
    print(f"compiling took {cost:.0f} s", end="; ")
    print(f"it pays after {cost / saved:,.0f} steps" if saved > 0 else "it never pays here")


def _save(given: argparse.Namespace, rows: dict) -> None:
    name = "".join(c if c.isalnum() else "-" for c in rows["ours"]["device"]).strip("-").lower()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"caption-{name}{'-defaults' if given.defaults else ''}.json"
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
    add(
        "--merger",
        default=None,
        choices=["film", "attention", "conv"],
        help="default: film; conv with --defaults",
    )
    add("--defaults", action="store_true", help="the model's own defaults: measured nowhere yet on a GPU")
    add("--steps", type=int, default=None, help="in each timed round")
    add(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="measure torch.compile, too; default: on a GPU",
    )
    add("--threads", type=int, default=1, help="of a CPU")
    given = parser.parse_args()
    if given.device is None:
        import torch

        given.device = "cuda" if torch.cuda.is_available() else "cpu"
    if given.merger is None:
        given.merger = "conv" if given.defaults else "film"
    if given.compile is None:
        given.compile = given.device.startswith("cuda")
    # On a GPU the model the goals are set for; on a CPU one that a minute is enough for.
    usual = (256, 16, 64, 64, 50) if given.device.startswith("cuda") else (24, 6, 32, 16, 4)
    for name, value in zip(("depth", "profundity", "size", "batch", "steps"), usual, strict=True):
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


if __name__ == "__main__":
    main()
