"""What `speed.*` decides, and that it changes how fast a step is and not what it learns."""

import copy
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from support import captions

from models.config import Config
from models.noise import Noise
from models.train import prepare, speed
from models.train.learner import Learner

SMALL = captions.SMALL | {"valid_images": 7}
CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
HUGE = {"convnet.depth": 256, "convnet.profundity": 16, "size": 64, "batch_size": 64}


def learner(device: str = "cpu", **hypers: Any) -> Learner:
    return prepare(Config.of({**SMALL, **hypers}), 0, device, lambda _: None).learner


def losses(of: Learner, steps: int, batch: int = 8, lr: float = 1e-3) -> list[float]:
    found = []
    for _ in range(steps):
        of.learn(batch, lr, 0.9)
        found.append(of.mean_loss())
    return found


@pytest.fixture
def pretended(monkeypatch):
    """A GPU that isn't there: `plan` asks for no more than these two facts, and does nothing with it."""

    def pretend(name: str, capability: tuple[int, int]) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: f"NVIDIA {name}")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)

    return pretend


def plan(device: torch.device, **hypers: Any) -> speed.Plan:
    return speed.plan(Config.of({"data": "shapes", **hypers}), device, 40)


def test_a_cpu_does_nothing_special_by_itself():
    assert plan(CPU, **HUGE, steps=1_000_000) == speed.Plan(bf16=False, compile=False, graph=False)
    asked = plan(CPU, **{"speed.precision": "bf16", "speed.compile": "on", "speed.graph": "off"})
    assert asked == speed.Plan(bf16=True, compile=True, graph=False)


def test_a_gpu_of_today_gets_bf16_and_a_graph(pretended):
    pretended("H100 80GB HBM3", (9, 0))
    assert plan(GPU) == speed.Plan(bf16=True, compile=False, graph=True)
    off = {"speed.precision": "fp32", "speed.compile": "off", "speed.graph": "off"}
    assert plan(GPU, **HUGE, steps=1_000_000, **off) == speed.Plan(False, False, False)


def test_a_gpu_that_only_emulates_bf16_is_left_float32(pretended):
    pretended("Tesla T4", (7, 5))
    assert plan(GPU) == speed.Plan(bf16=False, compile=False, graph=True)


@pytest.mark.parametrize("name", ["H100 80GB HBM3", "of a name nobody knows"])
def test_compiling_is_for_trainings_long_enough_to_pay_for_it(pretended, name):
    """14 TFLOPs a step at 43 % of an H100's peak are 33 ms: ten minutes are 18,000 steps."""
    pretended(name, (9, 0))
    assert not plan(GPU, **HUGE, steps=100).compile
    assert plan(GPU, **HUGE, steps=100_000).compile
    assert not plan(GPU, steps=100_000).compile, "a small net is done in no time"


def test_compiling_waits_for_no_clock(pretended, monkeypatch):
    """The same on a slow day, or a resumed run would go on with other numbers than it began with."""
    import time

    pretended("H100 80GB HBM3", (9, 0))
    for clock in ("time", "monotonic", "perf_counter"):
        monkeypatch.delattr(time, clock)
    decided = {plan(GPU, **HUGE, steps=steps).compile for steps in (100_000,) * 2}
    assert decided == {True}


def test_auto_compiles_the_model_of_2017_too(pretended):
    """Its one-hot lookup stays outside what is compiled, so its gradient is summed in a fixed order."""
    pretended("H100 80GB HBM3", (9, 0))
    assert plan(GPU, **HUGE, steps=100_000, **{"convnet.input": "onehot"}).compile


def test_only_the_convnet_and_the_head_are_compiled(monkeypatch):
    handed = []
    monkeypatch.setattr(speed, "compiled", lambda method, exactly: handed.append(method.__name__) or method)
    config = Config.of({"speed.compile": "on", "convnet.input": "onehot", "valid_images": 4, "size": 16})
    prepare(config, 0, "cpu", lambda _: None).learner.learn(4, 1e-3, 0.9)
    assert handed == ["paint"]


def test_auto_compiles_nothing_where_it_can_not(pretended, monkeypatch):
    long = {**HUGE, "steps": 100_000}
    pretended("GeForce GTX 1080", (6, 1))
    assert not plan(GPU, **long).compile
    with pytest.raises(ValueError, match=r"speed\.compile = 'on' needs a GPU of 2017 or later; give auto"):
        plan(GPU, **{"speed.compile": "on"})


def test_what_can_not_be_is_refused_with_a_sentence(pretended, monkeypatch):
    with pytest.raises(
        ValueError, match=r"speed\.graph = 'on' needs a GPU .* cpu is not a CUDA device; give auto"
    ):
        plan(CPU, **{"speed.graph": "on"})
    pretended("H100 80GB HBM3", (9, 0))
    moving = {"schedule.kind": "one_cycle"}
    with pytest.raises(ValueError, match=r"schedule\.kind = 'one_cycle' moves the momentum; give auto"):
        plan(GPU, **moving, **{"speed.graph": "on"})
    assert not plan(GPU, **moving).graph
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"speed\.compile = 'on' needs a C\+\+ compiler"):
        plan(CPU, **{"speed.compile": "on"})


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("graph", [False, True])
def test_a_gpu_keeps_no_casts_with_a_graph_or_without(precision, graph):
    """A remembered cast would lie in memory that the graph reuses, and sums its gradient in bfloat16."""
    chosen = speed.Plan(precision == "bf16", False, graph)
    with chosen.autocast(CPU):
        assert torch.is_autocast_cache_enabled()
        assert torch.is_autocast_enabled("cpu") == (precision == "bf16")
    with warnings.catch_warnings():  # that there is no GPU
        warnings.simplefilter("ignore")
        assert not chosen.autocast(GPU)._cache_enabled


@pytest.mark.parametrize("reader", ["qrnn", "lstm", "gru", "rnn"])
def test_half_precision_has_the_same_gradient_with_a_graph_as_without(reader):
    """On the CPU, where no graph is captured: the numerics that a plan asks for do not depend on it."""
    found = []
    for graph in (False, True):
        taught = learner(**{"reader.kind": reader, "merger.kind": "attention"})  # FiLM is deaf at first
        taught.plan = speed.Plan(bf16=True, compile=False, graph=graph)
        taught._loss(8, Noise.at(0, 1)).backward()
        found.append([p.grad for p in taught.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True) if a is not None and b is not None)


def test_half_precision_learns_what_float32_does():
    full, half = (losses(learner(**{"speed.precision": p}), 60, lr=1e-2) for p in ("fp32", "bf16"))
    assert full != half
    assert sum(half[-5:]) < 0.8 * sum(half[:5])
    assert sum(half[-5:]) == pytest.approx(sum(full[-5:]), rel=0.15)  # roundings grow over 60 steps


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd", "rmsprop"])
def test_moments_come_back_and_the_device_keeps_its_own_ways(kind):
    """A checkpoint of a GPU has tensors for rates and says `capturable`; a CPU's optimiser takes neither."""
    one, two = (learner(**{"optimizer.kind": kind}) for _ in range(2))
    losses(one, 3)
    state = copy.deepcopy(one.state())
    for group in state["optimizer"]["param_groups"]:
        group |= {"lr": torch.tensor(123.0), "capturable": True, "fused": False, "foreach": True}
    own = [{k: v for k, v in g.items() if k != "params"} for g in two.optimizer.param_groups]
    two.restore(state)
    assert [{k: v for k, v in g.items() if k != "params"} for g in two.optimizer.param_groups] == own
    assert losses(one, 3) == losses(two, 3)


def test_convolutions_are_told_to_repeat_exactly():
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    learner()
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
    learner(**{"speed.deterministic": False})
    assert torch.backends.cudnn.benchmark and not torch.backends.cudnn.deterministic
    learner()


COMPILED = """
import sys, torch
from models.train.learner import Learner
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from test_speed import learner, losses

eager = losses(learner(), 6)
compiled = learner(**{"speed.compile": "on"})
assert not compiled.trims, "each length of caption would be compiled anew"
compiled.try_out(8)
seen = torch._dynamo.utils.counters["stats"]["unique_graphs"]
got = losses(compiled, 6)
print(seen, torch._dynamo.utils.counters["stats"]["unique_graphs"], *eager, *got)
"""


@pytest.mark.slow
@pytest.mark.skipif("TEST_COMPILE" not in os.environ, reason="compiles C++ for a minute; set TEST_COMPILE=1")
def test_compiled_on_a_cpu_it_learns_the_same(tmp_path):
    """In a process of its own with an empty cache: what another run compiled must not be what is tested."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, then, *values = map(float, re.findall(r"\S+", done.stdout))
    assert first == then == 1, "compiled once, for the batch that was tried out, and never again"
    assert values[:6] == pytest.approx(values[6:], rel=1e-4)


on_a_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


class TestOnAGPU:
    """What only a GPU can show: the graph is the eager step, bit for bit, and nobody waits for either."""

    pytestmark = on_a_gpu

    OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
    KINDS = (
        {},
        {"convnet.dropout": 0.2, "reader.dropout": 0.2},
        {"convnet.input": "onehot", "merger.kind": "attention", "reader.kind": "lstm"},
        {"merger.kind": "conv", "masker.kind": "contiguous", "loss": "emd2", "speed.precision": "fp32"},
    )

    @staticmethod
    def both(**hypers: Any) -> tuple[Learner, Learner]:
        graph, eager = (learner("cuda", **hypers, **{"speed.graph": g}) for g in ("on", "off"))
        assert graph.plan.graph and not eager.plan.graph
        return graph, eager

    @staticmethod
    def same_weights(one: Learner, two: Learner) -> bool:
        pairs = zip(one.model.parameters(), two.model.parameters(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    @pytest.mark.parametrize("kind", OPTIMIZERS)
    def test_a_graph_is_the_eager_step_with_each_optimiser(self, kind):
        graph, eager = self.both(**{"optimizer.kind": kind, "optimizer.weight_decay": 0.01})
        assert losses(graph, 10) == losses(eager, 10)
        assert self.same_weights(graph, eager)

    @pytest.mark.parametrize("hypers", KINDS, ids=lambda h: " ".join(map(str, h.values())) or "plain")
    def test_a_graph_is_the_eager_step_of_each_model(self, hypers):
        graph, eager = self.both(**hypers)
        graph.try_out(8)
        assert losses(graph, 10) == losses(eager, 10)
        assert self.same_weights(graph, eager)

    def test_a_graph_follows_the_rate(self):
        graph, eager = self.both(**{"optimizer.clip": 0.5})
        for of in (graph, eager):
            for step in range(10):
                of.learn(8, 1e-3 * (step + 1), 0.9)
        assert self.same_weights(graph, eager)

    def test_batches_grow_under_a_graph(self):
        graph, eager = self.both()
        for batch in (8, 16, 32):
            assert losses(graph, 6, batch) == losses(eager, 6, batch)
        assert self.same_weights(graph, eager)

    def test_restored_after_its_capture_it_is_captured_anew(self):
        graph, eager = self.both()
        losses(graph, 6)
        state = copy.deepcopy(graph.state())
        losses(graph, 6)
        graph.restore(copy.deepcopy(state))
        eager.restore(copy.deepcopy(state))
        assert losses(graph, 10) == losses(eager, 10)

    @pytest.mark.parametrize("graph", ["on", "off"])
    def test_no_step_waits(self, graph):
        taught = learner("cuda", **{"speed.graph": graph})
        losses(taught, 6)  # with the capture and what libraries do when they are first used
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(10):
                taught.learn(8, 1e-3, 0.9)
            with pytest.raises(RuntimeError, match="synchroniz"):
                taught.mean_loss()  # so the watch works
        finally:
            torch.cuda.set_sync_debug_mode("default")

    @pytest.mark.slow
    @pytest.mark.parametrize("compiling", ["off", "on"])
    def test_a_resumed_training_is_the_same_bit_for_bit(self, compiling, tmp_path):
        from models.train import train

        given = {**SMALL, "device": "cuda", "steps": 24, "report_every": 1, "speed.compile": compiling}

        def numbers(m):
            return {k: v for k, v in m.items() if k != "images_per_second"}

        whole = [numbers(m) for m in train(**given) if m]
        out = tmp_path / "parts"
        first = train(**given, out=str(out))
        while (next(first) or {"step": 0})["step"] < 11:
            pass
        first.close()
        after = [numbers(m) for m in train(**given, resume=str(out / "checkpoint.pt")) if m]
        assert whole[-len(after) :] == after and len(after) == 13

    @pytest.mark.slow
    def test_compiled_into_a_graph_it_learns_the_same(self):
        compiled, eager = (
            learner("cuda", **{"speed.compile": c, "speed.precision": "fp32"}) for c in ("on", "off")
        )
        assert losses(compiled, 10) == pytest.approx(losses(eager, 10), rel=1e-2)

    def test_asking_few_pixels_takes_a_quarter_of_the_naive_memory(self):
        """The whole step's peak: all pixels with the loss left to autograd, and the loss of the product."""
        hypers = {"size": 32, "batch_size": 32, "loss": "emd2", "speed.graph": "off"}
        sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
        from caption import make_naive

        peaks = []
        for naive in (False, True):
            taught = learner("cuda", **hypers, **({"speed.precision": "fp32"} if naive else {}))
            if naive:
                make_naive(taught)
            losses(taught, 2, 32)
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated()
            taught.learn(32, 1e-3, 0.9)
            torch.cuda.synchronize()
            peaks.append(torch.cuda.max_memory_allocated() - held)
        assert peaks[0] <= peaks[1] / 4
