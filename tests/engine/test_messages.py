"""Whatever comes out of a trial's pipe: the engine understands it or passes over it, and never dies of it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.one_trial import a_search

from tuner_tui.engine.messages import Measurement, last_word, measurement, suggestion
from tuner_tui.engine.run import run_study
from tuner_tui.study.folder import create_study
from tuner_tui.study.outcomes import Outcome

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["step", "values", "at", "end", "code", "type", "message", "where", "suggested", "value",
                        "distribution", "memory"])  # fmt: skip


@given(st.dictionaries(keys | st.text(max_size=4), json_values, max_size=6))
def test_no_message_is_too_strange(message):
    if found := measurement(message):
        assert isinstance(found.step, int) and all(isinstance(v, float) for v in found.values.values())
    if word := last_word(message):
        assert {type(word[key]) for key in ("type", "message", "where")} == {str}
    suggestion(message)


def test_what_is_meant_is_understood():
    assert measurement({"step": 2, "values": {"loss": 0.5, "x": "nan"}, "at": 5.0}) is not None
    found = measurement({"step": 2, "values": {"loss": "-inf"}, "at": 5})
    assert found == Measurement(2, {"loss": -math.inf}, 5.0)
    assert (last_word({"end": "exit", "code": 3}) or {})["code"] == 3
    assert suggestion({"suggested": "lr", "value": 1, "distribution": {"type": "choice", "options": [1, 2]}})


@pytest.mark.parametrize(
    "line",
    [
        {"values": 3}, {"values": {"loss": "many"}, "step": 1, "at": 1.0},
        {"values": {"loss": 1}, "step": "1", "at": 1.0},
        {"values": {"loss": 1}, "step": 1}, {"values": {"loss": 1}, "step": 1, "at": 1e300}, {"end": 3},
        {"end": "raised"}, {"end": []}, {"suggested": 3}, {"suggested": "x", "value": {}, "distribution": {}}, [], 3,
        {"values": {"loss": 10**400}, "step": 1, "at": 1.0}, {"values": {"": 1.0}, "step": 1, "at": 2.0},
    ],
    ids=str,
)  # fmt: skip
def test_a_stray_line_on_the_pipe_costs_nothing_but_itself(tmp_path, line):
    """Written by a real trial into its own pipe, whose number it can guess."""
    (tmp_path / "stray.py").write_text(
        "import os\n"
        "def train(*, x, line):\n"
        "    yield x\n"
        "    for fd in range(3, 64):\n"
        "        try:\n"
        "            if os.readlink(f'/proc/self/fd/{fd}').startswith('pipe:'): os.write(fd, line.encode())\n"
        "        except OSError: pass\n"
        "    yield x / 2\n"
    )
    search = a_search(target="stray:train", fixed={"line": json.dumps(line) + "\n"}, folder=str(tmp_path))
    folder = create_study(tmp_path / "mlruns", "x")
    trial = run_study(folder, search, path=[str(tmp_path)], gpus="none").snapshot.trials[0]
    assert trial.value == trial.params["x"] / 2 or line == {"end": "raised"}
    assert trial.outcome is Outcome.FINISHED


def test_a_daemon_with_a_clean_environment_ends_with_its_sweep(tmp_path):
    (tmp_path / "daemons.py").write_text(
        "import os, subprocess\nHERE = os.path.dirname(__file__)\n"
        "def train(*, x):\n"
        "    code = 'import os, time\\nif os.fork(): os._exit(0)\\nos.setsid()\\nif os.fork(): os._exit(0)\\n'\n"
        '    code += \'open("daemon.pid", "w").write(str(os.getpid()))\\ntime.sleep(600)\'\n'
        "    subprocess.run(['python3', '-c', code], env={'PATH': os.environ['PATH']}, cwd=HERE)\n"
        "    while not os.path.exists(os.path.join(HERE, 'daemon.pid')): pass\n"
        "    yield x\n"
    )
    from support.patience import wait_until
    from support.sabotage import alive, tuner

    (tmp_path / "tuner.toml").write_text(
        'target = "daemons:train"\ntrials = 1\n[space]\nx = { float = [0.0, 1.0] }\n'
    )
    swept = tuner(tmp_path, "sweep", "--headless")
    assert swept.returncode == 0, swept.stderr
    pid = int((tmp_path / "daemon.pid").read_text())
    wait_until(lambda: not alive(pid), "the daemon to be gone")
