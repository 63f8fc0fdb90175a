"""Every entry point on a GPU that isn't there (support.pretended_gpu): no tensor may stay behind on the CPU."""

import pytest
import torch
from support import captions
from support.pretended_gpu import plain, pretended_gpu

from models import data, lrfind
from models.config import Config
from models.data import shapes
from models.drawing import orders as samplers
from models.drawing import sampling
from models.network.model import CaptionModel
from models.train import checkpoint, train

SMALL = captions.SMALL | {
    "size": 8,
    "convnet.profundity": 3,
    "device": "cuda",
    "valid_images": 7,
    "steps": 3,
    "report_every": 2,
    "loss_pixels": 16,
}


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(shapes, "TRAIN", 40)
    monkeypatch.setattr(shapes, "VALID", 8)
    saved = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda path, state, of: saved(path, plain(state), of))
    with pretended_gpu():
        yield


def test_the_pretended_gpu_refuses_a_tensor_of_the_cpu(gpu):
    """Or the tests below would prove nothing."""
    there = torch.zeros(3, device="cuda")
    assert there.device == (there + 1).device == torch.device("cuda:0") and there.cpu().device.type == "cpu"
    for wrong in (lambda: there + torch.zeros(3), lambda: torch.cat([torch.zeros(3), there]), there.numpy):
        with pytest.raises((RuntimeError, TypeError), match="cpu"):
            wrong()


@pytest.mark.parametrize(
    "hypers",
    [
        {},
        {"speed.graph": "off", "speed.precision": "fp32", "adabatch.every": 1},
        {"reader.kind": "lstm", "merger.kind": "attention", "convnet.input": "onehot"},
        {
            "reader.kind": "gru",
            "merger.kind": "conv",
            "masker.kind": "contiguous",
            "masker.per_channel": True,
        },
        {"reader.kind": "rnn", "reader.dropout": 0.1, "convnet.dropout": 0.1, "masker.kind": "center"},
        {"optimizer.kind": "sgd", "schedule.kind": "one_cycle", "masker.kind": "orderless"},
        {"optimizer.kind": "rmsprop", "schedule.kind": "plateau", "optimize_given": True, "loss": "emd"},
        {"optimizer.kind": "adamw", "data.split": "combinations", "convnet.kind": "straight_dilated"},
    ],
    ids=lambda hypers: " ".join(map(str, hypers.values())) or "defaults",
)
def test_a_training_has_all_its_tensors_on_its_device(gpu, tmp_path, hypers):
    measured = [m for m in train(**SMALL, **hypers, out=str(tmp_path)) if m]
    assert [m["step"] for m in measured] == [1, 2, 3]
    assert {"centre_psnr", "loss/valid_shuffled"} <= {*measured[-1]}
    pictures = {"completions.png", "preview.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"exam.npz", "checkpoint.pt", "best.pt", *pictures}


@pytest.mark.parametrize(
    ("kind", "graph"), [("adam", "on"), ("adam", "off"), ("adamw", "off"), ("sgd", "off"), ("rmsprop", "off")]
)
def test_a_resumed_training_brings_everything_back_to_its_device(gpu, tmp_path, kind, graph):
    hypers = {**SMALL, "optimizer.kind": kind, "speed.graph": graph, "out": str(tmp_path)}
    first = train(**hypers)
    next(first)
    first.close()
    rest = [m["step"] for m in train(**hypers, resume=str(tmp_path / "checkpoint.pt")) if m]
    assert rest == [2, 3]


def test_what_a_gpu_does_in_its_own_way_has_the_same_result(gpu):
    """Its norms, its scan over the words, its optimiser and its whole captions, in float32."""
    hypers = {**SMALL, "speed.precision": "fp32", "speed.graph": "off", "steps": 3, "report_every": 1}
    there, here = ([*train(**{**hypers, "device": device})] for device in ("cuda", "cpu"))
    for name in ("loss/train", "loss/valid", "baseline/marginal"):
        assert [m[name] for m in there] == pytest.approx([m[name] for m in here], rel=1e-3)


def test_the_finder_of_rates_has_all_its_tensors_on_its_device(gpu, monkeypatch):
    monkeypatch.setattr(lrfind, "RAMP", 12)
    found = lrfind.find(**{name: x for name, x in SMALL.items() if name not in ("steps", "report_every")})
    assert next(found)["step"] == next(found)["step"] - 1 == 1


@pytest.mark.parametrize(
    "how",
    [
        samplers.Median(),
        samplers.Chunked(passes=2),
        samplers.Chunked(passes=2, order="greedy", per_channel=True),
        samplers.Ancestral(),
        samplers.Gibbs(passes=3),
    ],
    ids=lambda how: type(how).__name__,
)
def test_completing_pictures_has_all_its_tensors_on_their_device(gpu, how):
    config = Config.of({name: x for name, x in SMALL.items() if name != "device"})
    found = data.load(config, "cuda", lambda _: None)
    model = CaptionModel(config, len(found.tokenizer)).to("cuda")
    tokens = found.valid.one_each()[0]
    given = torch.zeros(found.valid.images.shape, dtype=torch.bool, device="cuda")
    drawn = sampling.complete(model, found.valid.images, given, tokens, how)
    assert drawn.device == given.device and drawn.shape == given.shape
