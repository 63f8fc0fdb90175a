"""`tuner find-lr` through its front door, with an invented finder and a real engine."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest
from support.sabotage import study, tuner, workplace

SEARCH = """
name = "small"
target = "ways_to_end:train"
finder = "ways_to_end:finder"
[space]
lr = { log = [1e-5, 1.0] }
x = { log = [0.1, 10.0] }
"""
one_sweep = pytest.mark.xdist_group("found")  # what `found` makes is made once, however many workers
WITHOUT_LR = SEARCH.replace("lr = { log = [1e-5, 1.0] }\n", "")  # its target has none


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = workplace(tmp_path_factory.mktemp("found"), SEARCH)
    return folder, tuner(folder, "find-lr", "--set", "x=2", "--gpus", "none", "--json", "lr.json")


@one_sweep
def test_it_is_a_study_of_its_own_with_what_was_fixed(found):
    folder, done = found
    assert done.returncode == 0, done.stderr
    snapshot = study(folder, "small-lr-1").snapshot()
    [trial] = snapshot.trials.values()
    assert trial.params == {"x": 2} and trial.outcome == "finished" and trial.steps == 91
    assert snapshot.search.target == "ways_to_end:finder" and len(snapshot.search.space) == 0


@one_sweep
def test_it_prints_its_progress_the_curve_and_a_line_for_the_search(found):
    _, done = found
    rates = [float(rate) for rate in re.findall(r"^step +\d+ +lr +(\S+) +loss", done.stdout, re.MULTILINE)]
    assert rates and rates == sorted(rates) and 1e-5 <= rates[0] <= rates[-1] <= 3.0
    assert "┊" in done.stdout and "\x1b" not in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("suggested lr 0.0032 (") and last.endswith("lr = { log = [3.2e-4, 0.016] }")


@one_sweep
def test_its_json_has_the_curve(found):
    folder, _ = found
    record = json.loads((folder / "lr.json").read_text(), parse_constant=pytest.fail)
    assert (record["study"], record["outcome"], record["suggested"]) == ("small-lr-1", "finished", 3.2e-3)
    assert len(record["curve"]) == 90 and record["curve"][0][0] == 1e-5
    assert record["steepest"] < record["lowest"] < record["diverges"]


@one_sweep
def test_mlflow_has_its_rates(found):
    folder, _ = found
    with sqlite3.connect(folder / "mlruns" / "mlflow.db") as store:
        rows = store.execute("select count(*) from metrics where key = 'lr'").fetchone()
    assert rows == (90,)


def test_a_finder_that_fails_is_exit_code_3_with_the_curve_so_far_and_its_log(tmp_path):
    workplace(tmp_path, SEARCH)
    done = tuner(tmp_path, "find-lr", "--set", "fixed.fails_at=60", "--gpus", "none")
    assert done.returncode == 3
    assert "the finder did not finish: exception: RuntimeError: lost the thread" in done.stdout
    assert "trials/0/log.txt" in done.stdout and "the finder suggests no rate (" in done.stdout


@pytest.mark.parametrize(
    ("words", "search", "sentence"),
    [
        (
            ["find-lr"],
            SEARCH.replace("finder", "# finder"),
            "tuner.toml: finder: missing; name a learning-rate",
        ),
        (["find-lr"], SEARCH.replace(":finder", "/finder.py"), "tuner.toml: finder: "),
        (["find-lr", "--set", "fixed.nothing=3"], SEARCH, "takes no 'nothing'"),
        (["check"], WITHOUT_LR.replace(":finder", ":missing"), "has no 'missing'"),
        (["check", "caption", "--set", "fixed.convnet.depht=3"], SEARCH, "did you mean convnet.depth"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(tmp_path, words, search, sentence):
    workplace(tmp_path, search)
    done = tuner(tmp_path, *words)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_check_takes_a_finder_that_resolves(tmp_path):
    workplace(tmp_path, WITHOUT_LR)
    assert tuner(tmp_path, "check").returncode == 0
