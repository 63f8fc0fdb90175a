"""Samplers draw from the joint of a model whose conditionals are exact, and never touch what is given."""

import itertools
import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor, nn

from models.config import Config
from models.drawing.orders import Ancestral, Chunked, Gibbs, Median
from models.drawing.sampling import complete, passes, quantile
from models.network.model import CaptionModel
from models.noise import Noise

SIX = torch.tensor(
    [*itertools.product((0, 1), repeat=6)], dtype=torch.uint8
)  # [64, 6]: all pictures of 1 x 2


class Exact(nn.Module):
    """Pictures of 1 x 2 pixels with two levels, six variables in all, whose joint is known; no caption.

    Its answers are the conditionals of that joint, whatever is given, as an ideal CaptionModel's would be.
    """

    def __init__(self, joint: Tensor):
        super().__init__()
        self.joint = joint.double()  # [64]
        self.asked = 0  # histograms computed

    def read(self, tokens: Tensor) -> Tensor:
        return tokens

    def draw(self, images: Tensor, given: Tensor, caption: Tensor, at: Tensor | None = None) -> Tensor:
        assert at is not None and len(caption) == len(images)
        assert not images[~given].any(), "the sampler shows what a hole holds"
        x, known = images.flatten(1), given.flatten(1)  # [B, 6]
        fits = ((x[:, None] == SIX) | ~known[:, None]).all(2)  # [B, 64]
        weight = fits * self.joint  # [B, 64]
        ones = (weight @ SIX.double()) / weight.sum(1, keepdim=True)  # [B, 6]: P(x_v = 1 | known)
        logits = torch.stack([1 - ones, ones], -1).log().view(len(x), 3, 2, 2).transpose(1, 2)  # [B, P, 3, 2]
        self.asked += at.numel() * 3
        return logits.gather(1, at[..., None, None].expand(-1, -1, 3, 2)).float()


def correlated() -> Exact:
    """A joint that its marginals say little about: neighbours agree, and one picture is much likelier."""
    joint = torch.linspace(0.2, 1.0, 64) * torch.exp(1.5 * (SIX[:, 1:] == SIX[:, :-1]).sum(1))
    joint[37] += joint.sum() / 8
    return Exact(joint / joint.sum())


def holes(count: int, fill: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures of which nothing is given, and their empty captions."""
    images = torch.full((count, 3, 1, 2), fill, dtype=torch.uint8)
    return images, torch.zeros_like(images, dtype=torch.bool), torch.ones(count, 1, dtype=torch.int64)


def counts(images: Tensor) -> Tensor:
    """[64]: how often each picture came."""
    return torch.bincount((images.flatten(1).long() * 2 ** torch.arange(5, -1, -1)).sum(1), minlength=64)


def p_value(images: Tensor, joint: Tensor) -> float:
    """Of these pictures coming from `joint`."""
    return float(chisquare(counts(images), joint / joint.sum() * len(images)).pvalue)


@pytest.mark.parametrize("order", ["random", "greedy", "antigreedy"])
def test_ancestral_sampling_draws_from_the_joint_in_any_order(order):
    model = correlated()
    drawn = complete(model, *holes(20_000), Ancestral(order, per_channel=True))
    assert p_value(drawn, model.joint) > 0.01


def test_drawing_all_at_once_does_not():
    """The test above can fail: it sees at once that marginals are no joint."""
    model = correlated()
    assert p_value(complete(model, *holes(20_000), Chunked(passes=1, per_channel=True)), model.joint) < 1e-9


def test_what_is_given_is_conditioned_on():
    model = correlated()
    images, nothing, tokens = holes(20_000, fill=1)
    given_two = nothing.clone()
    given_two[:, :2, :, 0] = True
    drawn = complete(model, images, given_two, tokens, Ancestral(per_channel=True))
    fits = (SIX.view(64, 3, 1, 2)[:, :2, :, 0] == 1).flatten(1).all(1)  # [64]
    assert counts(drawn)[~fits].sum() == 0
    observed, expected = counts(drawn)[fits], model.joint[fits] / model.joint[fits].sum()
    assert chisquare(observed, expected * 20_000).pvalue > 0.01


def gibbs_distribution(joint: Tensor, how: Gibbs) -> Tensor:
    """[64]: what annealed block Gibbs draws exactly, from its transition matrices."""
    blocks = SIX.bool()  # [64, 6]: which of the variables are drawn again
    kernels = []
    for block in blocks:
        same = (SIX[:, None] == SIX)[..., ~block].all(-1)  # [64, 64]: of one's kept variables
        one = same * joint / (same * joint).sum(1, keepdim=True)  # [64, 64]: P(to | from kept)
        kernel = same.double()
        for v in block.nonzero()[:, 0]:  # each apart from the others, hence a product of marginals
            kernel = kernel * (one @ (SIX[:, v, None] == SIX[:, v]).double())
        kernels.append(kernel)
    each = torch.stack(kernels)  # [64, 64, 64]
    state = torch.zeros(64, dtype=torch.float64)
    state[0] = 1
    for n in range(how.passes):
        chance = how.chance(n) if n else 1.0
        weight = (chance ** blocks.sum(1)) * ((1 - chance) ** (~blocks).sum(1))  # [64]
        state = state @ torch.einsum("s,sij->ij", weight.double(), each)
    return state


def test_gibbs_draws_what_its_transitions_say():
    how = Gibbs(passes=12, most=0.9, least=0.2, per_channel=True)
    model = correlated()
    drawn = complete(model, *holes(20_000), how)
    exact = gibbs_distribution(model.joint, how)
    assert exact.sum() == pytest.approx(1)
    assert p_value(drawn, exact) > 0.01


def test_gibbs_converges_to_the_joint():
    """The more patient, the nearer; soon 2,000 samples can't be told from the joint."""
    model = correlated()
    off = [
        (gibbs_distribution(model.joint, Gibbs(n, least=least)) - model.joint).abs().sum().item() / 2
        for n, least in ((1, 0.5), (10, 0.2), (100, 0.05), (1000, 0.01), (4000, 0.002))
    ]
    assert off[0] > 0.5 and off[-1] < 0.01
    assert off == sorted(off, reverse=True)
    assert (
        p_value(complete(model, *holes(2000), Gibbs(100, least=0.05, per_channel=True)), model.joint) > 0.01
    )


def test_gibbs_draws_again_with_the_chance_and_not_its_complement():
    how = Gibbs(passes=20, most=0.9, least=0.1, eta=0.7, per_channel=True)
    assert how.chance(0) == 0.9
    assert how.chance(7) == pytest.approx(0.9 - 7 / 20 * 0.8 / 0.7)
    assert [how.chance(n) for n in (14, 19)] == pytest.approx([0.1, 0.1])
    images, nothing, tokens = holes(3000)
    share = [p.drawn.float().mean().item() for p in passes(correlated(), images, nothing, tokens, how)]
    assert share[0] == 1  # there was nothing to keep
    bound = 4 * math.sqrt(0.25 / 18_000)
    assert share[1:] == pytest.approx([how.chance(n) for n in range(1, 20)], abs=bound)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("order", ["random", "greedy", "antigreedy"])
def test_one_variable_in_each_chunk_is_ancestral_sampling(order, per_channel):
    images, nothing, tokens = holes(50)
    for passes_ in (6, 1000):
        one = complete(
            correlated(), images, nothing, tokens, Chunked(passes_, order, per_channel=per_channel), seed=3
        )
        assert one.equal(
            complete(correlated(), images, nothing, tokens, Ancestral(order, per_channel=per_channel), seed=3)
        )


def test_greedy_takes_the_most_certain_variable_first():
    """Independent variables, the more certain the further to the left: everybody's order is known."""
    ones = torch.tensor([0.99, 0.95, 0.9, 0.8, 0.7, 0.6])
    model = Exact(torch.where(SIX.bool(), ones, 1 - ones).prod(1))
    images, nothing, tokens = holes(5)
    for order, expected in (("greedy", range(6)), ("antigreedy", range(5, -1, -1))):
        drawn = [p.drawn for p in passes(model, images, nothing, tokens, Ancestral(order, per_channel=True))]
        taken = torch.stack([d.flatten(1).long().argmax(1) for d in drawn], 1)  # [5, 6]
        assert taken.tolist() == [[*expected]] * 5


def test_whole_pixels_are_drawn_at_once_unless_channels_are_apart():
    images, nothing, tokens = holes(300)
    nothing[:, 0, 0, 1] = True  # of the right pixel, red is given
    for how in (Ancestral(), Ancestral("greedy"), Chunked(2), Chunked(9, "antigreedy"), Gibbs(1)):
        pixels = sum(p.drawn.any(1).long() for p in passes(correlated(), images, nothing, tokens, how))
        assert (pixels == 1).all()  # each in one pass
    one = next(passes(correlated(), images, nothing, tokens, Ancestral())).drawn.flatten(1).sum(1)
    assert {*one.tolist()} == {2, 3}


def test_the_channels_of_a_whole_pixel_share_their_luck():
    """Each has its own histogram, uniform here; drawn apart, a pixel is as often magenta as grey."""
    images, tokens = torch.zeros(500, 3, 2, 2).byte(), torch.ones(500, 1).long()
    nothing = torch.zeros_like(images, dtype=torch.bool)
    for how in (Chunked(2), Gibbs(2, most=1.0, least=1.0)):
        drawn = complete(Flat(), images, nothing, tokens, how)
        assert drawn.equal(drawn[:, :1].expand_as(drawn))
        assert chisquare(torch.bincount(drawn[:, 0].flatten().long() // 16, minlength=16)).pvalue > 0.01
    drawn = complete(Flat(), images, nothing, tokens, Chunked(2, per_channel=True)).float()
    corner = torch.corrcoef(drawn.transpose(0, 1).flatten(1))
    assert (corner - torch.eye(3)).abs().max() < 4 / math.sqrt(2000)


def test_random_orders_are_random_and_differ_between_images():
    images, nothing, tokens = holes(6000)
    first = next(
        passes(correlated(), images, nothing, tokens, Ancestral(per_channel=True))
    ).drawn  # [B, 3, 1, 2]
    assert (first.flatten(1).sum(1) == 1).all()
    assert chisquare(first.flatten(1).sum(0)).pvalue > 0.01


def test_the_cosine_draws_little_at_first():
    images, tokens = torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.ones(2, 1).long()
    nothing = torch.zeros_like(images, dtype=torch.bool)
    nothing[1, :, 2:] = True  # 96 of 768 are asked
    drawn = [
        p.drawn.flatten(1).sum(1)
        for p in passes(Flat(), images, nothing, tokens, Chunked(8, per_channel=True))
    ]
    hidden = 768 - torch.stack(drawn)[:, 0].cumsum(0)
    assert hidden.tolist() == [int(768 * math.cos(math.pi / 16 * n)) for n in range(1, 8)] + [0]
    assert torch.stack(drawn).sum(0).tolist() == [768, 96]
    assert (torch.stack(drawn) > 0).all()


class Flat(nn.Module):
    """Certain of nothing: every level is as likely; or of `level` with that log odds."""

    def __init__(self, level: int = 0, odds: float = 0.0):
        super().__init__()
        self.logits = torch.zeros(256)
        self.logits[level] = odds

    def read(self, tokens: Tensor) -> Tensor:
        return tokens

    def draw(self, images: Tensor, given: Tensor, caption: Tensor, at: Tensor) -> Tensor:
        return self.logits.expand(*at.shape, 3, 256)


WAYS = st.one_of(
    st.just(Median()),
    st.builds(Ancestral, st.sampled_from(["random", "greedy", "antigreedy"]), per_channel=st.booleans()),
    st.builds(
        Chunked,
        st.integers(1, 40),
        st.sampled_from(["random", "greedy", "antigreedy"]),
        per_channel=st.booleans(),
    ),
    st.builds(Gibbs, st.integers(1, 5), per_channel=st.booleans()),
)
KNOWN = st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1))


@given(how=WAYS, known=KNOWN, shared=st.booleans(), seed=st.integers(0, 2**31), side=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_given_stays_and_all_that_is_asked_is_drawn(how, known, shared, seed, side):
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (3, 3, side, side + 1), generator=rng, dtype=torch.uint8)
    coins = torch.rand(3, 1 if shared else 3, side, side + 1, generator=rng).expand(images.shape)
    masks = coins < known
    masks[0] = known > 0.5  # beside others, an image of which everything or nothing is given
    before = images.clone(), masks.clone()
    done = [*passes(Flat(77, 3.0), images, masks, torch.ones(3, 2).long(), how, seed)]
    assert images.equal(before[0]) and masks.equal(before[1])
    drawn = torch.zeros_like(masks)
    for step in done:
        assert step.images[masks].equal(images[masks])
        assert not (step.drawn & masks).any()
        drawn |= step.drawn
    assert drawn.equal(~masks)
    assert [p.number for p in done] == [*range(1, len(done) + 1)] and {p.of for p in done} <= {len(done)}
    completed = complete(Flat(77, 3.0), images, masks, torch.ones(3, 2).long(), how, seed)
    assert completed.dtype == torch.uint8 and completed[masks].equal(images[masks])
    if done:
        assert completed.equal(done[-1].images)


# A subnormal logit is zero to a processor that flushes them, so it may tie with the likeliest.
ordinary = st.floats(-30, 30, width=32, allow_subnormal=False)


@example(logits=[-(2.0**-126), 0.0], luck=0)
@given(logits=st.lists(ordinary, min_size=2, max_size=8), luck=st.integers(0, 2**24 - 1))
def test_no_temperature_takes_the_likeliest(logits, luck):
    z, luck_ = torch.tensor([logits]), torch.tensor([luck * 2**-24])
    assert z[0, quantile(z, luck_, 0.0)[0]] == z.max()
    assert z[0, quantile(z, luck_, 1e-6)[0]] > z.max() - 1e-3


@given(p=st.lists(st.integers(0, 5), min_size=2, max_size=300).filter(any), luck=st.integers(0, 2**24 - 1))
def test_the_quantile_is_the_first_level_to_exceed_its_luck(p, luck):
    p_ = torch.tensor(p, dtype=torch.float64)
    level = int(quantile(p_.log()[None].float(), torch.tensor([luck * 2**-24]))[0])
    total = p_.cumsum(0) / p_.sum()
    assert p[level] > 0  # also at the very ends of luck
    assert total[level] >= luck * 2**-24 - 1e-5
    assert level == 0 or total[level - 1] <= luck * 2**-24 + 1e-5


def test_temperature_is_a_power_of_the_probability():
    """p^(1/T): heat flattens, cold sharpens."""
    odds, count = math.log(3.0), 30_000
    images, tokens = torch.zeros(count, 3, 1, 1).byte(), torch.ones(count, 1).long()
    nothing = torch.zeros_like(images, dtype=torch.bool)

    class Coin(Flat):
        def draw(self, images: Tensor, given: Tensor, caption: Tensor, at: Tensor) -> Tensor:
            return torch.tensor([0.0, odds]).expand(*at.shape, 3, 2)

    for temperature in (0.5, 1.0, 2.0):
        drawn = complete(
            Coin(), images, nothing, tokens, Chunked(1, temperature=temperature, per_channel=True)
        )
        expected = 3 ** (1 / temperature) / (1 + 3 ** (1 / temperature))
        assert drawn.float().mean().item() == pytest.approx(expected, abs=4 * math.sqrt(0.25 / (3 * count)))


def test_the_median_is_the_middle_of_the_histogram():
    class Skewed(Flat):
        def draw(self, images: Tensor, given: Tensor, caption: Tensor, at: Tensor) -> Tensor:
            return torch.tensor([0.1, 0.35, 0.15, 0.4]).log().expand(*at.shape, 3, 4)

    images, nothing, tokens = holes(2)
    assert (complete(Skewed(), images, nothing, tokens) == 2).all()


def test_the_seed_is_all_that_chance_depends_on():
    images, nothing, tokens = holes(200)
    for how in (Ancestral(), Ancestral("greedy"), Chunked(3), Gibbs(5)):
        one = complete(correlated(), images, nothing, tokens, how, seed=1)
        torch.manual_seed(5)
        assert one.equal(complete(correlated(), images, nothing, tokens, how, seed=1))
        assert not one.equal(complete(correlated(), images, nothing, tokens, how, seed=2))


def test_a_batch_in_parts_is_the_same_batch(monkeypatch):
    images, nothing, tokens = holes(11)
    nothing[3] = True
    whole = [complete(correlated(), images, nothing, tokens, how) for how in (Ancestral("greedy"), Gibbs(4))]
    monkeypatch.setattr("models.drawing.sampling.PIXELS", 5)  # two images a part
    parts = [complete(correlated(), images, nothing, tokens, how) for how in (Ancestral("greedy"), Gibbs(4))]
    assert all(a.equal(b) for a, b in zip(whole, parts, strict=True))


def test_only_the_pixels_that_are_drawn_are_asked_for():
    model = correlated()
    images, nothing, tokens = holes(4)
    complete(model, images, nothing, tokens, Ancestral(per_channel=True))
    assert model.asked == 6 * 4 * 3  # passes, images, channels of one pixel
    complete(model, images, nothing, tokens, Ancestral())
    assert model.asked == (6 + 2) * 4 * 3


def test_progress_is_told_after_every_pass():
    told = []
    complete(correlated(), *holes(2), Gibbs(3), progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_model_that_is_not_a_number_still_fills_every_hole():
    model = Flat(0, math.nan)
    images, nothing, tokens = holes(2)
    nothing[1, 0] = True
    for order in ("random", "greedy", "antigreedy"):
        drawn = sum(p.drawn.long() for p in passes(model, images, nothing, tokens, Chunked(3, order)))
        assert drawn.equal((~nothing).long())


def test_no_gradient_is_kept():
    model = Flat()
    model.logits.requires_grad_()
    assert not any(p.images.requires_grad for p in passes(model, *holes(1), Gibbs(2)))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Ancestral("gready"), "order = 'gready' is none; choose random, greedy, antigreedy"),
        (lambda: Chunked(0), "passes = 0 is not a number of passes; give a whole number from 1"),
        (lambda: Chunked(2.5), "passes = 2.5 is not a number"),
        (lambda: Chunked(temperature=-1.0), "temperature = -1.0 is out of range"),
        (lambda: Gibbs(temperature=math.nan), "temperature = nan is out of range"),
        (lambda: Gibbs(least=0.9, most=0.1), "least = 0.9 and most = 0.1"),
        (lambda: Gibbs(eta=0.0), "eta = 0.0 is not a share"),
    ],
)
def test_impossible_samplers_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_tensors_that_do_not_fit_are_refused():
    images, nothing, tokens = holes(2)
    for wrong in (
        (images.float(), nothing, tokens),
        (images, nothing.byte(), tokens),
        (images, nothing[:, :1], tokens),
        (images, nothing, tokens[:1]),
        (images[:, :1], nothing[:, :1], tokens),
    ):
        with pytest.raises(ValueError, match="give"):
            complete(correlated(), *wrong)


@pytest.mark.parametrize("how", [Median(), Ancestral(), Ancestral("greedy"), Chunked(4), Gibbs(3)])
def test_the_caption_model_is_sampled(how):
    torch.manual_seed(0)
    model = CaptionModel(Config.of({"size": 16, "convnet.depth": 8, "convnet.profundity": 2}), 10)
    images = Noise.at(0, 0).below("images", 256, 2, 3, 16, 16).byte()
    masks = torch.ones(2, 1, 16, 16, dtype=torch.bool).expand_as(images).clone()
    masks[0, :, 4:8, 4:8] = False
    tokens = torch.tensor([[3, 4, 5], [6, 2, 0]])
    drawn = complete(model, images, masks, tokens, how)
    assert drawn[masks].equal(images[masks])
    hidden = images.masked_fill(~masks, 9)
    assert drawn.equal(complete(model, hidden, masks, tokens, how))
    assert len(drawn[~masks].unique()) > (1 if isinstance(how, Median) else 20)
