"""models/README.md is true: its names, values and defaults are the code's, its commands and its code run."""

import argparse
import dataclasses
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from models.config import ALIASES, STEPS, Config
from models.rules import Flag, Kind, Layers, Real, Text, Whole
from models.train import __main__ as command
from models.train import train
from tuner_tui.search.builtin import find_search
from tuner_tui.search.file import load_search

README = Path(__file__).parents[2] / "models" / "README.md"
TEXT = README.read_text()
HYPERS = Config.of({}).hypers()


def table() -> dict[str, list[str]]:
    """Name -> its row's other cells: also, values, default, and what it is."""
    rows = re.findall(r"^\| `([\w.]+)` \|(.*)\|(.*)\|(.*)\|(.*)\|$", TEXT, re.MULTILINE)
    return {name: [cell.strip() for cell in cells] for name, *cells in rows}


def rules() -> dict[str, Any]:
    """Name -> what its value may be."""
    found = {}
    for f in dataclasses.fields(Config):
        if "rule" in f.metadata:
            found[f.name] = f.metadata["rule"]
        else:
            found |= {f"{f.name}.{g.name}": g.metadata["rule"] for g in dataclasses.fields(f.default_factory)}  # type: ignore[arg-type]
    return found


def values(rule: Any) -> str:
    """As the table has them."""
    match rule:
        case Kind(names):
            return ", ".join(names)
        case Flag():
            return "true, false"
        case Whole(low, high):
            return f"from {low}" if high >= STEPS else f"{low} to {high:,}"
        case Real(low, high, above):
            return f"{'above ' * above}{low:g}{',' * above} to {high:g}"
        case Layers():
            return "a count or a list"
        case Text(what):
            return what
    raise AssertionError(f"{rule} has no words yet")


def commands(program: str) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(rf"^    ({program} .*)$", TEXT, re.MULTILINE)]


def test_every_hyperparameter_is_in_the_table_as_the_code_has_it():
    found = table()
    assert list(found) == list(HYPERS)  # in the order of the code, and no other
    allowed = rules()
    for name, (also, range_, default, what) in found.items():
        assert re.findall(r"[\w.]+", also) == [a for a, of in ALIASES.items() if of == name], name
        assert range_ == values(allowed[name]), name
        value = HYPERS[name]
        assert default == (str(value).lower() if isinstance(value, bool) else str(value)), name
        assert what, name


@pytest.mark.parametrize("given", commands("python -m models.train"), ids=" ".join)
def test_its_trainings_are_configurations(given):
    asked = command._parser().parse_args(given[3:])
    assert isinstance(asked, argparse.Namespace)
    Config.of(command._hypers(asked))


@pytest.mark.parametrize("given", commands("tuner"), ids=" ".join)
def test_its_searches_set_what_there_is(given):
    changes = [change for option, change in pairwise(given) if option == "--set"]
    search = load_search(find_search(given[2], README.parent), changes)
    assert given[1] == "sweep" or search.finder
    Config.of(search.fixed)
    assert {h.name for h in search.space} <= set(HYPERS)


def test_files_that_it_names_are_there():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)|src=\"([^\"]+)\"", TEXT):
        path = "".join(link)
        assert (README.parent / path).exists(), path
    for path in re.findall(r"(?<![\w/])(?:\w+/)*\w+\.(?:py|toml)\b", TEXT):
        assert (README.parent / path).exists() or (README.parents[1] / path).exists(), path


def test_its_code_draws_a_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny: dict[str, Any] = {
        "convnet.depth": 8,
        "convnet.profundity": 2,
        "reader.size": 8,
        "steps": 1,
        "valid_images": 8,
    }
    for _ in train(out="run1", data="shapes", size=12, say=lambda sentence: None, **tiny):
        pass
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(code, str(README), "exec"), {})
    assert (tmp_path / "circle.png").exists()
