"""meta/README.md is true: it names what there is, its code runs, its commands are taken."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from meta import Hypers, Result
from meta.methods.choice import METHODS
from meta.train import __main__ as command
from meta.train.config import Config
from tuner_tui.search.builtin import find_search
from tuner_tui.search.file import load_search

README = Path(__file__).parents[2] / "meta" / "README.md"
TEXT = README.read_text()


def first_column() -> list[str]:
    cells = re.findall(r"^\| (`[^|]*) \|", TEXT, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_every_part_and_every_method_has_its_row():
    parts = [field.name for field in dataclasses.fields(Hypers)]
    rows = first_column()
    assert rows[: len(parts)] == parts
    assert sorted(rows[len(parts) :]) == sorted(METHODS)


def test_what_a_result_says_is_what_it_has():
    part = TEXT[TEXT.index("## What a result says") : TEXT.index("## Learning")]
    has = {field.name for field in dataclasses.fields(Result)} | {"standard_error", "agreement", "implicit"}
    said = set(re.findall(r"`(\w+)(?:\(\)|\[.*?\])?`", part))
    assert said <= has and {"value", "grads", "growth", "exact", "bits", "inner_grad_norm"} <= said


def test_its_code_runs_and_its_comments_are_right(capsys):
    first, module = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict = {}
    exec(first, names)
    assert (names["T"], names["G"], names["P"]) == (100, 4, 2260)
    assert names["problem"].layout.groups == ["W0", "b0", "W1", "b1"]
    assert names["found"].why in capsys.readouterr().out
    exec(module, names)
    assert names["problem"].layout.groups == ["1.weight", "1.bias", "6.weight", "6.bias"]
    assert names["problem"].layout.granularities[18] == "unit"
    values = [float(word) for word in re.findall(r"tensor\(([\d.]+)\)", capsys.readouterr().out)]
    assert len(values) == 5 and values[-1] < values[0]


def test_files_that_it_names_are_there():
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (README.parent / path).exists(), path
    for path in re.findall(r"`((?:\w+/)*\w+\.(?:py|toml))`", TEXT):
        assert (README.parent / path).exists() or (README.parents[1] / path).exists(), path


def test_its_sweeps_are_there_and_set_what_there_is():
    given = re.findall(r"^    tuner sweep (\w+)", TEXT, re.MULTILINE)
    searches = [load_search(find_search(name, README.parent)) for name in given]
    assert given[0] == "hypergradient" and {h.name for h in searches[0].space} | set(
        searches[0].fixed
    ) <= set(Config.names())


@pytest.mark.parametrize("line", re.findall(r"^  python -m meta.train (.*)$", command.EPILOG, re.MULTILINE))
def test_the_examples_of_help_are_configurations(line):
    Config.of(command._hypers(command._parser().parse_args(shlex.split(line)).set))


def test_help_names_every_setting_with_its_default(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    said = dict(pair.split("=", 1) for pair in re.findall(r"\b\w+=\S+", capsys.readouterr().out))
    settings = [field.name for field in dataclasses.fields(Config) if "rule" in field.metadata]
    assert set(settings) <= set(said)
    Config.of(command._hypers([f"{name}={said[name]}" for name in settings if name not in ("l2", "l2_per")]))
