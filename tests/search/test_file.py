"""Search files: what a person writes becomes the search they meant, or a full list of what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.search_files import CAPTION, TARGET, parse, read_or_refused
from support.search_strategies import raw, scalars, searches, to_toml

from tuner_tui.search.file import load_search, parse_search
from tuner_tui.search.problems import SearchError
from tuner_tui.search.search import Limits, Search, finder_search
from tuner_tui.search.space import Choice, Float, Int


def problems(text: str) -> list[str]:
    with pytest.raises(SearchError) as caught:
        parse(TARGET + text)
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return str(caught.value).splitlines()


def test_the_example_of_the_readme(tmp_path: Path) -> None:
    path = tmp_path / "caption.toml"
    path.write_text(CAPTION)
    search = load_search(path)
    assert (search.name, search.target, search.objective) == (
        "caption-emd",
        "models.train:train",
        "loss/valid",
    )
    assert (search.direction, search.sampler, search.trials, search.parallel) == (
        "minimize",
        "random",
        100,
        1,
    )
    assert search.folder == str(tmp_path)
    assert search.limits == Limits(trial_seconds=3600, silent_seconds=600)
    assert search.space.groups == ("optimizer", "model")
    assert search.space.names == (
        "lr", "batch_size", "convnet.kind", "convnet.depth", "merger.kind", "merger.depth",
    )  # fmt: skip
    assert search.space["lr"].distribution == Float(1e-5, 1e-1, log=True)
    assert search.space["batch_size"].distribution == Int(5, 30)
    assert search.space["merger.kind"].distribution == Choice(("attention", "conv"))
    assert search.space["merger.depth"].when == (("merger.kind", ("conv",)),)


def test_every_form_of_a_distribution() -> None:
    space = parse(
        TARGET
        + """[space]
        a = { log = [1e-5, 1] }
        b = { float = [0, 1] }
        c = { float = [0, 1], step = 0.1 }
        d = { float = [1, 10], log = true }
        e = { int = [1, 9] }
        f = { int = [1, 9], step = 2 }
        g = { int = [1, 9], log = true }
        h = ["x", 3, 2.5, true, [1, 2]]
        i = { choices = [false, true], when = { e = [1, 2], f = 3, c = 0.3, h = [[1, 2], "x"] } }
        j = { choices = ["only"], when = { h = [1, 2] } }
        """
    ).space
    assert [h.distribution for h in space] == [
        Float(1e-5, 1.0, True), Float(0.0, 1.0), Float(0.0, 1.0, False, 0.1), Float(1.0, 10.0, True),
        Int(1, 9), Int(1, 9, False, 2), Int(1, 9, True),
        Choice(("x", 3, 2.5, True, (1, 2))), Choice((False, True)), Choice(("only",)),
    ]  # fmt: skip
    assert space["i"].when == (("e", (1, 2)), ("f", (3,)), ("c", (0.3,)), ("h", ((1, 2), "x")))
    assert space["j"].when == (("h", ((1, 2),)),)  # the list is itself an option, so it is one value


def test_a_gpu_is_shared_by_trials_or_a_trial_has_several() -> None:
    assert parse(TARGET + "trials_per_gpu = 2").trials_per_gpu == 2
    [problem] = problems("gpus_per_trial = 2\ntrials_per_gpu = 2")
    assert problem.startswith("caption.toml: trials_per_gpu: gpus_per_trial = 2 is given too; ")


def test_defaults_are_few_and_a_target_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "lr-only.toml"
    path.write_text("\ufeff" + TARGET.replace("\n", "\r\n"), encoding="utf-8")  # as some editors save it
    search = load_search(path)
    assert search == Search("lr-only", "train:main", "loss", search.space, folder=str(tmp_path))
    assert len(search.space) == 0


@given(searches())
def test_any_valid_search_is_read_as_meant(search: Search) -> None:
    assert parse_search(to_toml(raw(search)), "/nowhere/x.toml") == search


@given(searches())
def test_a_search_comes_back_from_json_as_it_was(search: Search) -> None:
    assert Search.from_json(json.loads(json.dumps(search.to_json(), allow_nan=False))) == search


def test_json_of_a_newer_version_is_still_read() -> None:
    search = parse(CAPTION)
    record = search.to_json()
    record["referee"] = "strict"
    record["limits"]["gpu_gb"] = 3
    assert Search.from_json(record) == search


any_toml = st.recursive(
    scalars | st.floats() | st.integers() | st.just([]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["log", "int", "float", "choices", "step", "when", "a", "a.b", "", "\x1b"]), inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)  # fmt: skip


@given(searches(), st.data())
def test_a_search_with_something_odd_in_it_is_read_or_refused_and_nothing_else(search: Search, data) -> None:
    tables = raw(search)
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = tables
        while True:  # walk to a random place
            key = data.draw(st.sampled_from(sorted(place)) if place else st.just("lr"))
            inner = place.get(key)
            if not isinstance(inner, dict) or not inner or data.draw(st.booleans()):
                break
            place = inner
        match data.draw(st.sampled_from(["replace", "add", "rename", "delete"])):
            case "replace":
                place[key] = data.draw(any_toml)
            case "add":
                place[data.draw(st.sampled_from(["x", "log", "when", "lr", "a.b"]))] = data.draw(any_toml)
            case "rename":
                place[data.draw(st.sampled_from(["x", "int", "trials"]))] = place.pop(key, 1)
            case "delete":
                place.pop(key, None)
    read_or_refused(to_toml(tables))


@given(st.text() | st.text(st.sampled_from(list("[]{}=\"'.,\n 0123eax_#tf"))))
def test_any_text_is_read_or_refused(text: str) -> None:
    read_or_refused(text)


@given(st.integers(0, len(CAPTION)), st.integers(0, 12), st.text(max_size=4))
def test_a_slip_of_the_editor_is_read_or_refused(start: int, length: int, typed: str) -> None:
    read_or_refused(CAPTION[:start] + typed + CAPTION[start + length :])


def test_all_problems_are_told_at_once_with_file_key_value_and_remedy() -> None:
    assert problems(
        """
        trials = 0
        directon = "minimize"
        [space.optimizer]
        lr = { log = [0.0, 1e-1] }
        [limits]
        trial_second = 60
        """
    ) == [
        "caption.toml: directon: unknown key; did you mean direction?",
        "caption.toml: space.optimizer.lr: a log range starts at 0.0; it must be above 0",
        "caption.toml: trials: 0 is out of range; it must be at least 1",
        "caption.toml: limits.trial_second: unknown key; did you mean trial_seconds or grace_seconds?",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lr = { log = [-1, 1] }", "space.lr: a log range starts at -1; it must be above 0"),
        ("lr = { int = [0, 9], log = true }", "space.lr: a log range starts at 0; it must be above 0"),
        ("lr = { float = [2, 1] }", "space.lr: a float range goes from 2 down to 1; swap the two"),
        ("lr = { int = [2, 2] }", "starts and ends at 2; widen it, or put the value in [fixed]"),
        ("lr = { float = [nan, 1] }", "goes from nan to 1; both must be finite"),
        ("lr = { float = [0, inf] }", "goes from 0 to inf; both must be finite"),
        ("lr = { float = [-1.7e308, 1.7e308] }", "wider than a float can hold"),
        ("lr = { float = [1, 2, 3] }", "float = [1, 2, 3] is not a range; write float = [low, high]"),
        ("lr = { float = [false, true] }", "float = [false, true] is not a range"),
        ("lr = { float = ['a', 'b'] }", 'float = ["a", "b"] is not a range'),
        ("lr = { float = 3 }", "float = 3 is not a range"),
        ("lr = { float = [] }", "float = [] is not a range"),
        ("lr = { int = [1.0, 5] }", "write whole numbers, or use float"),
        ("lr = { int = [0, 99999999999999999999] }", "beyond 2**53"),
        ("lr = { int = [0, 9], step = 0.5 }", "step = 0.5 must be a whole number in an int range"),
        ("lr = { int = [0, 9], step = 0 }", "step = 0 must be a number above 0"),
        ("lr = { int = [0, 9], step = true }", "step = true must be a number above 0"),
        ("lr = { int = [0, 9], step = 10 }", "step = 10 is larger than the range 0 to 9"),
        ("lr = { float = [0, 1], step = nan }", "step = nan must be a number above 0"),
        ("lr = { float = [0, 1], step = 1e-30 }", "too fine for its range"),
        ("lr = { int = [1, 9], step = 2, log = true }", "step = 2 does not go with log = true"),
        ("lr = { log = [1, 9], step = 2 }", "step = 2 does not go with log"),
        ("lr = { int = [1, 9], log = 1 }", "log = 1 must be true or false"),
        ("lr = { log = true }", "log = true needs a range"),
        ("lr = { log = [1, 2], int = [1, 2] }", "has both log and int; keep one of them"),
        ("lr = { choices = [1, 2], step = 1 }", "step = 1 does not go with choices"),
        ("lr = { choices = 'ab' }", 'choices = "ab" is not a list'),
        ("lr = []", "the list of choices is empty"),
        ("lr = [1, 2, 1]", "the choice 1 stands there twice"),
        ("lr = [1, true]", "the choice true stands there twice"),
        ("lr = [nan]", "the choice nan is not a finite number"),
        ("lr = [{a = 1}]", "the choice { a = 1 } is not"),
        ("lr = [2020-01-01]", "the choice 2020-01-01 is not"),
        ("lr = 0.1", "space.lr: 0.1 is not a distribution; write"),
        ("lr = {}", "space.lr: is empty"),
        ("lr = { flot = [0, 1] }", 'unknown key "flot"; did you mean float?'),
        ("lr = { uniform = [0, 1] }", 'unknown key "uniform"; did you mean float?'),
        ("lr = { loguniform = [1, 2], step = 1 }", 'unknown key "loguniform"; did you mean log?'),
        ("lr = { int = [0, 1], whem = { a = 1 } }", 'unknown key "whem"; did you mean when?'),
        ("g.lr = { flot = [0, 1] }", 'space.g.lr: unknown key "flot"; did you mean float?'),
        ("g.merger.depth = { int = [1, 2] }", 'space.g.merger: is a table, not a hyperparameter; for a name '
                                              'with a dot quote the name: "merger.depth"'),
        ("g.lr = { int = [1, 2] }\nlr = [1]", "the name stands in space.g.lr too"),
        ("g.trials = 40", "trials = 40 belongs above the first [table]"),
        ('"a\\u001bb" = [1]', '"a\\u001bb" is no name'),
        ('"../x" = [1]', "is no name; use letters"),
        ('"größe" = [1]', "is no name; use letters"),
        ("[fixed]\na = nan", "fixed.a: nan is not a finite number"),
        ("[fixed]\nmerger.kind = 'conv'", 'quote the name: "merger.kind"'),
        ("lr = [1]\n[fixed]\nlr = 1", "space.lr: lr is in [fixed] too"),
        ("[limits]\ntrial_seconds = 0", "limits.trial_seconds: 0 is out of range; write seconds above 0"),
        ("[limits]\ngrace_seconds = inf", "limits.grace_seconds: inf is out of range"),
        ("[limits]\nsilent_seconds = true", "limits.silent_seconds: true is not a number"),
        ("[limits]\nmemory_gb = '8GB'", 'limits.memory_gb: "8GB" is not a number; write gigabytes above 0'),
        ("[limits]\nparallel = 2", "limits.parallel: unknown key; it belongs above the first [table]"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_table(line: str, expected: str) -> None:
    found = problems(f"[space]\n{line}\n")
    assert len(found) == 1 and expected in found[0], found
    assert found[0].startswith("caption.toml: ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("trials = true", "trials: true is not a whole number"),
        ("trials = 3.0", "trials: 3.0 is not a whole number"),
        ("parallel = 0", "parallel: 0 is out of range; it must be at least 1"),
        ("seed = -1", "seed: -1 is out of range; it must be at least 0"),
        ("direction = 'min'", 'direction: unknown direction "min"; choose minimize or maximize'),
        ("direction = 'minimise'", "choose minimize or maximize; did you mean minimize"),
        ("direction = ['minimize']", 'unknown direction ["minimize"]'),
        (
            "sampler = 'grit'",
            'sampler: unknown sampler "grit"; choose random or qmc or grid or tpe or gp or cmaes',
        ),
        (
            "sampler = { name = 'tpe', start_trials = 3 }",
            "sampler.start_trials: the sampler tpe has no such option",
        ),
        (
            "sampler = { name = 'tpe', failures = 'best' }",
            'sampler.failures: "best" is no choice; choose worst or ignore',
        ),
        (
            "sampler = { name = 'random', points = 3 }",
            "sampler.points: the sampler random has no such option; it takes none",
        ),
        ("sampler = 'cmaes'", "sampler: cmaes needs a range that always applies"),
        ("pruner = { name = 'median', warmup_steps = -1 }", "pruner.warmup_steps: -1 does not do"),
        (
            "pruner = { name = 'hyperband', max_resource = 'all' }",
            'pruner.max_resource: "all" does not do; write a whole number of at least 1, or auto',
        ),
        ("isolation = 'thread'", "choose fork or spawn"),
        ("name = ''", 'name: "" is not a name'),
        ("objective = 3", "objective: 3 is not a name"),
        ("trial_seconds = 3", "trial_seconds: unknown key; it belongs under [limits]"),
        ("space = 3", "space: 3 is not a table; write [space]"),
        ("limits = [1]", "limits: [1] is not a table"),
        ('"\\u0000" = 1', '"\\u0000": unknown key; the keys are name, target'),
    ],
)
def test_a_mistake_above_the_tables(line: str, expected: str) -> None:
    found = problems(f"{line}\n")
    assert len(found) == 1 and expected in found[0], found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", 'missing; name the training function: target = "module:function"'),
        ("", 'or a script: command = ["python", "train.py", "{rest}"]'),
        ("target = 3", '3 names no function; write "module:function"'),
        ("target = 'train'", '"train" names no function; write "train:function"'),
        ("target = 'train.py:main'", 'name the module, not its file: "train:main"'),
        (
            "target = './src/train.py'",
            'command = ["python", "./src/train.py", "{rest}"]; for a function in it',
        ),
        ("target = './src/train.py'", 'name the module: "src.train:train"'),
        ("target = 'python train.py'", 'for a script write command = ["python", "train.py"]'),
        ("target = 'train:main()'", "names no function"),
        ("target = 'train:'", "names no function"),
        ("target = ':main'", "names no function"),
        ("target = 'a b:main'", "names no function"),
        ("target = 'train:lambda'", "names no function"),
    ],
)
def test_a_target_that_is_none(line: str, expected: str) -> None:
    with pytest.raises(SearchError) as caught:
        parse(line)
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith("caption.toml: target: ") and expected in str(caught.value)


KINDS = """[space]
kind = ["a", "b"]
flag = [true, false]
n = { int = [1, 9], step = 2 }
x = { float = [0, 1] }
s = { float = [0, 1], step = 0.25 }
"""


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("{ kin = 'a' }", 'space.y.when: unknown hyperparameter "kin"; did you mean kind?'),
        ("{ kind = 'c' }", """kind can't be "c": its choices are ["a", "b"]"""),
        ("{ kind = ['a', 'c'] }", """kind can't be "c\""""),
        ("{ flag = 1 }", "flag can't be 1: its choices are [true, false]"),
        ("{ n = 2 }", "n can't be 2: it is drawn from 1 to 9 in steps of 2"),
        ("{ n = 11 }", "n can't be 11"),
        ("{ n = true }", "n can't be true"),
        ("{ n = nan }", "n can't be nan"),
        ("{ x = 0.5 }", "x can't be 0.5: it is drawn from a range without steps"),
        ("{ s = 0.3 }", "s can't be 0.3: it is drawn from 0.0 to 1.0 in steps of 0.25"),
        ("{ f = 2 }", "f can't be 2: it is fixed at 1"),
        ("{ f = true }", "f can't be true: it is fixed at 1"),
        ("{ kind = [] }", "kind = [] lets it apply never"),
        ("{ y = 1 }", "y can't depend on itself"),
        ("{ }", "{} is not a condition"),
        ("'conv'", '"conv" is not a condition; write when = { "other" = value }'),
        ("{ g.kind = 'a' }", 'for a name with a dot quote it: "g.kind"'),
    ],
)
def test_a_condition_that_can_never_hold(condition: str, expected: str) -> None:
    found = problems(f"{KINDS}y = {{ int = [1, 2], when = {condition} }}\n[fixed]\nf = 1\n")
    assert len(found) == 1 and expected in found[0], found


def test_conditions_in_a_circle_and_those_that_contradict_each_other() -> None:
    assert problems(
        KINDS
        + """
        p = { choices = [1], when = { q = 1 } }
        q = { choices = [1], when = { r = 1 } }
        r = { choices = [1], when = { p = 1 } }
        after = { choices = [1], when = { r = 1 } }
        deep = { choices = [1], when = { kind = "a" } }
        deeper = { choices = [1], when = { deep = 1, kind = "b" } }
        typo = { choices = [1], when = { kind = "z" } }
        """
    ) == [
        "caption.toml: space.p.when: conditions go in a circle: p needs q needs r needs p; remove one of them",
        """caption.toml: space.typo.when: kind can't be "z": its choices are ["a", "b"]; """
        "change or remove the condition",
        "caption.toml: space.deeper.when: its conditions can never hold together; relax one of them",
    ]


def test_a_condition_on_a_fixed_value_holds_where_it_is_that_value() -> None:
    space = parse(
        TARGET + "[space]\nd = { int = [1, 2], when = { f = [1, 2] } }\n[fixed]\nf = [1, 2]\n"
    ).space
    assert space["d"].applies({"f": [1, 2]}) and not space["d"].applies({"f": 1})


def test_a_group_may_hold_a_hyperparameter_with_a_name_of_the_format() -> None:
    space = parse(
        TARGET + "[space.data]\nrange = ['a', 'b']\npoint = [1, 2]\nvalues = { int = [1, 2] }\n"
    ).space
    assert space.names == ("range", "point", "values") and space.groups == ("data",)


def test_bad_toml_is_told_with_its_line() -> None:
    assert problems("a = 1\nb = \n") == [
        "caption.toml: line 3, column 5: not valid TOML: invalid value; correct it there"
    ]
    assert "not valid TOML" in problems("a = " + "[" * 20_000)[0]
    assert "not valid TOML" in problems("a = " + "9" * 5_000)[0]  # Python refuses so long a number


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def message(path: Path | str) -> str:
        with pytest.raises(SearchError) as caught:
            load_search(path)
        (problem,) = caught.value.problems
        assert problem.file == str(path)
        return problem.message

    assert message(tmp_path / "absent.toml") == "can't be read: No such file or directory; check the path"
    assert message(tmp_path) == "can't be read: Is a directory; check the path"
    assert "can't be read" in message("a\0b")
    (tmp_path / "latin.toml").write_bytes(b'name = "gr\xf6\xdfer"\n')
    assert message(tmp_path / "latin.toml") == "not UTF-8 at byte 10; save the file as UTF-8"


def test_reading_a_search_wakes_no_heavy_library(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(CAPTION)
    code = (
        "import sys; from tuner_tui.search.file import load_search; load_search(sys.argv[1])\n"
        "from tuner_tui.search.builtin import builtin_searches; builtin_searches()\n"
        "print(*{'optuna', 'numpy', 'torch', 'mlflow', 'textual', 'models'} & set(sys.modules))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.toml"], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == ""


def test_a_finder_is_optional_and_runs_with_the_fixed_values_alone():
    assert parse(CAPTION).finder == ""
    search = parse(CAPTION + "[fixed]\nsteps = 3\n", 'finder="models.lrfind:find"', "lr=0.1", "parallel=4")
    found = finder_search(search)
    assert (found.name, found.target, found.objective) == ("caption-emd-lr", "models.lrfind:find", "loss")
    assert (found.trials, found.parallel, len(found.space)) == (1, 1, 0)
    assert found.fixed == {"steps": 3, "lr": 0.1} and found.limits == search.limits
    assert Search.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("value", ['"find"', '"models/lrfind.py:find"', "3"])
def test_a_finder_that_names_no_function_is_a_problem(value):
    [problem] = problems(f"finder = {value}\n")
    assert problem.startswith("caption.toml: finder: ") and "module" in problem


@pytest.mark.parametrize("deep", [30, 500, 5000])
@pytest.mark.parametrize(
    "text",
    [
        "[fixed]\nx = {0}{1}", "[{2}]\nx = 1", "[space.{2}]\nx = 1", "fixed.{2} = 1",
        "[space]\nx = {{ log = {0}1{1} }}",
    ],
)  # fmt: skip
def test_however_deep_a_file_is_nested_it_is_refused_in_a_sentence(text, deep):
    with pytest.raises(SearchError):
        parse_search(TARGET + text.format("[" * deep, "]" * deep, ".".join("a" * deep)), "x.toml")


def test_a_sampler_and_a_pruner_are_a_text_or_a_table_with_options() -> None:
    plain = parse(f"{TARGET}sampler = 'tpe'\npruner = 'median'\n")
    assert (plain.sampler, plain.sampler_options, plain.pruner) == ("tpe", {}, "median")
    text = f"{TARGET}[sampler]\nname = 'tpe'\nstartup_trials = 20\n[pruner]\nname = 'hyperband'\nmax_resource = 81\n"
    search = parse(text)
    assert (search.sampler, search.sampler_options) == ("tpe", {"startup_trials": 20})
    assert (search.pruner, search.pruner_options) == ("hyperband", {"max_resource": 81})
    assert (
        parse_search(text, "x.toml", ["sampler=gp"]).sampler_options == {}
    )  # a name brings its own defaults
    changed = parse_search(text, "x.toml", ["sampler.failures=ignore", "pruner.reduction_factor=2"])
    assert changed.sampler_options == {"startup_trials": 20, "failures": "ignore"}
    assert changed.pruner_options == {"max_resource": 81, "reduction_factor": 2}
    assert parse_search(TARGET, "x.toml", ["sampler=tpe", "sampler.startup_trials=3"]).sampler_options == {
        "startup_trials": 3
    }


def test_a_grid_too_large_to_run_is_refused_before_the_sweep() -> None:
    space = "".join(f"x{n} = {{ float = [0, 1] }}\n" for n in range(8))
    with pytest.raises(
        SearchError, match=r"sampler: the grid has more than 100,000 points; take fewer points"
    ):
        parse(f"{TARGET}sampler = 'grid'\n[space]\n{space}")


@pytest.mark.parametrize("kind", ["hyperparameters", "choices"])
def test_a_file_as_long_as_may_be_takes_seconds_and_a_longer_one_a_sentence(kind):
    line, end = {
        "hyperparameters": ("h{} = {{ log = [1e-5, 1e-1] }}\n", ""), "choices": ('"option {}",\n', "]\n"),
    }[kind]  # fmt: skip
    begin = TARGET + "[space]\n" + {"choices": "x = [\n", "hyperparameters": ""}[kind]
    count = (990_000 - len(begin)) // len(line.format(10_000))
    began = time.process_time()
    assert parse_search(begin + "".join(map(line.format, range(count))) + end, "x.toml").space.names
    assert time.process_time() - began < 30  # two, measured; the square of the length would be minutes
    began = time.process_time()
    with pytest.raises(SearchError, match="characters, and a search file may have 1,000,000"):
        parse_search(begin + "".join(map(line.format, range(10 * count))) + end, "x.toml")
    assert time.process_time() - began < 5
