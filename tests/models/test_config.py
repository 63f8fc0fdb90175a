"""Every hyperparameter is checked, by name, before any data is loaded."""

import itertools
import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import data
from models.config import ALIASES, Config
from models.train import train
from models.train.schedules import batch_size

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
        ("convnet.kind", "strait", "is not a known kind; did you mean 'straight'? choose straight, "),
        ("convnet.kind", 3, "is not a known kind"),
        (
            "convnet.dept",
            3,
            "'convnet.dept' is not a hyperparameter of the caption model; did you mean 'convnet.depth'",
        ),
        ("learning", 3, "is not a hyperparameter of the caption model; "),
        ("batch_size", 0, "batch_size = 0 is out of range; give a whole number from 1 "),
        ("batch_size", 8.0, "is not a whole number"),
        ("batch_size", True, "is not a whole number"),
        ("batch_size", "8", "is not a whole number"),
        ("convnet.depth", -1, "is out of range"),
        ("convnet.radius", 32, "is out of range"),
        ("lr", 0.0, "lr = 0.0 is out of range; give a number above 0 "),
        ("lr", float("nan"), "is out of range"),
        ("lr", float("inf"), "is out of range"),
        ("lr", 10**400, "is out of range"),  # more than a float holds
        ("lr", "fast", "is not a number"),
        ("optimize_given", 1, "is not true or false"),
        ("reader.bidir", "yes", "is not true or false"),
        ("merger.layers", 0, "is out of range; give a count from 1, or a list"),
        (
            "merger.layers",
            [1, 6],
            "merger.layers = [1, 6] names layer 6, but convnet.profundity = 4 has layers 0 to 3",
        ),
        ("merger.layers", "1,6", "names layer 6, but convnet.profundity = 4 has layers 0 to 3"),
        ("merger.layers", [1, 1], "is not usable"),
        ("merger.layers", [], "is not usable"),
        ("merger.layers", "0;2", "is not usable"),
        ("size", 4, "is out of range"),
        ("reader.dropout", 1.0, "is out of range; give a number from 0 to 0.95"),
        ("reader.dropout", -0.1, "is out of range"),
        ("data", " ", "is not usable; give shapes, emoji, or the folder of your images"),
        ("data.bad", "ignore", "choose refuse or skip"),
        ("schedule.kind", "cosin", "did you mean 'cosine'"),
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


@pytest.mark.parametrize(("device", "says"), [("gpu!", "is not a device"), ("cuda:99", "cuda:99")])
def test_a_wrong_device_is_said_before_data_is_loaded(device, says, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_: pytest.fail("data was loaded"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=says):
        next(train(device=device))


@pytest.mark.parametrize(
    ("hypers", "says"),
    [
        (
            {"data": "emoji", "data.split": "combinations"},
            "data.source is 'emoji'; give data.source = 'shapes'",
        ),
        ({"schedule.kind": "plateau", "adabatch.every": 10}, "give only one of them"),
        ({"adabatch.every": 10, "adabatch.most": 8}, "adabatch.most = 8 is less than batch_size = 12"),
        ({"schedule.kind": "constant", "schedule.floor": 0.1}, "schedule.floor = 0.1 has no meaning"),
        ({"reader.kind": "lstm", "reader.radius": 3}, "leave it out"),
    ],
)
def test_what_can_not_be_together_is_said_before_data_is_loaded(hypers, says, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_: pytest.fail("data was loaded"))
    with pytest.raises(ValueError) as e:
        next(train(**hypers))
    assert says in str(e.value)


@given(
    images=st.integers(1, 50_000),
    first=st.integers(1, 300),
    every=st.integers(0, 40),
    factor=st.integers(2, 16),
)
def test_steps_follow_from_the_images_to_be_seen(images, first, every, factor):
    hypers = {"images": images, "batch_size": first, "adabatch.every": every, "adabatch.factor": factor}
    config = Config.of(hypers)
    seen = list(itertools.accumulate(batch_size(config, step) for step in range(1, config.steps + 1)))
    assert seen[-1] >= images and (config.steps == 1 or seen[-2] < images)
    assert Config.of(config.hypers()) == config


def test_steps_and_images_that_disagree_are_refused():
    with pytest.raises(ValueError, match="steps = 5 and images = 120, which makes 10 steps; give only one"):
        Config.of({"steps": 5, "images": 120})


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_a_plainer_name_means_the_same_and_only_one_may_be_used(alias, name):
    value = Config.of({}).hypers()[name]
    value = {"emoji": "shapes"}.get(value, value) if isinstance(value, str) else value
    assert Config.of({alias: value}) == Config.of({name: value})
    with pytest.raises(ValueError, match="one hyperparameter under two names"):
        Config.of({alias: value, name: value})


def test_a_comma_string_lists_layers_as_in_2017():
    assert Config.of({"merger.layers": "3, 0,2"}).merge_layers() == (0, 2, 3)


@given(profundity=st.integers(1, 60), data=st.data())
def test_a_count_of_merges_is_spread_over_the_layers(profundity, data):
    count = data.draw(st.integers(1, 80))
    layers = Config.of({"convnet.profundity": profundity, "merger.layers": count}).merge_layers()
    assert len(layers) == count  # more merges than layers: several before one layer
    assert list(layers) == sorted(layers)
    assert layers[0] >= 0 and layers[-1] < profundity
    gaps = [b - a for a, b in itertools.pairwise(layers)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def space_of(name):
    search = tomllib.loads((files("models") / "searches" / f"{name}.toml").read_text())
    return search, {hyper: spec for group in search["space"].values() for hyper, spec in group.items()}


def ends(spec):
    return spec if isinstance(spec, list) else spec.get("int") or spec["log"]


def test_the_demo_search_varies_all_of_them_and_stays_within_bounds():
    search, space = space_of("caption")
    assert search["name"] == "caption"
    assert search["target"] == "models.train:train"
    assert search["objective"] == "loss/valid"
    assert set(space) == SEED_NAMES | {"lr"}
    assert set(search["space"]) == {"optimizer", "convnet", "merger", "reader"}
    for hypers in itertools.product(*(ends(spec) for spec in space.values())):
        Config.of({**search["fixed"], **dict(zip(space, hypers, strict=True))})


RANGES_2017 = {
    "batch_size": [5, 30],
    "convnet.depth": [64, 512],
    "convnet.profundity": [4, 48],
    "convnet.radius": [2, 5],
    "merger.depth": [8, 64],
    "merger.layers": [1, 8],
    "reader.radius": [4, 32],
    "reader.size": [32, 256],
}


def test_the_search_of_2017_has_its_own_ranges():
    search, space = space_of("cooijmans2017")
    assert set(space) == SEED_NAMES
    assert {name: space[name]["int"] for name in RANGES_2017} == RANGES_2017
    for hypers in itertools.product(*(ends(spec) for spec in space.values())):
        Config.of({**search["fixed"], **dict(zip(space, hypers, strict=True))})
