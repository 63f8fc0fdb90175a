"""The command of a trial: places are filled, nothing is read by a shell, mistakes are told before a trial."""

from __future__ import annotations

import argparse
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner_tui.search.command import expand, problems_of
from tuner_tui.search.file import parse_search
from tuner_tui.search.problems import SearchError

FILLED = {
    "seed": 7,
    "out": "/o",
    "folder": "/f",
    "device": "cpu",
    "trial": 3,
    "slot": 1,
    "params_file": "/p.json",
}


def test_places_are_filled_anywhere_and_the_rest_follows_in_order():
    command = ["python", "train.py", "--lr={lr}", "-o{out}/{trial}", "{rest}", "{{x}}", "{}", '{"a": 1}']
    params = {"lr": 1e-3, "net.depth": 4, "bias": True, "norm": False, "kind": "a b;$HOME"}
    assert expand(command, params, FILLED) == [
        "python", "train.py", "--lr=0.001", "-o/o/3", "--net.depth=4", "--bias", "--kind=a b;$HOME", "{x}", "{}",
        '{"a": 1}',
    ]  # fmt: skip


def test_hydra_takes_its_overrides_as_it_spells_them():
    params = {"optimizer.lr": 0.5, "model/kind": "big", "clip": False, "sizes": [1, 2]}
    assert expand(["python", "app.py", "{overrides}"], params, FILLED)[2:] == [
        "optimizer.lr=0.5", "model/kind=big", "clip=false", "sizes=[1, 2]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("relu", "relu"), ("a b", "a b"), ("a/b:c@d-e", "a/b:c@d-e"), ("", ""), ("a,b", "'a,b'"), ("a=b", "'a=b'"),
        ("x(1)", "'x(1)'"), ("it's", r"'it\'s'"), (r"a\'b", r"'a\\\'b'"), ("end\\", r"'end\\'"), (" lead", "' lead'"),
        ("é", "'é'"),
    ],
)  # fmt: skip
def test_a_text_that_hydra_would_misread_is_quoted(text, spelt):
    """Seen with Hydra 1.3.8: `act=a,b` is a sweep there, and `act=a=b` an error. It reads each of these as `text`."""
    assert expand(["{overrides}"], {"k": text}, FILLED) == [f"k={spelt}"]


def test_what_a_trial_does_not_have_is_left_out():
    assert expand(["x", "--depth={depth}", "--lr={lr}"], {"lr": 1}, FILLED) == ["x", "--lr=1"]


def test_a_hyperparameter_goes_before_what_is_filled_in():
    assert expand(["x", "{seed}"], {"seed": 99}, FILLED) == ["x", "99"]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True), st.floats(allow_nan=False), max_size=5
    )
)
def test_argparse_reads_the_rest_back_as_it_was(params):
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    for name in params:
        parser.add_argument(f"--{name}", type=float)
    assert vars(parser.parse_args(expand(["{rest}"], params, FILLED))) == params


@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers()),
)
def test_any_command_is_expanded_or_told_wrong_without_a_crash(command, params):
    list(problems_of(command, list(params), []))
    assert all(isinstance(argument, str) for argument in expand(command, params, FILLED))


@pytest.mark.parametrize(
    ("command", "space", "expected"),
    [
        (
            '"python train.py --lr={lr}"',
            "lr = { log = [1, 2] }",
            'write a list, no shell reads it: ["python", ',
        ),
        ("[]", "", "is no command"),
        ("3", "", "is no command"),
        ('["python", 3]', "", "is no command"),
        ('["x", "--lr={learning_rate}"]', "lr = { log = [1, 2] }", "{learning_rate} is no hyperparameter"),
        ('["x", "--lr={l}", "{rest}"]', "lr = { log = [1, 2] }", "did you mean lr"),
        ('["x"]', "lr = { log = [1, 2] }", "does not use lr; add --lr={lr}, or {rest}"),
        ('["x", "all={rest}"]', "lr = { log = [1, 2] }", "let it stand alone"),
        (
            '["x", "--kind={kind}", "--depth", "{depth}"]',
            'kind = ["a", "b"]\ndepth = { int = [1, 3], when = { kind = "a" } }',
            "not every trial has depth; write the option in one piece: --depth={depth}",
        ),
    ],
)
def test_mistakes_are_told_with_a_remedy(command, space, expected):
    with pytest.raises(SearchError) as caught:
        parse_search(f"command = {command}\n[space]\n{space}\n", "x.toml")
    assert expected in str(caught.value) and str(caught.value).startswith("x.toml: command")


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (r"pattern = 'loss (\S+'", 'read.pattern: "loss (\\\\S+" is no regular expression'),
        (r"pattern = 'loss (\S+)'", "names no group; name what it reads: (?P<loss>"),
        (r"pattern = 'val (?P<val>\S+)'", "none of its groups is the objective 'loss'"),
        ("pattern = 3", "read.pattern: 3 is no pattern"),
        ("file = 3", "read.file: 3 is no path"),
        ("step = 3", "read.step: 3 is no name"),
        ("patern = 'x'", "read.patern: unknown key; did you mean pattern?"),
    ],
)
def test_how_output_is_read_is_checked_before_a_trial(read, expected):
    with pytest.raises(SearchError) as caught:
        parse_search(f'command = ["x"]\n[read]\n{read}\n', "x.toml")
    assert expected in str(caught.value)


def test_a_target_and_a_command_are_one_too_many_and_read_is_for_commands():
    with pytest.raises(SearchError, match="target is given too"):
        parse_search('target = "a:b"\ncommand = ["x"]', "x.toml")
    with pytest.raises(SearchError, match=r"x.toml: read: is for a command"):
        parse_search('target = "a:b"\n[read]\nstep = "epoch"', "x.toml")


def test_a_command_survives_the_journal_and_a_file(tmp_path):
    from tuner_tui.search.search import Search
    from tuner_tui.search.write import to_toml

    text = (
        'command = ["python", "t.py", "{rest}"]\npython = ".venv/bin/python"\ngpus_per_trial = 2\n'
        "[read]\npattern = ['loss (?P<loss>.*)', 'acc (?P<acc>.*)']\nstep = \"epoch\"\n"
    )
    search = parse_search(text, str(tmp_path / "x.toml"))
    assert Search.from_json(json.loads(json.dumps(search.to_json()))) == search
    assert parse_search(to_toml(search), str(tmp_path / "x.toml")) == search
