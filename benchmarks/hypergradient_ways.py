"""One training of a small network and its hypergradients, each written as its library wants it.

Every way trains the same thing: the same weights at the start, the same batches in the same order, learning rate
and momentum constant. What they differ in is which hyperparameters get a gradient, and that is said beside each.
A way takes a Work and answers with a Found; `measure` runs one in a process of its own.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from meta import Hypers, Problem, hypergradient
from meta.dynamics import HeavyBall, exact_fraction
from meta.inner import memory
from meta.inner.steps import Inner
from meta.inner.ties import constant
from meta.methods.checkpoint import Checkpoint
from meta.methods.evolution import Evolution
from meta.methods.forward import Forward
from meta.methods.implicit import Implicit
from meta.methods.method import Method
from meta.methods.replay import Replay
from meta.methods.reversible import Reversible
from meta.methods.tape import Tape
from meta.methods.truncated import Truncated
from meta.methods.unroll import Unroll
from meta.problems.digits import mnist
from meta.problems.nets import Examples, network

HIDDEN, BATCH, TRAIN = (100,), 100, 10_000
VALID = 500  # few: judging them costs as much as five batches, which at 100 steps is 2 % of a tape
LR, MOMENTUM, L2, SPREAD = 0.3, 0.9, math.exp(-9), 0.05  # of every step, group and weight; x₀ ~ N(0, SPREAD²)
PAIRS = 4  # of evolution: 8 trainings; an estimate that is worth something takes 10 to 100 times as many
PRODUCTS = 50  # of implicit, by the Hessian
STEPS_WARM = 4  # of which truncated walks back one
STEPS_TIMED = 300  # so many, in as many calls as that takes

Grads = dict[str, Tensor]


@dataclass(frozen=True)
class Found:
    value: Tensor
    grads: Grads = field(default_factory=dict)
    weights: Tensor | None = None  # [P]
    bits: float | None = None
    exact: bool | None = None


@dataclass(frozen=True)
class Work:
    """The training: T steps of 784-100-10."""

    steps: int
    folder: str | None  # of MNIST; None: random images
    device: str

    @cached_property
    def examples(self) -> tuple[Examples, Examples]:
        if self.folder is not None:
            split = mnist(self.folder, TRAIN, VALID, device=self.device)
            return split.train, split.valid
        g = torch.Generator().manual_seed(0)
        images, labels = torch.rand(TRAIN, 784, generator=g), torch.randint(10, (TRAIN,), generator=g)
        images, labels = images.to(self.device), labels.to(self.device)
        return Examples(images, labels), Examples(images[:VALID], labels[:VALID])

    @cached_property
    def problem(self) -> Problem:
        dynamics = HeavyBall(lr=LR, momentum=MOMENTUM)
        problem = network(*self.examples, HIDDEN, steps=self.steps, batch=BATCH, dynamics=dynamics)
        return replace(problem, init=lambda seed: SPREAD * problem.init(seed))

    def shorter(self, steps: int) -> Work:
        work = replace(self, steps=steps)
        work.__dict__["examples"] = self.examples
        return work

    @property
    def beta(self) -> float:  # as every method of `meta` rounds it
        return float(exact_fraction(torch.tensor(MOMENTUM)))

    def x0(self) -> Tensor:
        return self.problem.init(0)

    def full(self, *shape: int, of: float) -> Tensor:
        return torch.full(shape, of, device=self.device)

    def all(self) -> Hypers:
        T, G, P = self.steps, self.problem.layout.G, self.problem.layout.P
        return Hypers(
            log_lr=self.full(T, G, of=math.log(LR)),
            logit_momentum=self.full(T, G, of=math.log(MOMENTUM / (1 - MOMENTUM))),
            log_init_scale=self.full(G, of=0.0),
            log_l2=self.full(P, of=math.log(L2)),
        )

    def rates(self) -> Hypers:
        return Hypers(log_lr=self.all().log_lr)

    def tied(self) -> Hypers:  # one rate for each group, the same at all steps
        return Hypers(log_lr=self.full(1, self.problem.layout.G, of=math.log(LR)))

    def penalties(self) -> Hypers:
        return Hypers(log_l2=self.all().log_l2)

    def judge(self, model: Callable[[Tensor], Tensor]) -> Tensor:
        _, valid = self.examples
        return cross_entropy(model(valid.images), valid.labels)


@dataclass(frozen=True)
class Way:
    hypers: str  # which of them get a gradient, for people
    run: Callable[[Work], Found]
    package: str | None = None  # that it needs
    like: str | None = None  # the way whose gradients it should give
    note: str = ""
    beside: str | None = None  # a way that takes turns with it in its own process


# ── plain training ──


def by_hand(work: Work) -> Found:
    """With the penalty: g ← g + λx, v ← βv − (1−β)g, x ← x + αv, all in place."""
    layout = work.problem.layout
    x = [part.clone().requires_grad_() for part in layout.split(work.x0())]
    v = [torch.zeros_like(part) for part in x]
    strengths = layout.split(work.full(layout.P, of=L2))
    alpha, beta = LR, work.beta
    for t in range(work.steps):
        _, images, labels = work.problem.batch(t, 0)
        loss = cross_entropy(_logits(x, images), labels)
        grads = torch.autograd.grad(loss, x)
        with torch.no_grad():
            for x_, v_, g, strength in zip(x, v, grads, strengths, strict=True):
                g.addcmul_(strength, x_)
                v_.mul_(beta).sub_(g, alpha=1 - beta)
                x_.add_(v_, alpha=alpha)
    with torch.no_grad():
        value = work.judge(lambda images: _logits(x, images))
    return Found(value, weights=torch.cat([part.detach().flatten() for part in x]))


def torch_sgd(work: Work) -> Found:
    """torch.optim.SGD as fast as it comes; its only penalty is one weight decay."""
    model = module(work)
    params = list(model.parameters())
    optimizer = torch.optim.SGD(
        params, lr=LR, momentum=work.beta, dampening=work.beta, weight_decay=L2, fused=True
    )
    for p in params:  # else the first step is not dampened
        optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    for t in range(work.steps):
        _, images, labels = work.problem.batch(t, 0)
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
    with torch.no_grad():
        return Found(work.judge(model), weights=torch.cat([p.detach().t().flatten() for p in params]))


def forth_only(work: Work) -> Found:
    """What a method of ours pays before its way back begins."""
    inner = Inner(work.problem, (0,), None, torch.float32, torch.device(work.device))
    return Found(inner.value(work.all().parts()))


# ── ours ──


def ours(method: Method, hypers: Callable[[Work], Hypers], tie: bool = False) -> Callable[[Work], Found]:
    def run(work: Work) -> Found:
        ties = {"log_lr": constant(work.steps)} if tie else None
        result = hypergradient(work.problem, hypers(work), method, ties=ties)
        return Found(result.value, result.grads.parts(), result.weights[0], result.bits, result.exact)

    return run


# ── peers: autograd through the training, unrolled ──


def by_higher(work: Work, everything: bool) -> Found:
    """Rates of each step and group through `override`; with `everything` momenta, scales and penalties, too."""
    import higher  # pyright: ignore[reportMissingImports]

    model = module(work)
    params = list(model.parameters())
    optimizer = torch.optim.SGD(
        [{"params": [p]} for p in params], lr=LR, momentum=work.beta, dampening=work.beta
    )
    for p in params:
        optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    leaves = _leaves(work.all() if everything else work.rates())
    alpha = [row.unbind() for row in leaves["log_lr"].exp().unbind()]
    penalty = _penalty(work, leaves)
    with higher.innerloop_ctx(model, optimizer) as (fmodel, stepper):
        if everything:
            momenta = exact_fraction(leaves["logit_momentum"].sigmoid())
            beta = [row.unbind() for row in momenta.unbind()]
            fmodel.update_params(_scaled(list(fmodel.parameters()), leaves))
        for t in range(work.steps):
            _, images, labels = work.problem.batch(t, 0)
            loss = cross_entropy(fmodel(images), labels) + penalty(fmodel.parameters())
            override = {"lr": alpha[t]}
            if everything:
                override |= {"momentum": beta[t], "dampening": beta[t]}
            stepper.step(loss, override=override)
        return _differentiated(work.judge(fmodel), leaves)


def by_torchopt(work: Work, everything: bool) -> Found:
    """A rate of each step through a callable, one for all groups; scales and penalties with `everything`.

    Its momentum is a float. Its first step is not dampened, so we leave dampening away and take (1−β)α for α.
    """
    import torchopt  # pyright: ignore[reportMissingImports]

    model = module(work)
    names = ["log_init_scale", "log_l2"] if everything else []
    leaves = _leaves(Hypers.of({name: work.all().parts()[name] for name in names}))
    leaves["log_lr"] = work.full(work.steps, of=math.log(LR)).requires_grad_()
    alpha = ((1 - work.beta) * leaves["log_lr"].exp()).unbind()
    penalty = _penalty(work, leaves)
    layers: list[dict[str, Any]] = [model[0]._parameters, model[2]._parameters]
    if everything:
        scaled = iter(_scaled(list(model.parameters()), leaves))
        for layer in layers:
            layer.update(weight=next(scaled), bias=next(scaled))
    stepper = torchopt.MetaSGD(model, lr=lambda count: alpha[int(count)], momentum=work.beta)
    for t in range(work.steps):
        _, images, labels = work.problem.batch(t, 0)
        weights = [layer[name] for layer in layers for name in ("weight", "bias")]
        stepper.step(cross_entropy(model(images), labels) + penalty(weights))
    return _differentiated(work.judge(model), leaves)


def module(work: Work) -> nn.Sequential:
    """The same network as a module, at the same start. nn.Linear keeps its weights transposed."""
    with torch.device(work.device):
        model = nn.Sequential(nn.Linear(784, *HIDDEN), nn.Tanh(), nn.Linear(*HIDDEN, 10))
    with torch.no_grad():
        for p, part in zip(model.parameters(), work.problem.layout.split(work.x0()), strict=True):
            p.copy_(part.t())
    return model


def _leaves(hypers: Hypers) -> Grads:
    return {name: part.requires_grad_() for name, part in hypers.parts().items()}


def _scaled(params: list[Tensor], leaves: Grads) -> list[Tensor]:
    return [p * scale for p, scale in zip(params, leaves["log_init_scale"].exp().unbind(), strict=True)]


def _penalty(work: Work, leaves: Grads) -> Callable[[Any], Tensor | float]:
    if "log_l2" not in leaves:
        return lambda params: 0.0
    strengths = [part.t().contiguous() for part in work.problem.layout.split(leaves["log_l2"].exp())]
    return lambda params: sum((0.5 * s * p * p).sum() for s, p in zip(strengths, params, strict=True))


def _differentiated(value: Tensor, leaves: Grads) -> Found:
    grads = torch.autograd.grad(value, list(leaves.values()))
    return Found(value.detach(), dict(zip(leaves, grads, strict=True)))


def _logits(x: list[Tensor], images: Tensor) -> Tensor:
    w0, b0, w1, b1 = x
    return torch.addmm(b1, torch.tanh(torch.addmm(b0, images, w0)), w1)


# ── all of them ──

PLAIN = {"plain, by hand": by_hand, "plain, torch.optim.SGD": torch_sgd}
ALL = "lr, momentum [T, 4], init [4], L2 [P]"


def ways() -> dict[str, Way]:
    """Every way by name, in the order of the table."""
    exact = [Unroll(), Tape(), Checkpoint(), Replay(), Reversible()]
    found = {name: Way("none", run) for name, run in PLAIN.items()}
    found["ours, forth only"] = Way("none", forth_only)
    for method in exact:
        beside = None if method.name == "tape" else "tape"
        found[method.name] = Way(ALL, ours(method, Work.all), like="tape", beside=beside)
    found["truncated"] = Way(ALL, ours(Truncated(), Work.all), like="tape", note="the last quarter, biased")
    found["tape, lr"] = Way("lr [T, 4]", ours(Tape(), Work.rates))
    found["forward"] = Way(
        "lr [4]", ours(Forward(), Work.tied, tie=True), like="tape, lr", note="4 directions"
    )
    found["evolution"] = Way(
        "lr [4]", ours(Evolution(pairs=PAIRS), Work.tied, tie=True), note=f"{PAIRS} pairs"
    )
    found["implicit"] = Way(
        "L2 [P]", ours(Implicit(iterations=PRODUCTS), Work.penalties), note=f"{PRODUCTS} products"
    )
    for package, way, few, most in (
        ("higher", by_higher, "lr [T, 4]", ALL),
        ("torchopt", by_torchopt, "lr [T]", "lr [T], init [4], L2 [P]"),
    ):
        found[f"{package}, lr"] = Way(few, _Peer(way, False), package, like="tape, lr")
        found[f"{package}, most"] = Way(most, _Peer(way, True), package, like="tape")
    return found


@dataclass(frozen=True)
class _Peer:
    way: Callable[[Work, bool], Found]
    everything: bool

    def __call__(self, work: Work) -> Found:
        return self.way(work, self.everything)


def missing(way: Way) -> bool:
    return way.package is not None and importlib.util.find_spec(way.package) is None


# ── measuring ──


def measure(name: str, work: Work, threads: int) -> dict[str, Any]:
    """One way in this process, which should be fresh. Its first call tells memory; then plain trainings, the way and
    what is measured beside it take turns, so that every ratio is one between neighbours in time."""
    torch.set_num_threads(threads)
    way = ways()[name]
    _ = work.examples
    for run in (*PLAIN.values(), way.run):  # libraries wake up, their pages come in
        run(work.shorter(STEPS_WARM))
    gc.collect()
    gc.freeze()  # the libraries: else each collection to come looks through all of them
    ctypes.CDLL(None).malloc_trim(0)  # what is free but not given back would be used again and not be seen
    _, first, found, peak = _timed(way.run, work)
    found = replace(found, grads={key: grad.cpu() for key, grad in found.grads.items()})
    rounds = []
    for _ in range(max(1, STEPS_TIMED // work.steps)):
        turns = {key: plain for key, plain in PLAIN.items() if key != name} | {name: way.run}
        if way.beside is not None:
            turns[way.beside] = ways()[way.beside].run
        rounds.append({key: _timed(run, work)[:2] for key, run in turns.items()})
    return {"rounds": rounds, "first": first, "peak": peak, "found": found}


def _timed(run: Callable[[Work], Found], work: Work) -> tuple[float, float, Found, int | None]:
    """Seconds of processor time and by the clock on the wall, each per step; what was found; and peak memory."""
    _ = work.problem
    wait = torch.cuda.synchronize if work.device.startswith("cuda") else (lambda: None)
    gc.collect()
    wait()
    with memory.peak(torch.device(work.device)) as peak:
        cpu, wall = time.process_time(), time.perf_counter()
        found = run(work)
        wait()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return cpu / work.steps, wall / work.steps, found, peak.bytes
