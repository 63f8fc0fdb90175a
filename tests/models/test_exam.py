"""The exam: the same questions for every model, always asking for something, and scored as arithmetic says."""

import dataclasses
import hashlib
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models import data
from models.config import Config
from models.network.model import LEVELS, pixels
from models.noise import Noise
from models.task.asking import choose
from models.task.exam import CURVE, Exam, answer


@pytest.fixture(scope="module")
def shapes():
    return data.load(Config.of({"data": "shapes", "size": 16, "valid_images": 70}), "cpu", lambda _: None)


@pytest.fixture(scope="module")
def exam(shapes):
    return Exam.draw(shapes.train, shapes.valid, seed=0)


class Knowing(torch.nn.Module):
    """Stands in for a model: gives the true level of every pixel a logit of `sure`, the others 0."""

    def __init__(self, images, sure):
        super().__init__()
        self.images, self.sure = images, sure

    def forward(self, images, given, tokens, at):
        truth = pixels(images, at).long()  # [B, K, 3]
        return torch.nn.functional.one_hot(truth, LEVELS).float() * self.sure


def test_the_masks_never_change(exam):
    """They are what makes the losses of two studies comparable: a change here is a change of the task."""
    bits = exam.curve.given.numpy().tobytes() + exam.curve.at.numpy().tobytes()
    assert hashlib.sha256(bits).hexdigest()[:16] == DIGEST


DIGEST = "e56c86795b6d5abd"


def test_the_masks_are_left_for_others(exam, tmp_path):
    exam.save(tmp_path / "exam.npz")
    with np.load(tmp_path / "exam.npz") as kept:
        assert np.array_equal(kept["curve_given"], exam.curve.given.numpy())
        assert np.array_equal(kept["centre_at"], exam.centre.at.numpy())


def test_every_image_is_asked_something_and_as_much_is_known_as_its_p_says(exam):
    for questions in (exam.curve, exam.centre):
        assert questions.asked.flatten(1).any(1).all()
        hidden = pixels(~questions.given, questions.at)
        assert (questions.asked <= hidden).all(), "what is given is never asked"
    known = exam.curve.given.float().flatten(1).mean(1)  # [V]
    means = [known[i :: len(CURVE)].mean().item() for i in range(len(CURVE))]
    assert means == sorted(means)
    for p, mean in zip(CURVE[1:-1], means[1:-1], strict=True):
        assert abs(p - mean) < 0.2  # ten images each


def test_training_images_take_the_same_exam_under_the_same_masks(exam, shapes):
    assert torch.equal(exam.learned.given, exam.curve.given) and torch.equal(exam.learned.at, exam.curve.at)
    first = exam.learned.images[1], exam.learned_tokens[1]
    assert torch.equal(first[0], shapes.train.images[5400 // 70]), "they are spread evenly over all"
    assert torch.equal(first[1], shapes.train.tokens[5400 // 70])
    few = dataclasses.replace(shapes.train, images=shapes.train.images[:3], first=shapes.train.first[:3])
    small = Exam.draw(few, shapes.valid, seed=0)
    assert (
        torch.equal(small.learned.images, few.images)
        and len(small.learned.at) == len(small.learned_tokens) == 3
    )
    assert torch.equal(small.learned.given, exam.curve.given[:3])


def test_the_centre_square_is_a_quarter_in_the_middle(exam):
    hidden = ~exam.centre.given  # [V, 3, 16, 16]
    assert hidden[:, :, 4:12, 4:12].all()
    assert hidden.sum() == hidden[:, :, 4:12, 4:12].sum()


def test_constant_answers_score_what_arithmetic_says(exam, shapes):
    levels = pixels(exam.curve.images, exam.curve.at).double()  # [V, K, 3]
    asked = exam.curve.asked
    j = torch.arange(LEVELS)
    uniform = (((j + 1) / LEVELS - (j >= levels[..., None]).double()) ** 2).sum(-1)  # [V, K, 3]
    each = torch.where(asked, uniform, 0).flatten(1).sum(1) / asked.flatten(1).sum(1)
    assert exam.uniform == pytest.approx(each.mean().item(), rel=1e-6)
    assert 0.3 * exam.uniform < exam.marginal < exam.uniform * 1.2


def test_a_model_that_knows_scores_nothing_and_one_that_does_not_scores_uniform(exam):
    knowing = answer(Knowing(exam.curve.images, 200.0), exam.curve, exam.tokens)  # type: ignore[arg-type]
    assert knowing.emd2 < 1e-6 and knowing.bits < 1e-6 and knowing.psnr > 80
    clueless = answer(Knowing(exam.curve.images, 0.0), exam.curve, exam.tokens)  # type: ignore[arg-type]
    assert clueless.emd2 == pytest.approx(exam.uniform, rel=1e-4)
    assert clueless.bits == pytest.approx(8)
    assert len(clueless.curve) == len(CURVE) and all(math.isfinite(loss) for loss in clueless.curve)


def test_captions_are_swapped_and_silenced(exam):
    assert not (exam.shuffled() == exam.tokens).all(1).all()
    assert torch.equal(exam.shuffled()[1:], exam.tokens[:-1])
    assert exam.empty().shape == (len(exam.tokens), 1) and (exam.empty() == 2).all()


def told(exam, tokens):
    return dataclasses.replace(exam, tokens=torch.tensor(tokens))


def test_a_shuffled_caption_is_always_another_one(exam):
    """Neighbours may have the same caption, and in small folders often do."""
    tokens = [[3, 4], [3, 4], [5, 6], [3, 4], [3, 4], [3, 4]]
    wrong = told(exam, tokens).shuffled()
    assert (wrong != torch.tensor(tokens)).any(1).all()
    assert {tuple(row) for row in wrong.tolist()} <= {tuple(row) for row in tokens}


@pytest.mark.parametrize("tokens", [[[3, 4]], [[3, 4], [3, 4], [3, 4]]])
def test_there_is_no_wrong_caption_where_all_are_the_same(exam, tokens):
    assert told(exam, tokens).shuffled() is None


@pytest.mark.parametrize("also_given", [False, True])
def test_pixels_are_chosen_without_repeats_and_asked_ones_first(also_given):
    given = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5
    given[0], given[1] = True, False
    at, asked = choose(given, 20, Noise.at(0, 1), also_given)
    assert at.shape == (6, 20) and asked.shape == (6, 20, 3)
    assert all(len(set(row.tolist())) == 20 for row in at)
    if also_given:
        assert asked.all()
        return
    assert torch.equal(asked, pixels(~given, at))
    assert not asked[0].any() and asked[1].all()
    something = (~given.all(1)).flatten(1).sum(1).clamp(max=20)  # [B] pixels with something to ask
    assert torch.equal(asked.any(-1).sum(1), something)


def test_a_step_s_pixels_are_an_unbiased_sample():
    """Over many draws every asked pixel comes up as often as the others."""
    given = torch.zeros(1, 3, 6, 6, dtype=torch.bool)
    given[..., :3] = True  # 18 of 36 are asked
    seen = torch.zeros(36)
    for step in range(1500):
        at, asked = choose(given, 6, Noise.at(0, step))
        seen[at[asked.any(-1)]] += 1
    asked = seen.view(6, 6)[:, 3:]
    assert seen.view(6, 6)[:, :3].sum() == 0
    assert asked.min() > 420 and asked.max() < 580  # 500 expected, standard deviation 18


def test_the_masks_are_on_the_device_of_the_images(monkeypatch):
    """One that stayed on the CPU ended every training on a GPU before its first step. "meta" stands for the GPU."""
    devices = []
    monkeypatch.setattr(
        "models.task.exam._questions", lambda images, given, *_: devices.append((images.device, given.device))
    )
    monkeypatch.setattr("models.task.exam._baselines", lambda *_: (0.0, 0.0))
    images = torch.empty(8, 3, 16, 16, dtype=torch.uint8, device="meta")
    tokens = torch.empty(8, 5, dtype=torch.int64, device="meta")

    class Away(SimpleNamespace):
        def __len__(self):
            return len(images)

    captioned = Away(images=images, one_each=lambda: (tokens, ()))
    exam = Exam.draw(captioned, captioned, seed=0)  # type: ignore[arg-type]
    assert devices == [(images.device, images.device)] * 3  # patches, the square, and training images
    assert exam.learned_tokens.device == images.device
