"""Slots: as many as trials run at once, each with a device and a share of the CPU cores."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..search.search import Search
from ..study.processes import nvidia_smi


@dataclass(frozen=True)
class Slot:
    """A place for one running trial: a device and a share of the CPU cores."""

    label: str = "cpu"  # what people see: "cpu" or "cuda:1"
    device: str = "cpu"  # what the target is told; it sees only the GPUs of its slot, so it is "cuda" there
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    number: int = 0  # what the target is told as `slot`: below the number of trials at once


_FILES_OF_AN_ENGINE = 40  # journal, lock, logs, sockets, libraries: 25 counted, and some air
_FILES_OF_A_TRIAL = 5  # a pidfd and two pipes, both of whose ends are open for a moment
_MANY_FILES = 65536  # more than any sweep needs; some systems allow 2**30, for which select() makes tables

# What libraries read to learn how many threads they may start: BLAS, OpenMP, joblib's processes, Rust's and Polars'
# pools, TensorFlow.
_THREAD_LIMITS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT",
    "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "TF_NUM_INTRAOP_THREADS",
)  # fmt: skip


def make_slots(
    parallel: int,
    gpus: Sequence[int],
    cores: int | None = None,
    *,
    gpus_per_trial: int = 1,
    trials_per_gpu: int = 0,
) -> list[Slot]:
    """`parallel` slots, dealt round the GPUs (several may share one), CPU cores shared out evenly.

    Raises ValueError when a trial is to have more GPUs than there are, or when more than `trials_per_gpu` (if that is
    not 0) would have to share one.
    """
    threads = max(1, (cores or available_cores()) // parallel)
    shares = {name: str(threads) for name in _THREAD_LIMITS}
    if not gpus:
        return [
            Slot(threads=threads, environment=shares | {"CUDA_VISIBLE_DEVICES": ""}, number=number)
            for number in range(parallel)
        ]
    if gpus_per_trial > len(gpus):
        raise ValueError(
            f"gpus_per_trial = {gpus_per_trial}: this study has {len(gpus)} GPUs ({_listed(gpus)})"
        )
    if trials_per_gpu and parallel > len(gpus) * trials_per_gpu:
        raise ValueError(
            f"parallel = {parallel}: with trials_per_gpu = {trials_per_gpu} this study's {len(gpus)} GPUs "
            f"({_listed(gpus)}) take {len(gpus) * trials_per_gpu} at once; lower the one or raise the other"
        )
    groups = [gpus[i : i + gpus_per_trial] for i in range(0, len(gpus) - gpus_per_trial + 1, gpus_per_trial)]
    shares |= _shares_of_a_gpu(tenants=-(-parallel // len(groups)))
    return [
        Slot(
            f"cuda:{_listed(group)}",
            "cuda",
            threads,
            shares | {"CUDA_VISIBLE_DEVICES": _listed(group)},
            number,
        )
        for number, group in ((number, groups[number % len(groups)]) for number in range(parallel))
    ]


def places(search: Search, gpus: Sequence[int]) -> int:
    """How many trials of a search run at once: what it says, or, with `trials_per_gpu`, as many as the GPUs take."""
    if search.trials_per_gpu and search.parallel == Search.parallel and gpus:
        return len(gpus) * search.trials_per_gpu
    return search.parallel


def _shares_of_a_gpu(tenants: int) -> dict[str, str]:
    """Variables for libraries that take most of a GPU's memory when they start. PyTorch takes what it needs."""
    if tenants == 1:
        return {}
    # 0.75 is what JAX takes for one process.
    return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.75 / tenants:.2f}", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


def _listed(gpus: Sequence[int]) -> str:
    return ",".join(map(str, gpus))


def raise_descriptor_limit(parallel: int) -> None:
    """Let this process open as many files as the system allows. Raises ValueError where that is not enough."""
    try:
        import resource
    except ImportError:  # no such limits on this system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        wanted = hard if hard != resource.RLIM_INFINITY else max(soft, _MANY_FILES)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, _MANY_FILES), hard))
            soft = min(wanted, _MANY_FILES)
        except (OSError, ValueError):
            pass
    needed = _FILES_OF_AN_ENGINE + _FILES_OF_A_TRIAL * parallel
    if soft < needed:
        raise ValueError(
            f"{parallel} trials at once need about {needed} open files, but at most {soft} are allowed: "
            f"raise it with `ulimit -n {needed}`, or run fewer at once"
        )


def available_cores() -> int:
    """Cores this process may use (an affinity mask or a batch system may allow fewer than exist)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_gpus(text: str) -> list[int]:
    """ "auto": all there are; "none": the CPU; "0,1": these. Raises ValueError with a sentence."""
    if text == "none":
        return []
    present = present_gpus()
    if text == "auto":
        return present
    try:
        wanted = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--gpus {text}: write auto, none, or numbers such as 0,1") from None
    missing = [gpu for gpu in wanted if gpu not in present]
    if missing:
        there = ", ".join(map(str, present)) or "none"
        raise ValueError(f"--gpus {text}: GPU {missing[0]} is not on this machine (present: {there})")
    return wanted


def present_gpus() -> list[int]:
    """Numbers of the GPUs here, asked of NVIDIA's management library: asking CUDA itself would wake it."""
    try:
        import pynvml  # type: ignore[import-not-found]

        pynvml.nvmlInit()
        try:
            return list(range(pynvml.nvmlDeviceGetCount()))
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # not installed, or no driver
        pass
    return list(range(sum(line.startswith("GPU ") for line in nvidia_smi("-L"))))
