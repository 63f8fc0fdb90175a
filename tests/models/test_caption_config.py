"""Every hyperparameter is checked, by name, before any data is loaded."""

import itertools
import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import data
from models.config import Config
from models.train import train

SEED_NAMES = {
    "batch_size",
    "convnet.depth",
    "convnet.kind",
    "convnet.profundity",
    "convnet.radius",
    "merger.depth",
    "merger.kind",
    "merger.layers",
    "optimize_given",
    "reader.bidir",
    "reader.normalize",
    "reader.radius",
    "reader.size",
}


def test_all_names_of_2017_exist():
    assert set(Config.of({}).hypers()) >= SEED_NAMES


def test_hypers_and_of_are_inverse():
    given_hypers = {"convnet.kind": "straight", "merger.layers": [0, 3], "lr": 0.01, "reader.size": 7}
    config = Config.of(given_hypers)
    assert config.convnet.kind == "straight"
    assert config.merger.layers == (0, 3)
    assert Config.of(config.hypers()) == config


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("convnet.kind", "tapered", "convnet.kind = 'tapered' is not built yet; choose straight, "),
        ("convnet.kind", "expanding", "is not built yet"),
        ("convnet.kind", "bottlenecked", "is not built yet"),
        ("merger.kind", "film", "merger.kind = 'film' is not built yet; choose attention or conv"),
        ("reader.kind", "lstm", "reader.kind = 'lstm' is not built yet; choose qrnn"),
        ("reader.kind", "gru", "is not built yet"),
        ("masker.kind", "center", "is not built yet; choose contiguish"),
        ("loss", "emd", "loss = 'emd' is not built yet; choose emd2"),
        ("loss", "mixed", "is not built yet"),
        ("convnet.kind", "strait", "is no known kind; did you mean 'straight'? choose straight, "),
        ("convnet.kind", 3, "is no known kind"),
        (
            "convnet.dept",
            3,
            "'convnet.dept' is no hyperparameter of the caption model; did you mean 'convnet.depth'",
        ),
        ("learning", 3, "is no hyperparameter of the caption model; "),
        ("batch_size", 0, "batch_size = 0 is out of range; give a whole number from 1 "),
        ("batch_size", 8.0, "is not a whole number"),
        ("batch_size", True, "is not a whole number"),
        ("batch_size", "8", "is not a whole number"),
        ("convnet.depth", -1, "is out of range"),
        ("convnet.radius", 32, "is out of range"),
        ("lr", 0.0, "lr = 0.0 is out of range; give a number above 0 "),
        ("lr", float("nan"), "is out of range"),
        ("lr", "fast", "is not a number"),
        ("optimize_given", 1, "is not true or false"),
        ("reader.bidir", "yes", "is not true or false"),
        ("merger.layers", 0, "is out of range; give a count from 1, or a list"),
        (
            "merger.layers",
            7,
            "merger.layers = 7 merges do not fit convnet.profundity = 6 layers; give at most 6",
        ),
        ("merger.layers", [1, 6], "names layer 6, but convnet.profundity = 6 has layers 0 to 5"),
        ("merger.layers", [1, 1], "is not usable"),
        ("merger.layers", [], "is not usable"),
        ("merger.layers", "0,2", "is not usable"),
        ("size", 4, "is out of range"),
    ],
)
def test_what_is_wrong_is_said_before_data_is_loaded(name, value, says, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_: pytest.fail("data was loaded"))
    with pytest.raises(ValueError) as e:
        next(train(**{name: value}))
    assert says in str(e.value)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ValueError) as e:
        Config.of({"lr": -1, "convnet.kind": "film", "what": 1})
    assert len(str(e.value).splitlines()) == 3


@pytest.mark.parametrize(("device", "says"), [("gpu!", "is no device"), ("cuda:99", "cuda:99")])
def test_a_wrong_device_is_said_before_data_is_loaded(device, says, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_: pytest.fail("data was loaded"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=says):
        next(train(device=device))


@given(profundity=st.integers(1, 60), data=st.data())
def test_a_count_of_merges_is_spread_over_the_layers(profundity, data):
    count = data.draw(st.integers(1, profundity))
    layers = Config.of({"convnet.profundity": profundity, "merger.layers": count}).merge_layers()
    assert len(set(layers)) == count
    assert list(layers) == sorted(layers)
    assert layers[0] >= 0 and layers[-1] < profundity
    gaps = [b - a for a, b in itertools.pairwise(layers)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_the_demo_search_varies_all_of_them_and_stays_within_bounds():
    search = tomllib.loads((files("models") / "searches" / "caption.toml").read_text())
    assert search["name"] == "caption"
    assert search["target"] == "models.train:train"
    assert search["objective"] == "loss/valid"
    space = {name: spec for group in search["space"].values() for name, spec in group.items()}
    assert set(space) == SEED_NAMES | {"lr"}
    assert set(search["space"]) == {"optimizer", "convnet", "merger", "reader"}

    def ends(spec):
        return spec if isinstance(spec, list) else spec.get("int") or spec["log"]

    for hypers in itertools.product(*(ends(spec) for spec in space.values())):
        Config.of({**search["fixed"], **dict(zip(space, hypers, strict=True))})
