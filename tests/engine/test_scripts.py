"""Scripts as trials, run for real: as they are, each in a process of its own, and told truly how each ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from support.patience import PATIENCE_S, wait_until

from tuner_tui.engine.launcher import BadTarget
from tuner_tui.engine.run import run_study
from tuner_tui.search.file import parse_search
from tuner_tui.study.folder import StudyFolder, create_study
from tuner_tui.study.log import left_out
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.requests import Request, ask
from tuner_tui.study.snapshot import Snapshot, Trial

TRAIN = """
import argparse, json, os, signal, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--how", default="well")
parser.add_argument("--flag", action="store_true")
parser.add_argument("--net.depth", type=int, default=1)
options = parser.parse_args()
for step in range(3):
    print(json.dumps({"step": step, "loss": options.lr / (step + 1), "flag": int(options.flag)}))
"""


@pytest.fixture
def script(tmp_path: Path):
    """Run a script as a study; its search file has `lines` above a space of one learning rate."""

    def run(
        text: str, lines: str = "", *, trials: int = 1, during=None, space: str = "lr = { log = [0.1, 1.0] }"
    ):
        (tmp_path / "train.py").write_text(text)
        head = "" if "command" in lines else 'command = ["python", "train.py", "{rest}"]\n'
        search = parse_search(
            f"{head}{lines}\n[space]\n{space}\n".replace("trials = 0", ""), str(tmp_path / "x.toml"),
            [f"trials={trials}", f"limits.trial_seconds={PATIENCE_S}", "limits.grace_seconds=5"],
        )  # fmt: skip
        folder = create_study(tmp_path / "mlruns", "x")
        told = iter([during] if during else [])

        def on_change(snapshot: Snapshot) -> None:
            if any(trial.steps for trial in snapshot.trials.values()):
                for act in told:
                    act(folder, snapshot)

        ran = run_study(folder, search, gpus="none", on_change=on_change)
        return ran.snapshot, folder

    return run


def only(snapshot: Snapshot) -> Trial:
    (trial,) = snapshot.trials.values()
    return trial


def log(folder: StudyFolder, trial: int = 0) -> str:
    return (folder.trial(trial) / "log.txt").read_text()


def test_an_argparse_script_runs_unchanged_and_its_lines_are_measurements(script):
    snapshot, folder = script(
        TRAIN,
        trials=4,
        space='lr = { log = [0.1, 1.0] }\nflag = [true, false]\n"net.depth" = { int = [1, 3] }',
    )
    assert {trial.outcome for trial in snapshot.trials.values()} == {Outcome.FINISHED}
    for trial in snapshot.trials.values():
        assert trial.value == pytest.approx(trial.params["lr"] / 3)
        assert trial.latest["flag"] == trial.params["flag"] and len(trial.curve) == 3
        assert json.loads((folder.trial(trial.number) / "params.json").read_text()) == trial.params
    assert '"loss"' in log(folder)


def test_patterns_progress_bars_half_lines_and_standard_error(script):
    text = (
        "import sys, time\n"
        "sys.stdout.write('step 0 lo'); sys.stdout.flush(); time.sleep(0.2)\n"
        "sys.stdout.write('ss 0.5\\r 10%|#| \\rstep 1 loss 0.25\\n'); sys.stdout.flush()\n"
        "sys.stderr.write('step 2 loss 0.125 (no line end)')\n"
    )
    snapshot, _ = script(
        text,
        'command = ["python", "train.py"]\n[read]\npattern = \'step (?P<step>\\d+) loss (?P<loss>\\S+)\'',
        space="",
    )
    assert only(snapshot).curve == ((0, 0.5), (1, 0.25), (2, 0.125))


def test_a_file_is_followed_while_the_script_runs(script):
    text = (
        "import sys, time, pathlib\n"
        "out = pathlib.Path(sys.argv[1]); (out / 'v0').mkdir()\n"
        "with (out / 'v0' / 'metrics.csv').open('w') as f:\n"
        "    f.write('epoch,val\\n')\n"
        "    for i in range(3): f.write(f'{i},{1 / (i + 1)}\\n'); f.flush(); time.sleep(0.3)\n"
        "print('{\"val\": 99}')\n"
    )
    read = '[read]\nfile = "{out}/*/metrics.csv"\nstep = "epoch"'
    lines = f'command = ["python", "train.py", "{{out}}"]\nobjective = "val"\n{read}'
    snapshot, _ = script(text, lines, space="")
    trial = only(snapshot)
    assert [step for step, _ in trial.curve] == [0, 1, 2] and trial.value == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("ending", "outcome", "reason", "words"),
    [
        ("raise ValueError('lr is on fire')", Outcome.UNFINISHED, Reason.EXCEPTION, "ValueError: lr is on fire (tra"),
        ("sys.exit(3)", Outcome.UNFINISHED, Reason.EXIT, "left with exit code 3"),
        ("sys.exit('no data')", Outcome.UNFINISHED, Reason.EXIT, "left with exit code 1: no data"),
        ("sys.exit(0)", Outcome.FINISHED, None, ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", Outcome.UNFINISHED, Reason.SIGNAL, "killed by SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", Outcome.UNFINISHED, Reason.SIGNAL, "killed by SIGSEGV"),
        ("raise MemoryError('12 GiB')", Outcome.UNFINISHED, Reason.OUT_OF_MEMORY, "MemoryError: 12 GiB"),
        ("print('{\"loss\": \"nan\"}')", Outcome.UNFINISHED, Reason.DIVERGED, "loss became nan"),
    ],
)  # fmt: skip
def test_how_a_script_ended_is_told_truly(script, ending, outcome, reason, words):
    snapshot, _ = script(TRAIN + ending)
    trial = only(snapshot)
    assert (trial.outcome, trial.reason) == (outcome, reason) and words in trial.message


LOGS = """
import argparse, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
options = parser.parse_args()
logs = pathlib.Path("logs")
logs.mkdir(exist_ok=True)
version = logs / f"version_{len(list(logs.iterdir()))}"
version.mkdir()
table = (version / "metrics.csv").open("w")
print("step,loss", file=table, flush=True)
for step in range(3):
    time.sleep(0.1)
    print(f"{step},{options.lr}", file=table, flush=True)
"""


def test_scripts_that_write_into_their_working_folder_are_told_apart_side_by_side(script, tmp_path):
    """Lightning's loggers do so: without a folder of its own, a trial would read what its neighbour wrote."""
    (tmp_path / "logs" / "version_0").mkdir(parents=True)
    (tmp_path / "logs" / "version_0" / "metrics.csv").write_text("step,loss\n0,99\n")
    lines = 'command = ["python", "{folder}/train.py", "{rest}"]\ncwd = "{out}"\nparallel = 2\n'
    snapshot, folder = script(LOGS, f'{lines}[read]\nfile = "logs/**/metrics.csv"', trials=3)
    for number, trial in snapshot.trials.items():
        assert trial.outcome is Outcome.FINISHED, log(folder, number)
        assert [loss for _, loss in trial.curve] == [pytest.approx(trial.params["lr"])] * 3
        assert (folder.out(number) / "logs" / "version_0" / "metrics.csv").is_file()


def test_logs_of_earlier_runs_are_passed_over(script, tmp_path):
    """Seen with Lightning: each trial had the curves of all runs before it."""
    (tmp_path / "logs" / "version_0").mkdir(parents=True)
    (tmp_path / "logs" / "version_0" / "metrics.csv").write_text("step,loss\n0,99\n")
    snapshot, _ = script(LOGS, '[read]\nfile = "logs/**/metrics.csv"', trials=2)
    for trial in snapshot.trials.values():
        assert [loss for _, loss in trial.curve] == [pytest.approx(trial.params["lr"])] * 3


def test_a_crash_leaves_its_traceback(script):
    _, folder = script(TRAIN + "raise ValueError('x')")
    assert (folder.trial(0) / "traceback.txt").read_text().startswith("Traceback")


FOREVER = TRAIN + "sys.stdout.flush()\nwhile True: time.sleep(0.05)\n"
# The handlers stand before the first measurement, at which these are asked to end.
ENDS_WELL = FOREVER.replace(
    "for step",
    "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(0)))\nfor step",
)
DEAF = FOREVER.replace("for step", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nfor step")


@pytest.mark.parametrize("text", [FOREVER, ENDS_WELL, DEAF], ids=["forever", "ends well", "deaf"])
def test_a_script_that_was_asked_to_end_did_not_finish(script, text):
    stop = lambda folder, snapshot: ask(folder.requests, Request("kill_trial", 0))  # noqa: E731
    snapshot, folder = script(text, during=stop)
    trial = only(snapshot)
    assert (trial.outcome, trial.reason) == (Outcome.UNFINISHED, Reason.STOPPED)
    assert ("saved" in log(folder)) == (text is ENDS_WELL)


def test_a_sigterm_from_elsewhere_is_not_called_an_exit(script):
    def send(folder: StudyFolder, snapshot: Snapshot) -> None:
        os.kill(snapshot.trials[0].pid or 0, signal.SIGTERM)

    snapshot, _ = script(ENDS_WELL, during=send)
    trial = only(snapshot)
    assert (trial.outcome, trial.reason) == (Outcome.UNFINISHED, Reason.SIGNAL)
    assert "SIGTERM that tuner did not send" in trial.message


def test_a_worker_that_holds_the_output_open_does_not_hold_the_trial(script, tmp_path):
    text = TRAIN + "import subprocess; print(subprocess.Popen(['sleep', '1000']).pid, flush=True)\n"
    began = time.monotonic()
    snapshot, folder = script(text)
    assert only(snapshot).outcome is Outcome.FINISHED and time.monotonic() - began < PATIENCE_S
    worker = int(log(folder).split()[-1])
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), "the worker to be gone")


def test_a_shell_between_us_and_the_program_passes_a_stop_on(script, tmp_path):
    (tmp_path / "run.sh").write_text('python train.py "$@"\necho "shell ends"\n')
    stop = lambda folder, snapshot: ask(folder.requests, Request("kill_trial", 0))  # noqa: E731
    _, folder = script(ENDS_WELL, 'command = ["bash", "run.sh", "{rest}"]', during=stop)
    wait_until(lambda: "saved" in log(folder), "the program to save")


def test_each_trial_gets_a_port_a_number_and_a_slot_of_its_own(script):
    text = (
        "import json, os, sys, time\n"
        "print(json.dumps({'loss': 1, **{k: int(os.environ[k]) for k in ('MASTER_PORT', 'TUNER_TRIAL', 'TUNER_SLOT', "
        "'LOKY_MAX_CPU_COUNT')}}))\n"
        "print(sys.argv)\n"
        "time.sleep(0.3)\n"
    )
    lines = 'parallel = 2\ncommand = ["python", "train.py", "{trial}", "{slot}", "{device}", "{seed}"]'
    snapshot, folder = script(text, lines, trials=4, space="")
    found = [trial.latest for trial in snapshot.trials.values()]
    assert len({one["MASTER_PORT"] for one in found}) == 4
    assert [one["TUNER_TRIAL"] for one in found] == [0, 1, 2, 3]
    assert {one["TUNER_SLOT"] for one in found} == {0, 1}
    assert "'0', '0', 'cpu'" in log(folder, 0) and "'1', '1', 'cpu'" in log(folder, 1)


def test_output_without_end_is_kept_up_with(script):
    text = (
        "import sys\nfor i in range(200000): print('x' * 80)\n"
        "print('{\"loss\": 1}')\nsys.stdout.write('y' * 300000)\n"
    )
    snapshot, folder = script(text, 'command = ["python", "train.py"]', space="")
    assert only(snapshot).value == 1
    assert (folder.trial(0) / "log.txt").stat().st_size > 16_000_000


def test_a_script_that_prints_without_end_is_measured_and_its_log_stays_within_its_limit(script):
    text = (
        "for i in range(400000): print(f'{i:07} ' + 'x' * 91)\n"
        "print('{\"loss\": 1}')\n"
        "for i in range(400000, 500000): print(f'{i:07} ' + 'x' * 91)\n"
        "print('{\"loss\": 2}')\nprint('its last line')\n"
    )
    snapshot, folder = script(text, 'command = ["python", "train.py"]\n[limits]\nlog_mb = 1', space="")
    trial, path = only(snapshot), folder.trial(0) / "log.txt"
    assert [loss for _, loss in trial.curve] == [1, 2]
    said = path.read_text()
    assert path.stat().st_size <= 2**20 and said.startswith("0000000 x") and said.endswith("its last line\n")
    lacks = left_out(path, 2**20)
    assert f"{lacks} bytes of output are left out here" in said
    printed = 500_000 * 100 + 2 * len('{"loss": 1}\n') + len("its last line\n")
    mark = next(line for line in said.splitlines(keepends=True) if line.startswith("[tuner:"))
    # What is written between the last look at a log and its cut is lost uncounted: microseconds of 50 MB.
    assert 0 <= printed - (len(said) - len(mark) - 1 + lacks) < 2**20


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('command = ["pythn", "train.py"]', "there is no program pythn on the PATH"),
        ('command = ["./run.sh"]', "there is no program ./run.sh in"),
        ('command = ["python", "trian.py"]', "there is no trian.py in"),
        ('command = ["python", "{folder}/trian.py"]', "trian.py in"),
        ('command = ["python", "train.py"]\ncwd = "{out}"', "write {folder}/train.py"),
        (
            'command = ["python", "train.py"]\npython = "no/such/python"',
            "no/such/python: no such interpreter",
        ),
    ],
)
def test_what_is_not_there_is_told_before_any_trial(script, lines, expected):
    with pytest.raises(BadTarget, match=expected):
        script(TRAIN, lines, trials=5, space="")


def test_a_pattern_that_never_matches_ends_the_study_after_one_trial(script, tmp_path):
    lines = 'command = ["python", "train.py", "{rest}"]\n[read]\npattern = \'Loss: (?P<loss>.*)\''
    with pytest.raises(BadTarget, match=r"no line of its output matched read\.pattern"):
        script(TRAIN, lines, trials=5)
    assert len(StudyFolder(tmp_path / "mlruns" / "x-1").snapshot().trials) == 1


def test_trials_that_all_fail_alike_stop_the_study(script, tmp_path):
    """Not the night's work of the machine: ten tracebacks that differ in nothing but numbers."""
    with pytest.raises(
        BadTarget, match=r"10 trials in a row never started for the same reason.*No such dataset"
    ):
        script("import sys; raise FileNotFoundError(f'No such dataset: {sys.argv[1]}')", trials=50)
    assert len(StudyFolder(tmp_path / "mlruns" / "x-1").snapshot().trials) == 10


def test_the_python_of_a_command_is_the_chosen_one(script, tmp_path):
    (tmp_path / "chosen").write_text(f'#!/bin/sh\nCHOSEN=1 exec {sys.executable} "$@"\n')
    (tmp_path / "chosen").chmod(0o755)
    text = "import os\nprint('{\"loss\": %s}' % os.environ.get('CHOSEN', '0'))\n"
    snapshot, _ = script(text, 'command = ["python", "train.py"]\npython = "chosen"', space="")
    assert only(snapshot).value == 1
