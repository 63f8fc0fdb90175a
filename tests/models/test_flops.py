"""FLOPs counted without computing: against arithmetic by hand, the reference's anchor, and each other."""

import pytest

from models.config import Config
from models.train.flops import PEAKS, forward_image, mfu, peak, training_image, training_step

VOCABULARY = 2000
ALL = 64 * 64  # pixels

STRAIGHT = {"convnet.kind": "straight", "convnet.profundity": 16, "convnet.depth": 256, "size": 64}
STRAIGHT |= {
    "merger.kind": "film",
    "merger.last": "none",
    "head.cosines": 0,
}  # next to nothing beside the layers


def of(**hypers) -> Config:
    return Config.of({**STRAIGHT, "loss_pixels": ALL, **{n.replace("__", "."): v for n, v in hypers.items()}})


@pytest.mark.parametrize("kind", ["straight", "straight_residual", "straight_dilated"])
def test_the_anchor_75_gflop_forward_and_226_per_image(kind):
    """Derived by hand for 3x3, 256 filters, 16 layers, 64 x 64 before there was such a model."""
    assert forward_image(of(convnet__kind=kind), VOCABULARY) == pytest.approx(75e9, rel=0.02)
    assert training_image(of(convnet__kind=kind), VOCABULARY) == pytest.approx(226e9, rel=0.02)


def test_convolutions_and_head_are_counted_to_the_last_flop():
    """What is left is the caption: its gates and the scales and shifts of the merges."""
    stem, layer, head = 2 * 9 * 8 * 256 * ALL, 2 * 9 * 256 * 256 * ALL, 2 * 256 * 768 * ALL
    forward = stem + 15 * layer + head
    caption = forward_image(of(), VOCABULARY) - forward
    assert 0 < caption < 1e6
    # Backward does each product twice more, for weights and inputs; the merge before the first layer wants those too.
    training = training_image(of(), VOCABULARY)
    assert training - 3 * forward == pytest.approx(3 * caption, rel=0.2)


def test_a_step_is_its_images_and_the_batch_is_the_configs():
    config = of(batch_size=6)
    assert training_step(config, VOCABULARY) == 6 * training_image(config, VOCABULARY)
    assert training_step(config, VOCABULARY, batch=2) == 2 * training_image(config, VOCABULARY)


def test_asking_for_fewer_pixels_spares_the_head_alone():
    spared = forward_image(of(), VOCABULARY) - forward_image(of(loss_pixels=128), VOCABULARY)
    assert spared == 2 * 256 * 768 * (ALL - 128)
    assert forward_image(of(loss_pixels=10**6), VOCABULARY) == forward_image(of(), VOCABULARY)


def test_more_words_hardly_count():
    some, many = (training_image(of(), VOCABULARY, words) for words in (16, 64))
    assert some < many < 1.0001 * some


@pytest.mark.parametrize(
    ("reader", "merger"), [("qrnn", "conv"), ("lstm", "attention"), ("gru", "film"), ("rnn", "conv")]
)
def test_the_largest_of_2017_needs_no_memory(reader, merger):
    """7.6 TFLOP an image, and 5.5 GB of weights with the conv merger: counted on any laptop."""
    config = of(
        convnet__depth=512, convnet__profundity=48, convnet__radius=5, batch_size=30, merger__layers=8,
        reader__kind=reader, reader__size=256, merger__kind=merger, merger__depth=64,
    )  # fmt: skip
    assert training_image(config, 27_000) == pytest.approx(7.6e12, rel=0.05)


def test_mfu_is_a_share_of_the_peak_of_a_known_gpu():
    assert mfu(346.29e12, "NVIDIA H200", "bf16") == pytest.approx(0.35)
    assert mfu(78e12, "NVIDIA A100-SXM4-80GB", "fp32") == 0.5
    assert peak("A100-SXM4-40GB", "bf16") == 312e12  # older drivers leave the maker out


@pytest.mark.parametrize(
    "name",
    ["x86_64", "", "NVIDIA H300", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA GeForce RTX 4090 Laptop GPU"],
)
def test_an_unknown_device_gets_no_guess(name):
    assert mfu(1e12, name, "bf16") is None


def test_a_gpu_without_bf16_has_no_peak_for_it():
    assert peak("Tesla V100-SXM2-32GB", "bf16") is None
    assert peak("Tesla V100-SXM2-32GB", "fp32") == 15.7e12


def test_the_peaks_are_dense_ones():
    """Of a card with TF32 that is half of bf16, up to the data sheets' rounding."""
    for name, peaks in PEAKS.items():
        if peaks.keys() == {"bf16", "fp32"}:
            assert peaks["bf16"] / peaks["fp32"] == pytest.approx(2, rel=0.02), name
        assert all(1e12 < p < 3e15 for p in peaks.values()), name
