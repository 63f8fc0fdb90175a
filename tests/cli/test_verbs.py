"""The verbs through their front door: exit codes, what they print, what they refuse and how."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from support.sabotage import study, tuner, workplace

one_sweep = pytest.mark.xdist_group("swept")  # what `swept` makes is made once, however many workers
REPOSITORY = Path(__file__).parents[2]
SEARCH = """
name = "small"
target = "ways_to_end:train"
trials = 8
parallel = 2
[space.optimizer]
x = { log = [0.1, 10.0] }
[space.model]
how = ["returns", "raises", "segfault_early"]
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder with one finished study and all its reports; what the sweep printed and its exit code."""
    folder = workplace(tmp_path_factory.mktemp("swept"), SEARCH)
    done = tuner(
        folder,
        "sweep",
        "--headless",
        "--json",
        "out/r.json",
        "--junit",
        "out/j.xml",
        "--markdown",
        "out/m.md",
    )
    return folder, done


@one_sweep
def test_a_headless_sweep_reports_what_the_journal_says(swept):
    folder, done = swept
    assert done.returncode == 0, done.stderr
    snapshot = study(folder, "small-1").snapshot()
    result = json.loads((folder / "out" / "r.json").read_text())
    counts = snapshot.counts
    assert result["study"] == "small-1"
    assert result["counts"] == {
        "finished": counts.finished, "unfinished": counts.unfinished, "no_start": counts.no_start,
        "before": 0,
    }  # fmt: skip
    assert [t["number"] for t in result["trials"]] == list(range(8))
    assert result["best"]["number"] == snapshot.best.number
    assert len(ElementTree.parse(folder / "out" / "j.xml").getroot().findall(".//testcase")) == 8
    assert "small-1" in (folder / "out" / "m.md").read_text()
    assert done.stdout.count("\n[") == 8  # a plain line an ended trial
    assert "\x1b" not in done.stdout and "\r" not in done.stdout
    assert re.search(r"exception +\d", done.stdout) and "Best of" in done.stdout


@pytest.mark.parametrize(
    ("conditions", "code"),
    [
        (["best > 100"], 0),
        (["best < 100"], 1),
        (["best > 100", "no_start > 1%"], 1),
        (["failed == 0"], 0),
    ],
)
def test_fail_if_sets_the_exit_code(tmp_path, conditions, code):
    workplace(
        tmp_path, SEARCH.replace('["returns", "raises", "segfault_early"]', '["returns", "raises_early"]')
    )
    words = [word for condition in conditions for word in ("--fail-if", condition)]
    done = tuner(tmp_path, "sweep", "--headless", *words)
    snapshot = study(tmp_path, "small-1").snapshot()
    assert snapshot.counts.no_start and snapshot.counts.finished  # both kinds occurred
    assert done.returncode == code, done.stdout


def test_no_finished_trial_is_exit_code_3(tmp_path):
    workplace(tmp_path, SEARCH)
    done = tuner(tmp_path, "sweep", "--headless", "--trials", "2", "--set", "how=raises_early")
    assert done.returncode == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sweep", "missing.toml"], "missing.toml"),
        (["sweep", "captoin"], "caption"),
        (["sweep", "--set", "trails=3"], "trials"),
        (["sweep", "--set", "x={log=[0,1]}"], "must be above 0"),
        (["sweep", "--fail-if", "best >"], "best"),
        (["sweep", "--gpus", "all"], "--gpus all: write auto, none, or numbers such as 0,1"),
        (["resume"], "`tuner sweep` starts one"),
        (["plot", "nothing"], "`tuner sweep` starts one"),
        ([], "the screen needs a terminal"),
    ],
)
def test_bad_input_is_refused_in_a_sentence_before_anything_runs(tmp_path, words, sentence):
    workplace(tmp_path, SEARCH)
    done = tuner(tmp_path, *words, env=None)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "mlruns").exists()


def test_all_errors_of_a_file_come_at_once(tmp_path):
    workplace(tmp_path, SEARCH.replace("trials = 8", "trials = 0").replace("[0.1, 10.0]", "[0.0, 10.0]"))
    done = tuner(tmp_path, "sweep", "--headless")
    assert done.returncode == 2
    assert "tuner.toml: trials: " in done.stderr and "tuner.toml: space.optimizer.x: " in done.stderr


@one_sweep
def test_plot_prints_the_scatterplots_and_saves_pictures(swept):
    folder, _ = swept
    done = tuner(folder, "plot", "small", "--width", "100", "--save", "p/a.png", "--save", "p/a.svg")
    assert done.returncode == 0, done.stderr
    assert "never started" in done.stdout and "\x1b" not in done.stdout
    assert (folder / "p" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "p" / "a.svg").read_text()
    refused = tuner(folder, "plot", "--save", "a.gif")
    assert refused.returncode == 2 and ".png or .svg" in refused.stderr


@one_sweep
def test_plot_shows_points_medians_or_the_best_near_each_value(swept):
    folder, _ = swept
    points, best = (tuner(folder, "plot", "--show", show).stdout for show in ("points", "best"))
    assert points == tuner(folder, "plot").stdout
    assert best.count("●") <= points.count("●") and best.count("★") == points.count("★")
    assert tuner(folder, "plot", "--show", "all").returncode == 2


@one_sweep
def test_list_and_check_and_names_by_their_beginning(swept):
    folder, _ = swept
    assert re.search(r"small-1 +done +8/8 ended", tuner(folder, "list").stdout)
    checked = tuner(folder, "check")
    assert checked.returncode == 0 and "trial 0: x=" in checked.stdout
    drawn = study(folder, "small-1").snapshot().trials[0].params["x"]
    assert f"trial 0: x={drawn:.4g}" in checked.stdout  # what it shows is what runs
    wrong = tuner(folder, "plot", "smell")
    assert wrong.returncode == 2 and "there is small-1" in wrong.stderr
    unknown = tuner(folder, "check", "--set", "target=ways_to_end:missing")
    assert unknown.returncode == 2 and "has no 'missing'" in unknown.stderr


@one_sweep
@one_sweep
def test_narrow_shows_and_writes_the_next_search(swept, tmp_path):
    folder, _ = swept
    few = tuner(folder, "narrow")
    assert few.returncode == 2 and "Too few trials to narrow a search" in few.stderr
    workplace(tmp_path, SEARCH.replace("trials = 8", "trials = 26").replace(', "segfault_early"', ""))
    assert tuner(tmp_path, "sweep", "--headless", "--set", "how=returns").returncode == 0
    before = study(tmp_path, "small-1").snapshot()
    shown = tuner(tmp_path, "narrow", "--best", "30")
    assert shown.returncode == 0 and "26 finished" in shown.stdout and not (tmp_path / "next.toml").exists()
    done = tuner(tmp_path, "narrow", "--best", "30", "--to", "next.toml")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "next.toml").read_text().splitlines()[1].startswith("# After small-1: 26 trials")
    checked = tuner(tmp_path, "check", "next.toml")
    assert checked.returncode == 0 and "26 trials of ways_to_end:train" in checked.stdout
    again = tuner(tmp_path, "narrow", "--to", "next.toml")
    assert again.returncode == 2 and "--force" in again.stderr
    assert study(tmp_path, "small-1").snapshot() == before  # it starts and changes nothing
    assert len(list((tmp_path / "mlruns").glob("small-*"))) == 1


def test_stop_asks_only_a_running_study(swept):
    folder, _ = swept
    done = tuner(folder, "stop")
    assert done.returncode == 2 and "is not running" in done.stderr


def test_every_verb_and_option_is_in_the_docs():
    from typer.main import get_command

    from tuner_tui.cli import app

    text = "\n".join(
        path.read_text() for path in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
    )
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        if command.hidden:
            continue
        assert f"tuner {name}" in text, f"`tuner {name}` is in no document"
