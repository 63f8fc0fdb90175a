"""A search written as a search file is read back as it was; what can be changed of a running one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from support.search_strategies import searches

from tuner_tui.search.builtin import builtin_searches
from tuner_tui.search.change import changed
from tuner_tui.search.file import load_search, parse_search
from tuner_tui.search.problems import SearchError
from tuner_tui.search.search import Search
from tuner_tui.search.space import Choice, Float, Int, Space, widest
from tuner_tui.search.write import to_toml

TEXT = """
target = "train:main"
objective = "loss"
[space.optimizer]
lr = { log = [1e-5, 1e-1] }
[space.model]
width = { int = [16, 512], log = true }
kind = ["attention", "conv"]
depth = { int = [4, 64], when = { kind = "conv" } }
[fixed]
steps = 100
"""
SEARCH = parse_search(TEXT, "/nowhere/tuner.toml")


@given(searches())
def test_any_search_is_read_back_as_it_was(search: Search) -> None:
    found = parse_search(to_toml(search), "/nowhere/x.toml")
    in_order = Space(tuple(sorted(search.space, key=lambda h: search.space.groups.index(h.group))))
    assert found == replace(search, space=in_order)  # those without a group are one table, like a group


@pytest.mark.parametrize("path", builtin_searches().values(), ids=str)
def test_the_builtin_searches_are_read_back(path) -> None:
    search = load_search(path)
    assert parse_search(to_toml(search), str(path)) == search


def test_ranges_choices_and_fixed_values_of_a_running_search_can_change() -> None:
    found = changed(SEARCH, ["lr={ log = [1e-6, 1e-2] }", 'kind=["conv"]', "width=64", "steps=200"])
    assert found.space["lr"].distribution == Float(1e-6, 1e-2, log=True)
    assert found.space["lr"].group == "optimizer"
    assert found.space["kind"].distribution == Choice(("conv",))
    assert "width" not in found.space.names and found.fixed == {"steps": 200, "width": 64}
    assert found.space["depth"].when == (("kind", ("conv",)),)
    again = changed(found, ["width={ int = [16, 32] }"])  # what was fixed can be drawn again
    assert again.space["width"].distribution == Int(16, 32)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("lrr=1", "did you mean lr?"),
        ("trials=3", "no such hyperparameter"),
        ("lr={ log = [0, 1] }", "must be above 0"),
        ('kind=["conv"', "not valid TOML"),
        ("lr", "not key=value"),
    ],
)
def test_other_changes_are_refused_with_a_remedy(setting, said) -> None:
    with pytest.raises(SearchError, match=said):
        changed(SEARCH, [setting])


def test_the_widest_space_holds_every_value_there_ever_was() -> None:
    narrow = changed(SEARCH, ["lr={ log = [1e-3, 1] }", 'kind=["conv"]', "width=64"]).space
    found = widest((SEARCH.space, narrow))
    assert found["lr"].distribution == Float(1e-5, 1.0, log=True)
    assert set(found["kind"].distribution.options) == {"attention", "conv"}
    assert found["width"] == SEARCH.space["width"]
