"""A torch.nn.Module as a problem: right for what it may hold, refused with a sentence for what it may not."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from meta import Hypers, constant, hypergradient, of_module
from meta.dynamics import HeavyBall

DRAWS = torch.Generator().manual_seed(0)
X, Y = torch.randn(60, 4, generator=DRAWS), torch.arange(60) % 3
WORDS = torch.randint(0, 7, (60, 5), generator=DRAWS)
TRAIN, VALID = (X[:40], Y[:40]), (X[40:], Y[40:])
HOW = {"steps": 8, "batch": 8, "dynamics": HeavyBall(0.3, 0.8)}
EXACT = ("unroll", "tape", "checkpoint", "replay", "reversible", "forward")


def agree(problem, hypers, methods=EXACT, rtol=1e-7, **options):
    """All methods agree, runs side by side and lone ones, and a finite difference of the value along a direction."""
    options = {"precision": "float64", "seeds": (0, 1)} | options
    found = {(m, chunk): hypergradient(problem, hypers, m, chunk_size=chunk, **options)
             for m in methods for chunk in (1, 2)}  # fmt: skip
    truth = found["unroll", 1].grads.parts()
    for one in found.values():
        for name, part in one.grads.parts().items():
            torch.testing.assert_close(part, truth[name], rtol=rtol, atol=rtol * float(truth[name].norm()))
    draws = torch.Generator().manual_seed(1)
    along = Hypers.of({n: torch.randn(p.shape, generator=draws).double() for n, p in hypers.parts().items()})
    h, base = 1e-5, Hypers.of({n: p.double() for n, p in hypers.parts().items()})
    up, down = (hypergradient(problem, base + s * along, "tape", **options).value for s in (h, -h))
    slope = found["unroll", 1].grads.dot(along)
    assert slope != 0
    torch.testing.assert_close((up - down) / (2 * h), slope, rtol=1e-4, atol=1e-8)


def penalties(problem):
    return Hypers(log_l2=torch.full((problem.layout.P,), -3.0))


def mlp(*middle):
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), *middle, nn.Linear(6, 3))


def test_names_layers_and_units_are_those_of_the_module():
    problem = of_module(mlp(), TRAIN, VALID, **HOW)
    assert problem.layout.groups == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [piece.layer for piece in problem.layout.pieces] == [0, 0, 1, 1]
    assert problem.layout.granularities == {51: "weight", 9: "unit", 2: "layer", 1: "one"}
    named = problem.layout.named(problem.layout.penalties(torch.arange(9.0)))
    assert named["0.weight"][:, 0].tolist() == named["0.bias"].tolist() == [0, 1, 2, 3, 4, 5]
    agree(problem, penalties(problem))


def test_first_weights_are_those_of_torch_under_each_seed():
    problem = of_module(mlp(), TRAIN, VALID, **HOW)
    by_function = of_module(mlp, TRAIN, VALID, **HOW)
    state = torch.get_rng_state()
    for seed in (0, 5):
        torch.manual_seed(seed)
        wanted = nn.utils.parameters_to_vector(mlp().parameters()).detach()
        assert torch.equal(problem.init(seed), wanted) and torch.equal(by_function.init(seed), wanted)
    torch.set_rng_state(state)
    problem.init(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_training_is_that_of_the_module_by_torch():
    """Plain SGD, as torch.optim does it, on the same batches."""
    module = mlp()
    problem = of_module(module, TRAIN, VALID, steps=5, batch=8, dynamics=HeavyBall(0.2, 0.5))
    found = hypergradient(problem, penalties(problem), "tape", fixed=None)
    torch.manual_seed(0)
    twin = mlp()
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.2, momentum=0.5, dampening=0.5)
    for p in twin.parameters():
        optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    for t in range(5):
        rows = problem.batch(t, 0)[0]
        optimizer.zero_grad()
        decay = 0.5 * torch.tensor(-3.0).exp() * sum(p.square().sum() for p in twin.parameters())
        (cross_entropy(twin(X[rows]), Y[rows]) + decay).backward()
        optimizer.step()
    torch.testing.assert_close(found.weights[0], nn.utils.parameters_to_vector(twin.parameters()).detach())
    torch.testing.assert_close(found.value, cross_entropy(twin(X[40:]), Y[40:]).detach())


@pytest.mark.parametrize("middle", [
    [nn.Dropout(0.4)], [nn.Dropout(0.4), nn.Dropout(0.2)], [nn.LayerNorm(6)],
    [nn.BatchNorm1d(6, track_running_stats=False)], [nn.BatchNorm1d(6).eval()],
])  # fmt: skip
def test_what_stands_in_the_middle_is_right(middle):
    problem = of_module(mlp(*middle), TRAIN, VALID, **HOW)
    agree(problem, penalties(problem))


def test_dropout_drops_in_training_and_not_in_the_outer_loss():
    problem = of_module(mlp(nn.Dropout(0.9)), TRAIN, VALID, **HOW)
    dry = of_module(mlp(nn.Dropout(0.9).eval()), TRAIN, VALID, **HOW)
    x, h = problem.init(0), Hypers()
    losses = {float(problem.inner_loss(x, h, problem.batch(0, seed)[:3] + problem.batch(t, seed)[3:]))
              for seed in (0,) for t in range(4)}  # fmt: skip
    assert len(losses) == 4  # another mask at each step
    assert problem.outer_loss(x, h) == dry.outer_loss(x, h)
    mask = of_module(
        mlp(nn.Dropout(0.25)), (X.repeat(50, 1), Y.repeat(50)), VALID, steps=1, batch=3000
    ).batch(0, 0)[-1]
    assert mask.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert mask.mean() == pytest.approx(1, abs=0.02)


def cnn():
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Dropout2d(0.2), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(36, 3),
    )  # fmt: skip


def test_a_convnet_with_a_rate_for_each_tensor_and_a_penalty_for_each_filter():
    images = torch.randn(60, 64, generator=torch.Generator().manual_seed(2))
    problem = of_module(cnn(), (images[:40], Y[:40]), (images[40:], Y[40:]), **HOW)
    assert problem.layout.granularities[7] == "unit"
    named = problem.layout.named(problem.layout.penalties(torch.arange(7.0)))
    assert named["1.weight"][:, 0, 1, 2].tolist() == [0, 1, 2, 3]
    hypers = Hypers(log_lr=torch.full((1, 4), -1.5), log_l2=torch.full((7,), -4.0))
    agree(problem, hypers, ties={"log_lr": constant(8)})


class Tied(nn.Module):
    """A bag of words whose output layer is its embedding."""

    def __init__(self):
        super().__init__()
        self.words, self.scale = nn.Embedding(7, 4), nn.Linear(4, 4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.words.weight

    def forward(self, words):
        return self.out(torch.tanh(self.scale(self.words(words).mean(1))))


def test_an_embedding_and_tied_weights_are_one_piece():
    problem = of_module(Tied(), (WORDS[:40], WORDS[:40, 0]), (WORDS[40:], WORDS[40:, 0]), **HOW)
    assert problem.layout.groups == ["words.weight", "scale.weight", "scale.bias"]
    agree(problem, penalties(problem))


def test_frozen_parameters_and_buffers_stay_and_follow_the_precision():
    module = mlp()
    module[0].requires_grad_(False)
    module.register_buffer("unused", torch.ones(2))
    problem = of_module(module, TRAIN, VALID, **HOW)
    assert problem.layout.groups == ["2.weight", "2.bias"]
    agree(problem, penalties(problem))


def test_own_loss_own_regularisation_and_learned_data():
    targets = torch.randn(60, 3, generator=torch.Generator().manual_seed(3))

    def sparse(named, h):
        return h.other["l1"].exp() * sum(
            ((p * p) + 1e-3).sqrt().sum() for n, p in named.items() if "weight" in n
        )

    problem = of_module(
        mlp(), (X[:40], targets[:40]), (X[40:], targets[40:]), loss=mse_loss, penalty=sparse, **HOW
    )
    # torch 2.13 has no forward derivative of mse_loss's backward ("ZeroTensors are immutable").
    agree(problem, Hypers(other={"l1": torch.tensor(-4.0)}, data=X[:40].clone()), EXACT[:-1])
    assert "error/valid" not in problem.scores(problem.init(0))
    soft = of_module(mlp(), TRAIN, VALID, test=VALID, **HOW)
    agree(soft, Hypers(labels=torch.zeros(40, 3)))
    assert set(soft.scores(soft.init(0))) == {
        f"{k}/{s}" for k in ("loss", "error") for s in ("train", "valid", "test")
    }
    with pytest.raises(ValueError, match=r"hypers\.data: has shape \[10, 4\]; this problem needs \[40, 4\]"):
        hypergradient(soft, Hypers(data=torch.zeros(10, 4)))


def test_a_minibatched_outer_loss_is_one_of_its_seed_and_right_on_average():
    problem = of_module(mlp(), TRAIN, VALID, valid_batch=5, **HOW)
    agree(problem, penalties(problem))
    x, h = problem.init(0), Hypers()
    each = torch.stack([problem.outer_loss(x, h, problem.outer_batch(seed)) for seed in range(400)])
    whole = problem.outer_loss(x, h)
    assert each.std() > 0 and abs(each.mean() - whole) < 4 * each.std() / 20


def test_two_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, one, other):
            return self.a(one) + self.b(other).tanh()

    problem = of_module(Sum(), (X[:40], X[:40].flip(1), Y[:40]), (X[40:], X[40:].flip(1), Y[40:]), **HOW)
    agree(problem, penalties(problem))


class Own:
    """Nesterov's step, without an adjoint written out."""

    width = 2

    def rates(self, parts, steps, groups, like):
        return HeavyBall(0.2, 0.7, denominator=None).rates(parts, steps, groups, like)

    def start(self, x):
        return x, torch.zeros_like(x)

    def step(self, state, g, rates):
        (x, v), (alpha, beta) = state, rates
        v_ = beta * v - alpha * g
        return x + (1 + beta) * v_ - beta * v, v_


def test_an_optimiser_of_ones_own_needs_no_adjoint():
    problem = of_module(mlp(), TRAIN, VALID, steps=8, batch=8, dynamics=Own())
    hypers = Hypers(log_lr=torch.full((8, 4), -2.0), logit_momentum=torch.full((8, 4), 1.0))
    agree(problem, hypers, methods=("unroll", "tape", "checkpoint", "forward", "truncated")[:4])
    with pytest.raises(ValueError, match=r"reversible: can't undo a step of Own; .*method tape"):
        hypergradient(problem, hypers, "reversible")


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(x * self.scale)


def test_a_parameter_that_cannot_be_drawn_anew_asks_for_a_function():
    with pytest.raises(
        ValueError, match=r"\(Bare\): has the parameter scale and no reset_parameters.*lambda"
    ):
        of_module(Bare(), TRAIN, VALID, **HOW)
    agree(problem := of_module(Bare, TRAIN, VALID, **HOW), penalties(problem))


SHARED = nn.Dropout(0.1)
REFUSED = {
    "running statistics": (mlp(nn.BatchNorm1d(6)), r"2 \(BatchNorm1d\): .*give track_running_stats=False"),
    "alpha": (mlp(nn.AlphaDropout(0.1)), r"2 \(AlphaDropout\): .*use Dropout"),
    "max_norm": (nn.Embedding(7, 3, max_norm=1), r"the module \(Embedding\): max_norm changes weights"),
    "sparse": (nn.Embedding(7, 3, sparse=True), r"the module \(Embedding\): sparse gradients"),
    "lazy": (nn.LazyLinear(3), r"the module \(LazyLinear\): .*call the module once before"),
    "nothing": (nn.Tanh(), r"the module has no trainable parameters"),
    "shared": (nn.Sequential(nn.Linear(4, 4), SHARED, SHARED, nn.Linear(4, 3)), r"a Dropout is used 2 times"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_function_of_its_weights_is_refused(name):
    module, said = REFUSED[name]
    with pytest.raises(ValueError, match=f"of_module: {said}"):
        of_module(module, TRAIN, VALID, **HOW)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ((X[:40], Y[:30]), r"train: has 40 and 30 rows; give \(inputs, targets\)"),
        (X, r"train: has 60 rows; give \(inputs, targets\)"),
        (([1, 2], Y), r"train: holds a list; give tensors"),
    ],
)
def test_data_that_does_not_fit(train, said):
    with pytest.raises(ValueError, match=said):
        of_module(mlp(), train, VALID, **HOW)


def test_the_module_is_left_as_it_was():
    module = mlp(nn.Dropout(0.5))
    before = {n: p.clone() for n, p in module.state_dict().items()}
    problem = of_module(module, TRAIN, VALID, **HOW)
    hypergradient(problem, penalties(problem))
    assert module.training and isinstance(module[2], nn.Dropout)
    assert all(torch.equal(p, before[n]) for n, p in module.state_dict().items())


def test_what_a_module_draws_by_itself_is_still_seen():
    class Hidden(nn.Linear):
        def forward(self, x):
            return nn.functional.dropout(super().forward(x), 0.5, self.training)

    problem = of_module(Hidden(4, 3), TRAIN, VALID, **HOW)
    with pytest.raises(
        ValueError, match=r"inner_loss: is not pure: it draws from torch's global random numbers"
    ):
        hypergradient(problem, penalties(problem))
