"""The JSON Schema takes every search file that the reader takes, and refuses what an editor should mark."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import fastjsonschema
import pytest
from hypothesis import given
from support.search_files import CAPTION, TARGET, parse
from support.search_strategies import raw, searches, to_toml
from typer.testing import CliRunner

from tuner_tui.cli import app
from tuner_tui.search.builtin import builtin_searches
from tuner_tui.search.keys import KEYS, LIMITS
from tuner_tui.search.problems import SearchError
from tuner_tui.search.reading import READS
from tuner_tui.search.schema import FILE, LINE, save_search_file, schema, schema_text
from tuner_tui.search.search import Limits, Search

ROOT = Path(__file__).parents[2]
VALID = fastjsonschema.compile(schema())


def accepts(text: str) -> bool:
    try:
        VALID(tomllib.loads(text))
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


@pytest.mark.parametrize(
    "path",
    [*builtin_searches().values(), *(ROOT / "examples").glob("*.toml")],
    ids=lambda path: path.name,
)
def test_every_search_file_that_comes_with_the_tuner_is_valid(path):
    assert accepts(path.read_text())


def test_the_examples_of_the_documentation_are_valid():
    examples = [
        block
        for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
        for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
        if "[space" in block and re.search(r"^(target|command)\b", block, re.MULTILINE)
    ]
    assert len(examples) >= 4
    for text in examples:
        assert accepts(text), text


@given(searches())
def test_every_search_that_is_read_is_valid(search):
    VALID(json.loads(json.dumps(raw(search))))


@given(searches())
def test_a_search_that_was_written_out_is_valid(search):
    from tuner_tui.search import write

    assert accepts(write.to_toml(search))


FORMS = """[space]
a = { log = [1e-5, 1] }
c = { float = [0, 1], step = 0.1 }
d = { float = [1, 10], log = true }
f = { int = [1, 9], step = 2 }
g = { int = [1, 9], log = true }
h = ["x", 3, 2.5, true, [1, 2]]
i = { choices = [false, true], when = { f = [1, 3], h = [[1, 2], "x"] } }
[space.step]
step = { int = [1, 2] }
range = ["a", "b"]
"""


def test_every_form_of_a_distribution_is_valid():
    parse(TARGET + FORMS)
    assert accepts(TARGET + FORMS)


BROKEN = [
    "",
    TARGET + 'command = ["python", "x.py"]',
    TARGET + "trails = 3",
    TARGET + "trials = 0",
    TARGET + "trials = 2.5",
    TARGET + "trials = true",
    TARGET + "seed = -1",
    TARGET + 'sampler = "random walk"',
    TARGET + 'direction = "down"',
    TARGET + "share_run = 1",
    TARGET + "trials_per_gpu = -1",
    'command = ["x", "{rest}"]\ncwd = 3',
    TARGET + "name = 3",
    TARGET + 'isolation = ""',
    'target = "train.py"',
    'target = "src/train:main"',
    'command = "python train.py"',
    "command = []",
    'command = ["python", 3]',
    TARGET + "[limits]\ntrial_seconds = 0",
    TARGET + '[limits]\nmemory_gb = "8G"',
    TARGET + "[limits]\nsame_failures = 0.5",
    TARGET + "[limits]\nseconds = 5",
    TARGET + '[read]\npattern = "loss (?P<loss>.+)"',
    'command = ["x", "{rest}"]\n[read]\npattern = 3',
    'command = ["x", "{rest}"]\n[read]\npatern = "loss (?P<loss>.+)"',
    TARGET + '[sampler]\nname = "tpe"\nstartup_trials = 0',
    TARGET + '[sampler]\nname = "qmc"\nstartup_trials = 5',
    TARGET + '[sampler]\nname = "gp"\nfailures = "best"',
    TARGET + '[pruner]\nname = "hyperband"\nmax_resource = 2.5',
    TARGET + "[fixed]\nx = { y = 1 }",
    TARGET + '[secret]\ntoken = "no variable"',
    TARGET + "[secret]\ntoken = 3",
    TARGET + '[fixed]\n"x\'" = 1',
    TARGET + "space = 3",
    TARGET + "[space]\nlr = 0.1",
    TARGET + "[space]\nlr = []",
    TARGET + "[space]\nlr = { log = [0.0, 1] }",
    TARGET + "[space]\nlr = { log = [1, 2, 3] }",
    TARGET + "[space]\nlr = { log = [1, 2], step = 1 }",
    TARGET + "[space]\nlr = { int = [1, 2.5] }",
    TARGET + "[space]\nlr = { float = [0, 1], log = 1 }",
    TARGET + "[space]\nlr = { float = [0, 1], int = [0, 1] }",
    TARGET + "[space]\nlr = { float = [0, 1], stp = 1 }",
    TARGET + "[space]\nlr = { float = [0, 1], when = 3 }",
    TARGET + "[space]\nlr = { step = 1 }",
    TARGET + "[space]\nlr = { choices = [1, 2], log = true }",
    TARGET + "[space.group]",
    TARGET + "[space.group]\nlr = 0.1",
    TARGET + "[space.group.deeper]\nlr = [1, 2]",
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_wrong_is_refused_by_the_schema_and_by_the_reader(text):
    with pytest.raises(SearchError):
        parse(text)
    assert not accepts(text)


@given(searches())
def test_a_misspelt_key_is_refused_anywhere_above_the_names(search):
    tables = raw(search)
    assert not accepts(to_toml({**tables, "paralel": 2}))
    tables["limits"]["trial_secconds"] = 3
    assert not accepts(to_toml(tables))


def test_each_field_of_a_search_is_a_key_and_each_key_is_documented():
    not_keys = {"space", "fixed", "limits", "read", "folder", "kind", "rate", "suggested", "secret", "again",
                "sampler_options", "pruner_options"}  # fmt: skip
    assert {key.name for key in KEYS} == {f.name for f in fields(Search)} - not_keys
    assert {key.name for key in LIMITS} == {f.name for f in fields(Limits)}
    pages = (ROOT / "docs" / "search-files.md").read_text() + (ROOT / "docs" / "scripts.md").read_text()
    for key in (*KEYS, *LIMITS, *READS):
        assert re.search(rf"\b{key.name}\b", pages), f"{key.name} is not in docs/search-files.md"
        assert key.about.endswith("."), key


def test_the_documentation_has_the_schema_as_the_command_prints_it():
    printed = CliRunner().invoke(app, ["schema"])
    assert printed.exit_code == 0 and printed.output == schema_text()
    page = ROOT / "docs" / FILE
    assert page.read_text() == schema_text(), f"run `tuner schema > {page.relative_to(ROOT)}`"


def test_a_saved_search_file_names_the_schema_beside_it(tmp_path):
    save_search_file(tmp_path / "mine.toml", CAPTION)
    text = (tmp_path / "mine.toml").read_text()
    line, _, rest = text.partition("\n")
    assert (line, rest) == (LINE, CAPTION) and parse(text) == parse(CAPTION)
    named = tmp_path / line.removeprefix("#:schema ")
    assert json.loads(named.read_text()) == schema()
