"""`--set`: one sweep changed from the command line, under the rules of the file and with its messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.search_files import CAPTION, read_or_refused

from tuner_tui.search.file import parse_search
from tuner_tui.search.problems import SearchError
from tuner_tui.search.search import Search
from tuner_tui.search.space import Choice, Float, Int

FILE = CAPTION + '\n[fixed]\nwidth = 64\n"reader.kind" = "gru"\nlayers = [1, 2]\n'


def override(*overrides: str, text: str = FILE) -> Search:
    return parse_search(text, "caption.toml", overrides)


def refused(*overrides: str, text: str = FILE) -> list[str]:
    with pytest.raises(SearchError) as caught:
        override(*overrides, text=text)
    return str(caught.value).splitlines()


def test_keys_of_the_file_and_its_limits() -> None:
    search = override("trials=30", "name=quick", "direction = maximize", "limits.trial_seconds=60", "seed=7")
    assert (search.trials, search.name, search.direction, search.seed) == (30, "quick", "maximize", 7)
    assert search.limits.trial_seconds == 60 and search.limits.silent_seconds == 600


def test_the_last_of_two_wins() -> None:
    assert override("trials=30", "trials=40").trials == 40
    assert override("lr=0.1", "lr={log=[1e-3, 1e-2]}").space["lr"].distribution == Float(1e-3, 1e-2, True)
    assert "lr" not in override("lr={log=[1e-3, 1e-2]}", "lr=0.1").space.names


def test_an_override_mends_what_the_file_lacks() -> None:
    assert override("target=train:main", text="trials = 3").target == "train:main"


@pytest.mark.parametrize("key", ["lr", "space.optimizer.lr", '"lr"'])
def test_a_hyperparameter_gets_another_range_in_its_place(key: str) -> None:
    search = override(f"{key}={{ log = [1e-4, 1e-2] }}")
    assert search.space["lr"].distribution == Float(1e-4, 1e-2, log=True)
    assert search.space["lr"].group == "optimizer"
    assert search.space.names == override().space.names


@pytest.mark.parametrize(
    "key", ["convnet.kind", "fixed.convnet.kind", '"convnet.kind"', 'fixed."convnet.kind"']
)
def test_a_hyperparameter_given_a_value_leaves_the_space(key: str) -> None:
    search = override(f"{key}=straight")
    assert "convnet.kind" not in search.space.names
    assert search.fixed["convnet.kind"] == "straight"


def test_a_list_narrows_the_choices() -> None:
    search = override('convnet.kind=["straight", "straight_dilated"]')
    assert search.space["convnet.kind"].distribution == Choice(("straight", "straight_dilated"))
    assert "convnet.kind" not in search.fixed


def test_what_depends_on_a_value_that_was_taken_away_goes_with_it() -> None:
    assert "merger.depth" not in override("merger.kind=attention").space.names
    assert "merger.depth" not in override('merger.kind=["attention"]').space.names
    kept = override("merger.kind=conv").space["merger.depth"]
    assert kept.applies({"merger.kind": "conv"})
    chain = FILE.replace(
        "[limits]", '"merger.deep" = { int = [1, 2], when = { "merger.depth" = 8 } }\n[limits]'
    )
    assert "merger.deep" in override(text=chain).space.names
    assert "merger.deep" not in override("merger.kind=attention", text=chain).space.names
    assert "merger.deep" not in override("merger.depth={int=[20, 30]}", text=chain).space.names
    # But what --set itself asks for must be able to happen.
    assert refused("merger.kind=attention", 'merger.depth={int=[1, 2], when={"merger.kind"="conv"}}') == [
        '--set: merger.depth: merger.kind can\'t be "conv": it is fixed at "attention"; '
        "change or remove the condition"
    ]


def test_a_new_range_keeps_the_condition_unless_it_brings_one() -> None:
    kept = override("merger.depth={int=[4, 8]}").space["merger.depth"]
    assert kept.distribution == Int(4, 8) and kept.when == (("merger.kind", ("conv",)),)
    listed = override("merger.depth=[4, 8]").space["merger.depth"]
    assert listed.distribution == Choice((4, 8)) and listed.when == (("merger.kind", ("conv",)),)
    other = override('merger.depth={int=[4, 8], when={"merger.kind"="attention"}}').space["merger.depth"]
    assert other.when == (("merger.kind", ("attention",)),)


def test_fixed_values_change_come_and_become_hyperparameters() -> None:
    assert override("width=128", "reader.kind=lstm", "layers=[3]").fixed == {
        "width": 128, "reader.kind": "lstm", "layers": [3],
    }  # fmt: skip
    assert override("fixed.batch_norm=true").fixed["batch_norm"] is True
    drawn = override("width={ int = [16, 64] }")
    assert drawn.space["width"].distribution == Int(16, 64) and "width" not in drawn.fixed


def test_a_new_hyperparameter_by_its_place() -> None:
    space = override("space.optimizer.beta={float=[0, 0.9]}", 'space.model."reader.size"=[1, 2]').space
    assert space["beta"].group == "optimizer" and space["reader.size"].group == "model"
    assert override("space.model.convnet.radius=[3, 5]").space["convnet.radius"].group == "model"
    assert override("space.alone=[3, 5]").space["alone"].group == ""


def test_a_group_whose_last_hyperparameter_is_fixed_goes_away() -> None:
    assert override("lr=0.1", "batch_size=8").space.groups == ("model",)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1), ("1e-3", 1e-3), (".5", 0.5), ("5.", 5.0), ("3", 3), ("true", True), ("True", True),
        ("'3'", "3"), ('"a b"', "a b"), ("straight", "straight"), ("a=b", "a=b"), ("", ""),
        ("2020-01-01", "2020-01-01"), ("1\ntrials = 5", "1\ntrials = 5"),
    ],
)  # fmt: skip
def test_values_are_toml_or_else_text(text: str, value: object) -> None:
    search = override(f"width={text}")
    assert search.fixed["width"] == value and type(search.fixed["width"]) is type(value)
    assert search.trials == 100


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("trial=3", "--set: trial: is no key of a search and no hyperparameter; did you mean trials?"),
        ("merger.kid=conv", "--set: merger.kid: is no key of a search and no hyperparameter; "
                            "did you mean merger.kind or merger.depth?"),
        ("trial_seconds=3", "did you mean limits.trial_seconds?"),
        ("limits.trial_second=3", "--set: limits.trial_second: unknown limit; did you mean limits.trial_seconds"),
        ("zzz=3", "--set: zzz: is no key of a search and no hyperparameter; for a new fixed value "
                  "write fixed.zzz"),
        ("trials", '--set: "trials" is not key=value; write trials=30 or lr=0.01, say'),
        ("=3", '--set: "=3" is not key=value'),
        ("trials=0", "--set: trials: 0 is out of range; it must be at least 1"),
        ("trials=many", '--set: trials: "many" is not a whole number'),
        ("limits.memory_gb=-1", "--set: limits.memory_gb: -1 is out of range"),
        ("sampler=grit", '--set: sampler: unknown sampler "grit"; choose random or qmc or grid or tpe or'),
        ("sampler.points=0", "--set: sampler.points: the sampler random has no such option; it takes none"),
        ("lr={log=[0.0, 1]}", "--set: lr: a log range starts at 0.0; it must be above 0"),
        ("lr={log=[0.1, 1]", '--set: lr: "{log=[0.1, 1]" is not valid TOML; close its brackets and quotes'),
        ("lr=nan", "--set: lr: nan is not a finite number"),
        ("lr=[]", "--set: lr: the list of choices is empty"),
        ("space.optimizer.lr=0.1", "--set: space.optimizer.lr: 0.1 is not a distribution"),
        ("space.optimizer={log=[1,2]}", "--set: space.optimizer: is a group; set one of its hyperparameters"),
        ("space.a.b.c=[1]", "has too many dots; quote the name"),
        ("limits={}", "--set: limits: is a table; set one key of it: limits.trial_seconds=..."),
        ("space={}", "--set: space: is a table; set one key of it: space.optimizer.lr=..."),
        ("fixed=3", "--set: fixed: is a table; set one key of it: fixed.width=..."),
    ],
)  # fmt: skip
def test_mistakes_name_the_place_the_key_and_what_was_meant(given: str, expected: str) -> None:
    (line,) = refused(given)
    assert expected in line


def test_problems_of_the_file_and_of_the_command_line_come_together() -> None:
    assert refused("trials=0", "zzz=3", text=FILE.replace("5, 30", "30, 5")) == [
        "--set: zzz: is no key of a search and no hyperparameter; for a new fixed value write fixed.zzz",
        "caption.toml: space.optimizer.batch_size: an int range goes from 30 down to 5; swap the two",
        "--set: trials: 0 is out of range; it must be at least 1",
    ]


keys = st.sampled_from(
    ["lr", "trials", "space", "fixed", "limits", "space.optimizer", "space.optimizer.lr", "merger.kind",
     "space.model.merger.depth", "fixed.width", "width", "limits.memory_gb", "name", "space.x", "space.lr.x"]
) | st.text(max_size=6)  # fmt: skip
values = st.sampled_from(
    ["0.1", "[1, 2]", "[]", "{}", "{ int = [1, 2] }", "conv", "{ int = [4, 8], when = { lr = 1 } }", "nan",
     "[[1], [2]]", '{ choices = [1], when = { "merger.kind" = "conv" } }', "true", "{ a = { b = 1 } }"]
) | st.text(max_size=6)  # fmt: skip


@given(st.lists(st.builds("{}={}".format, keys, values) | st.text(max_size=10), max_size=4))
def test_any_overrides_are_taken_or_refused(overrides: list[str]) -> None:
    read_or_refused(FILE, *overrides)


@given(st.builds("{}={}".format, keys, values))
def test_overrides_of_a_file_that_is_wrong_already(given_override: str) -> None:
    for text in ("space = 3\nfixed = [1]\nlimits = true", "[space.lr]\nx = 3\n[space.model]", ""):
        read_or_refused(text, given_override)
