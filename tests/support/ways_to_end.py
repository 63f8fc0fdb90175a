"""Training functions that end in every way a real one can. A trial's process runs these for real."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class Diverged(Exception):
    """Known by its name alone."""


def train(*, how: str = "returns", x: float = 1.0, steps: int = 3, seed: int = 0, out: str | None = None):
    """Report `steps` losses, then end as `how` says. "…_early" ends before the first loss."""
    if how.endswith("_early"):
        end(how.removesuffix("_early"), out)
        return
    for step in range(steps):
        yield {"step": step, "loss": x / (step + 1), "seed": seed}
    end(how, out)
    if how == "nan":
        yield {"step": steps, "loss": float("nan")}
        time.sleep(600)
    if how == "inf":
        yield {"step": steps, "loss": float("inf")}
    if how == "words":
        yield {"loss": "a lot"}


def end(how: str, out: str | None) -> None:
    match how:
        case "raises":
            raise ValueError("the learning rate\nis on fire")
        case "sys_exit":
            sys.exit(3)
        case "sys_exit_0":
            sys.exit(0)
        case "os_exit":
            os._exit(5)
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "sigkill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sigterm":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(600)
        case "memory_error":
            raise MemoryError("cannot allocate 12 GiB")
        case "eats_memory":
            hoard = []
            while True:
                hoard.append(bytearray(os.urandom(1 << 20)) * 16)
        case "hangs" | "silent":
            time.sleep(600)
        case "hangs_deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        case "holds_the_lock":
            # PyDLL keeps the interpreter lock: no Python thread of this process runs any more
            while True:
                ctypes.PyDLL(None).sleep(600)
        case "leaves_children":
            subprocess.Popen(["sleep", "601"])
            if os.fork() == 0:
                time.sleep(602)
                os._exit(0)
        case "rubbish":
            sys.stdout.buffer.write(bytes(range(256)) * 64)
            sys.stdout.buffer.flush()
            os.write(2, b"\x1b[31m\xff\xfe\x00 red \x1b[2J")
        case "diverged":
            raise Diverged("worse than a\nuniform guess: 5.1")
        case "diverged_speechless":
            raise Diverged
        case "leaves_files":
            assert out is not None
            (Path(out) / "weights.bin").write_bytes(b"w" * 1000)
            raise RuntimeError("after saving")


def forever(*, x: float = 1.0, seed: int = 0):
    """Measures until it is told to stop; says so when its `finally` runs."""
    try:
        for step in range(10**9):
            yield {"step": step, "loss": x}
            time.sleep(0.02)
    finally:
        print("finally ran", flush=True)


def quiet(*, x: float = 1.0):
    """Measures once; from then on it has nothing to say, but may be stopped."""
    try:
        yield {"loss": x}
        while True:
            time.sleep(0.02)
            yield None
    finally:
        print("finally ran", flush=True)


def finder(*, x: float = 1.0, steps: int = 90, fails_at: int = 1000, seed: int = 0):
    """A learning-rate finder: the loss falls, is lowest near 0.02 and diverges; the rate it suggests is 3.2e-3."""
    for step in range(steps):
        if step == fails_at:
            raise RuntimeError("lost the thread")
        rate = 1e-5 * 3e5 ** (step / (steps - 1))
        loss = 2.0 - 1.6 / (1.0 + (3e-3 / rate) ** 1.5) + (rate / 8e-2) ** 3
        yield {"step": step, "lr": rate, "loss": loss * x}
    yield {"lr/suggested": 3.2e-3}


def number(*, x: float = 1.0) -> float:
    return x * 2


def mapping(*, x: float = 1.0) -> dict[str, float]:
    return {"loss": x, "accuracy": 0.5}


def sleeps(*, x: float = 1.0, seconds: float = 600.0) -> float:
    try:
        print("asleep", flush=True)
        time.sleep(seconds)
    finally:
        print("finally ran", flush=True)
    return x


def until_told(*, x: float = 1.0) -> float:
    while not Path("told").exists():
        time.sleep(0.02)
    return x


def other_name(*, x: float = 1.0):
    yield {"los": x}


def environment(*, device: str = "", x: float = 1.0):
    print("device", device, "cuda", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    print("omp", os.environ.get("OMP_NUM_THREADS"), flush=True)
    yield {"loss": x}


def instant(*, x: float = 1.0) -> float:
    return x


SABOTAGE = (
    "raises", "raises_early", "sys_exit", "os_exit_early", "segfault", "sigkill", "eats_memory", "hangs", "nan"
)  # fmt: skip


def fated(*, x: float = 1.0, fate: int = 0, seed: int = 0):
    """Measure for a moment; then, for the first nine fates of thirty, come to a bad end."""
    how = SABOTAGE[fate] if fate < len(SABOTAGE) else "returns"
    for measurement in train(how=how, x=x, seed=seed):
        yield measurement
        time.sleep(0.15)


def saves_at_sigterm(*, x: float = 1.0, out: str):
    """What programs for machines that may be taken away do: at SIGTERM save, and return in good order."""
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    yield {"step": 0, "loss": x}
    while not asked:
        time.sleep(0.01)
    (Path(out) / "checkpoint").write_text("saved")


def nan_in_the_middle(*, x: float = 1.0):
    """Done before anybody can react to the nan."""
    for step, loss in enumerate([x, float("nan"), x / 2, x / 3]):
        yield {"step": step, "loss": loss}


def works_in_silence(*, x: float = 1.0) -> float:
    time.sleep(1.5)
    return x


def reports(*, x: float = 1.0, steps: int = 3, report) -> None:
    """As the callback of a trainer would."""
    for step in range(steps):
        report({"step": step, "loss": x / (step + 1)})
    report(loss=x / 10, accuracy=0.5)


def reports_forever(*, x: float = 1.0, report) -> None:
    try:
        while True:
            report(x)
            time.sleep(0.02)
    finally:
        print("finally ran", flush=True)


def reports_from_a_copy(*, x: float = 1.0, report) -> None:
    """A worker process that inherited `report` may not speak for the trial."""
    report(x)
    if os.fork() == 0:
        try:
            report(99.0)
        except RuntimeError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()


def forks_and_leaves(*, x: float = 1.0):
    """A helper process made with os.fork goes through the same code and leaves by sys.exit."""
    yield {"step": 0, "loss": x}
    if os.fork() == 0:
        yield {"step": 1, "loss": 1000.0}
        sys.exit(3)
    os.wait()
    yield {"step": 1, "loss": x / 2}


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def speechless(*, x: float = 1.0):
    yield x
    raise Speechless


def leaves_nothing_behind(*, x: float = 1.0, out: str):
    """Its folder is gone and its stderr is broken when it fails."""
    yield x
    import shutil

    shutil.rmtree(Path(out).parent)
    os.close(2)
    raise ValueError("after all that")


def own_pipe() -> int:
    """The descriptor of the trial's pipe to the engine, found as a stray write would find it."""
    for fd in range(3, 64):
        try:
            if str(Path(f"/proc/self/fd/{fd}").readlink()).startswith("pipe:"):
                os.write(fd, b"\n")  # not the one that is read
                return fd
        except OSError:
            continue
    raise AssertionError("no pipe")


def floods_its_pipe(*, x: float = 1.0):
    yield {"step": 0, "loss": x}
    pipe = own_pipe()
    for _ in range(64):
        os.write(pipe, b"x" * 65536)
    os.write(pipe, b"\n")
    yield {"step": 1, "loss": x / 2}


def leaves_a_writer(*, x: float = 1.0):
    """A copy of the trial leaves its group and goes on writing into the pipe it inherited."""
    yield {"loss": x}
    pipe = own_pipe()
    if os.fork() == 0:
        os.setsid()
        while True:
            os.write(pipe, b"{}\n" * 20000)


def under_a_jumping_clock(*, x: float = 1.0):
    """What this process sees of a machine whose clock is set, two hours back and forth."""
    real = time.time
    for step, jump in enumerate((0.0, -7200.0, 7200.0)):
        time.time = lambda jump=jump: real() + jump
        yield {"step": step, "loss": x}


def uses_a_secret(*, x: float = 1.0, token: str):
    """Measures with it, and fails with it in its message when x is large."""
    yield {"loss": x * len(token)}
    if x > 1:
        raise ConnectionError(f"the server refused {token}")


def measures_a_lot(*, x: float = 1.0, measurements: int = 100_000):
    for step in range(measurements):
        yield {"step": step, "loss": x / (step + 1)}


def minds_a_sigterm_from_elsewhere(*, x: float = 1.0):
    """A batch system asks it to end, it handles that as `saves_at_sigterm` does, and returns in good order."""
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    yield {"step": 0, "loss": x}
    os.kill(os.getpid(), signal.SIGTERM)
    for step in range(1, 1000):
        if asked:
            return
        yield {"step": step, "loss": x / step}


def ends_its_workers(*, x: float = 1.0):
    """As pools of processes and data loaders do."""
    import multiprocessing

    yield {"step": 0, "loss": x}
    workers = [multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    time.sleep(0.2)
    for worker in workers:
        worker.terminate()
        worker.join()
    yield {"step": 1, "loss": x / 2}


def shouts(*, out: str):
    """Start a program that prints for ever as fast as it can."""
    print("the first line", flush=True)
    shouting = subprocess.Popen(["yes"])
    yield {"loss": 1.0}
    shouting.wait()
