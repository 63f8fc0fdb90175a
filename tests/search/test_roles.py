"""Roles of hyperparameters: read, kept in the journal and in files, and no part of how trials are drawn."""

from __future__ import annotations

import pytest

from tuner_tui.search.file import parse_search
from tuner_tui.search.problems import SearchError
from tuner_tui.search.search import Search
from tuner_tui.search.write import to_toml

TEXT = """
target = "a:b"
[space]
kind = { choices = ["x", "y"], role = "scientific" }
lr = { log = [1e-5, 1e-1], role = "nuisance" }
drop = { float = [0, 0.5], role = "fixed", value = 0.1 }
depth = { int = [1, 4], when = { kind = "x" } }
"""


def roles(search: Search) -> dict[str, str]:
    return {h.name: h.role for h in search.space}


def test_roles_are_read_and_a_fixed_one_has_its_value():
    search = parse_search(TEXT, "a.toml")
    assert roles(search) == {"kind": "scientific", "lr": "nuisance", "depth": ""}
    assert search.fixed == {"drop": 0.1}


def test_they_survive_the_journal_and_a_file():
    search = parse_search(TEXT, "a.toml")
    assert roles(Search.from_json(search.to_json())) == roles(search)
    again = parse_search(to_toml(search), "a.toml")
    assert roles(again) == roles(search) and again == search


def test_a_role_is_no_change_of_the_space():
    plain = TEXT.replace(', role = "scientific"', "")
    assert parse_search(plain, "a.toml").space == parse_search(TEXT, "a.toml").space


def test_set_keeps_the_role_and_varies_a_fixed_one():
    search = parse_search(
        TEXT, "a.toml", ["lr={log=[1e-4,1e-2]}", "drop={float=[0,0.2]}", "kind=['x','y','z']"]
    )
    assert roles(search) == {"kind": "scientific", "lr": "nuisance", "drop": "", "depth": ""}
    assert search.fixed == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('lr = { log = [1e-5, 1e-1], role = "scientifc" }', "did you mean scientific"),
        ("lr = { log = [1e-5, 1e-1], role = 3 }", "unknown role 3; choose scientific, nuisance, fixed"),
        ('lr = { log = [1e-5, 1e-1], role = "fixed" }', "needs its value"),
        (
            'lr = { log = [1e-5, 1e-1], role = "fixed", value = 1.0 }',
            "lies outside of its range 1e-05 to 0.1",
        ),
        ('lr = { int = [1, 5], role = "fixed", value = 1.5 }', "is no whole number"),
        ('lr = { choices = ["a", "b"], role = "fixed", value = "c" }', "is none of its choices"),
        ("lr = { log = [1e-5, 1e-1], value = 0.01 }", "goes with role"),
        (
            'lr = { int = [1, 5], role = "fixed", value = 1, when = { k = 1 } }\nk = [1, 2]',
            "has no condition",
        ),
    ],
)
def test_mistakes_name_the_place_and_the_remedy(line, said):
    with pytest.raises(SearchError) as error:
        parse_search(f'target = "a:b"\n[space]\n{line}\n', "a.toml")
    assert said in str(error.value) and "space.lr" in str(error.value)
