"""A torch.nn.Module and its data as a problem, in one call.

    problem = of_module(nn.Sequential(nn.Linear(64, 30), nn.Tanh(), nn.Linear(30, 10)), train=(images, labels),
                        valid=(images_, labels_), steps=100, batch=50)

The module itself is left alone: a copy of it is called with weights cut from x. Its parameters keep their names.
What the module does must be a function of weights and batch, so that each method sees the same training:

- Dropout draws its masks in `batch`, from step and seed, and is silent in the outer loss.
- Normalisation with running statistics is refused, unless it stands on eval(); with track_running_stats=False it is
  a function of the batch.
- Tied weights are one piece, used in both places. Frozen parameters and buffers stay as they are.
"""

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from meta.batches import Batches, generator_at
from meta.dynamics import Dynamics, HeavyBall
from meta.hypers import Hypers
from meta.problem import Layout, Piece, Problem

Loss = Callable[[Tensor, Tensor], Tensor]  # outputs, targets -> []
Penalty = Callable[[dict[str, Tensor], Hypers], Tensor]  # parameters by name, h -> []

# Their weights are [in, out, ...], and those of all other modules [out, in, ...].
OUT_SECOND = (nn.Embedding, nn.EmbeddingBag, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_MASKS, _VALID = 2, 3  # streams of random numbers; batches draw from 0, transforms from 1


def of_module(
    module: nn.Module | Callable[[], nn.Module],
    train: Sequence[Tensor],
    valid: Sequence[Tensor],
    *,
    steps: int,
    batch: int,
    loss: Loss = cross_entropy,
    penalty: Penalty | None = None,
    dynamics: Dynamics | None = None,
    test: Sequence[Tensor] | None = None,
    valid_batch: int | None = None,
) -> Problem:
    """A problem that trains the module on batches of `train`, with the loss on `valid` as its outer loss.

    module: its first weights are those that reset_parameters draws under each seed. Or a function that makes one,
    called under each seed: needed where a module has parameters and no reset_parameters.
    train, valid, test: inputs and then targets, (inputs, ..., targets), a row for each example. The module is called
    with all but the last. hypers.data [N, ...] takes the place of the first input, and hypers.labels [N, C],
    as logits, that of the targets.
    loss: of outputs and targets. penalty: added to the inner loss, may read h.other; log_l2 needs none.
    valid_batch: rows of `valid` in the outer loss, drawn by the seed; by default all.
    scores: loss on each set, and the share of errors where targets are classes.

    Raises ValueError for a module that is no function of its weights and input, with the remedy.
    """
    made = module if isinstance(module, nn.Module) else _seeded(module, 0)
    _refuse(made, isinstance(module, nn.Module))
    sets = {"train": train, "valid": valid} | ({"test": test} if test is not None else {})
    for name, examples in sets.items():
        _check_rows(name, examples)
    layout, N, device = _layout(made), len(train[0]), train[0].device
    learner = _without_dropout(copy.deepcopy(made))
    judge = copy.deepcopy(made).eval()
    drops = [one for one in learner.modules() if isinstance(one, _Masked)]
    rows, shapes = Batches(N, batch), _mask_shapes(learner, drops, [part[:batch] for part in train[:-1]])

    def init(seed: int) -> Tensor:
        fresh = _redrawn(module, seed) if isinstance(module, nn.Module) else _seeded(module, seed)
        named = dict(fresh.named_parameters())
        return torch.cat([named[name].detach().flatten() for name in layout.groups]).to(device)

    def some(t: int, seed: int) -> tuple[Tensor, ...]:
        at = rows(t, seed).to(device)
        draws = generator_at(seed, t, _MASKS)
        masks = [drop.mask(shape, draws).to(device) for drop, shape in zip(drops, shapes, strict=True)]
        return at, *(part[at] for part in train), *masks

    def inner_loss(x: Tensor, h: Hypers, batch: tuple[Tensor, ...]) -> Tensor:
        at, *inputs = batch[: 1 + len(train)]
        targets = inputs.pop() if h.labels is None else h.labels[at].softmax(-1)
        inputs = inputs[: len(train) - 1]
        if h.data is not None:
            inputs[0] = h.data[at]
        named = layout.named(x)
        for drop, mask in zip(drops, batch[1 + len(train) :], strict=True):
            drop.now = mask
        try:
            value = loss(_call(learner, named, inputs), targets)
        finally:
            for drop in drops:
                drop.now = None
        return value if penalty is None else value + penalty(named, h)

    def outer_loss(x: Tensor, h: Hypers, batch: tuple[Tensor, ...] | None = None) -> Tensor:
        *inputs, targets = [_as(part, x) for part in valid] if batch is None else batch
        return loss(_call(judge, layout.named(x), inputs), targets)

    def outer_batch(seed: int) -> tuple[Tensor, ...]:
        order = torch.randperm(len(valid[0]), generator=generator_at(seed, 0, _VALID))
        return tuple(part[order[:valid_batch].to(device)] for part in valid)

    def scores(x: Tensor) -> dict[str, float]:
        found: dict[str, float] = {}
        with torch.no_grad():
            for name, (*inputs, targets) in sets.items():
                z = _call(judge, layout.named(x), [_as(part, x) for part in inputs])
                found[f"loss/{name}"] = loss(z, _as(targets, x)).item()
                if not targets.is_floating_point() and z.dim() == targets.dim() + 1:
                    found[f"error/{name}"] = (z.argmax(1) != targets).double().mean().item()
        return found

    return Problem(
        layout, steps, init, inner_loss, outer_loss, some, dynamics or HeavyBall(), scores,
        outer_batch if valid_batch is not None else None, {"data": tuple(train[0].shape)},
    )  # fmt: skip


class _Masked(nn.Module):
    """In a dropout's place: multiplies by the mask that it is given for the call, and passes on without one."""

    def __init__(self, p: float, channels: bool) -> None:
        super().__init__()
        self.p, self.channels = p, channels
        self.now: Tensor | None = None
        self.met: list[tuple[int, ...]] = []  # shapes, while `_mask_shapes` looks

    def forward(self, x: Tensor) -> Tensor:
        if self.now is not None:
            return x * self.now
        self.met.append(tuple(x.shape))
        return x

    def mask(self, shape: tuple[int, ...], draws: torch.Generator) -> Tensor:
        if self.channels:  # a whole channel at a time, [B, C, 1, ...]
            shape = (*shape[:2], *[1] * (len(shape) - 2))
        return (torch.rand(shape, generator=draws) >= self.p) / max(1 - self.p, 1e-12)


def _call(module: nn.Module, named: dict[str, Tensor], inputs: Sequence[Tensor]) -> Tensor:
    like = next(iter(named.values()))
    rest = [*module.named_buffers(), *((n, p) for n, p in module.named_parameters() if n not in named)]
    return functional_call(module, named | {name: _as(one, like) for name, one in rest}, tuple(inputs))


def _as(value: Tensor, like: Tensor) -> Tensor:
    """In the precision of the weights, where it is a real number at all."""
    value = value.detach()
    return value.to(like.dtype) if value.is_floating_point() else value


def _layout(module: nn.Module) -> Layout:
    """A piece for each trainable parameter, a layer for each module that owns some."""
    owners = dict(module.named_modules())
    layers: dict[str, int] = {}
    pieces = []
    for name, p in module.named_parameters():
        if p.requires_grad:
            owner, _, _ = name.rpartition(".")
            axis = 1 if isinstance(owners[owner], OUT_SECOND) and p.dim() > 1 else 0
            pieces.append(Piece(name, tuple(p.shape), layers.setdefault(owner, len(layers)), axis))
    if not pieces:
        raise ValueError("of_module: the module has no trainable parameters; there is nothing to train")
    return Layout(tuple(pieces))


# ── the first weights ──


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        made = make()
    if not isinstance(made, nn.Module):
        raise ValueError(
            f"of_module: module() gave a {type(made).__name__}; give a Module, or a function of one"
        )
    return made


def _redrawn(module: nn.Module, seed: int) -> nn.Module:
    def make() -> nn.Module:
        fresh = copy.deepcopy(module).cpu()  # one stream of random numbers, whatever the device
        for _, one in fresh.named_modules():
            if (reset := _reset(one)) is not None:
                reset()
        return fresh

    return _seeded(make, seed)


def _reset(module: nn.Module) -> Callable[[], None] | None:
    return getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)


# ── dropout ──


def _without_dropout(module: nn.Module) -> nn.Module:
    made: dict[nn.Module, _Masked] = {}  # one used in two places stays one, and is refused then
    for name, one in list(module.named_modules(remove_duplicate=False)):
        if isinstance(one, _DropoutNd) and name and one.training:
            parent, _, child = name.rpartition(".")
            masked = made.setdefault(one, _Masked(one.p, isinstance(one, CHANNELS)))
            setattr(module.get_submodule(parent), child, masked)
    return module


def _mask_shapes(module: nn.Module, drops: list[_Masked], inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
    """What each dropout is given in a batch, seen in one call."""
    if not drops:
        return []
    with torch.no_grad():
        module(*inputs)
    for drop in drops:
        if len(drop.met) != 1:
            raise ValueError(
                f"of_module: a Dropout is used {len(drop.met)} times in one call; give each place one of its own"
            )
    return [drop.met[0] for drop in drops]


# ── refusals ──


def _refuse(module: nn.Module, redraw: bool) -> None:
    for name, one in module.named_modules():
        if wrong := _wrong(one, redraw):
            raise ValueError(f"of_module: {name or 'the module'} ({type(one).__name__}): {wrong}")


def _wrong(module: nn.Module, redraw: bool) -> str | None:
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in module.parameters(recurse=False)):
        return "its parameters have no shape yet; call the module once before"
    if isinstance(module, _NormBase) and module.track_running_stats and module.training:
        return "its running statistics are state beside the weights; give track_running_stats=False"
    if isinstance(module, nn.AlphaDropout | nn.FeatureAlphaDropout):
        return "its mask can't be drawn ahead; use Dropout"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        if module.max_norm is not None:
            return "max_norm changes weights while they are read; leave it out"
        if module.sparse:
            return "sparse gradients have no second derivative; give sparse=False"
    own = [name for name, p in module.named_parameters(recurse=False) if p.requires_grad]
    if redraw and own and _reset(module) is None:
        return (
            f"has the parameter {own[0]} and no reset_parameters to draw it anew for each seed; write one, or "
            "give a function that makes the module, as of_module(lambda: Net(), ...)"
        )
    return None


def _check_rows(name: str, some: Sequence[Tensor]) -> None:
    counts = [len(part) for part in _tensors(name, some)]
    if len(counts) < 2 or len(set(counts)) > 1:
        raise ValueError(
            f"{name}: has {' and '.join(map(str, counts))} rows; give (inputs, targets) with a row for each example"
        )


def _tensors(name: str, some: Sequence[Tensor]) -> Iterator[Tensor]:
    for part in some if not isinstance(some, Tensor) else [some]:
        if not isinstance(part, Tensor):
            raise ValueError(f"{name}: holds a {type(part).__name__}; give tensors, as (inputs, targets)")
        yield part
