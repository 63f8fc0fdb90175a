"""`tuner compare`: the bundled problems in this process, a search of one's own as studies that can be resumed."""

from __future__ import annotations

import json
from pathlib import Path

from support.sabotage import TARGETS, tuner, workplace

from tuner_tui.study.folder import StudyFolder

SEARCH = """
target = "ways_to_end:number"
trials = 3
parallel = 2
[space]
x = { float = [0.5, 10] }
"""


def test_the_bundled_problems(tmp_path: Path) -> None:
    run = tuner(
        tmp_path, "compare", "--samplers", "random,random2x,cmaes", "--repeats", "4", "--trials", "20",
        "--problem", "sphere", "--json", "found.json",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "mean rank" in run.stdout and "cmaes " in run.stdout.splitlines()[-1]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["repeats"] == 4 and set(found["ranks"]) == {"random", "random2x", "cmaes"}
    assert not (tmp_path / "mlruns").exists()


def test_a_search_of_ones_own_and_again_without_running_it_again(tmp_path: Path) -> None:
    assert TARGETS.is_file()
    workplace(tmp_path, SEARCH)
    words = ("compare", "tuner.toml", "--samplers", "random2x,qmc", "--repeats", "2")
    run = tuner(tmp_path, *words)
    assert run.returncode == 0, run.stderr
    there = tmp_path / "mlruns" / "tuner-compare"
    assert sorted(path.name for path in there.iterdir()) == ["qmc-0", "qmc-1", "random2x-0", "random2x-1"]
    twice, once = (StudyFolder(there / name).snapshot() for name in ("random2x-1", "qmc-1"))
    assert (twice.counts.finished, once.counts.finished) == (6, 3)
    before = {path: path.stat().st_mtime_ns for path in there.glob("*/journal.jsonl")}
    assert tuner(tmp_path, *words).stdout == run.stdout
    assert before == {path: path.stat().st_mtime_ns for path in there.glob("*/journal.jsonl")}
    other = tuner(tmp_path, *words, "--trials", "4")
    assert other.returncode == 2 and "holds another search; remove " in other.stderr


def test_what_can_not_be_compared_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for words, says in (
        (("--samplers", "random,tpf"), "--samplers: unknown sampler 'tpf'; did you mean tpe"),
        (("--samplers", "random"), "--samplers: name two at least"),
        (("--problem", "cube"), "--problem cube: there is no such problem; there are sphere, "),
        (("--set", "x=1"), "are for a search of your own"),
    ):
        refused = tuner(tmp_path, "compare", *words)
        assert refused.returncode == 2 and says in refused.stderr, refused.stderr
