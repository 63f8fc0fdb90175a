"""python -m models.train, as a person or a script runs it: real processes, real signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.train import __main__ as command

SMALL = [
    *("--data", "shapes", "--size", "12", "--set", "convnet.depth=8", "--set", "convnet.profundity=4"),
    *("--set", "reader.size=8", "--set", "batch_size=8", "--set", "valid_images=14"),
]
LINE = {
    "emd2", "emd2_shuffled", "emd2_empty", "emd2_marginal", "skill", "asked_bpd", "centre_psnr", "steps", "seconds",
    "emd2_train", "emd2_shape", "recognised",
}  # fmt: skip


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "models.train", *SMALL, *arguments]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads that wait for a core another test has spin
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=alone)


def test_the_last_thing_it_says_is_one_line_of_json(tmp_path):
    trained = start(
        "--steps", "3", "--seed", "0", "--set", "convnet.kind=straight_residual", "--out", str(tmp_path)
    )
    out, err = trained.communicate(timeout=120)
    assert trained.returncode == 0, err
    line = json.loads(out)  # so there is nothing else on standard output
    assert set(line) == LINE
    assert line["steps"] == 3 and line["seconds"] > 0
    assert line["skill"] == pytest.approx(1 - line["emd2"] / line["emd2_marginal"], abs=1e-3)
    assert "step      1 of 3" in err and "step      3 of 3" in err
    assert (tmp_path / "completions.png").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_resume_goes_on(number, code, tmp_path, capsys):
    trained = start(
        "--steps",
        "100000",
        "--set",
        "schedule.warmup=0",
        "--set",
        "schedule.kind=constant",
        "--set",
        "report_every=20",
        "--out",
        str(tmp_path),
    )
    assert trained.stderr is not None
    for line in trained.stderr:
        if line.startswith("step     20 "):
            break
    trained.send_signal(number)
    out, err = trained.communicate(timeout=60)
    assert trained.returncode == code, err
    assert out == "", "no result was reached"
    assert f"stopped by {number.name}; go on with" in err and f"--out {tmp_path} --resume" in err
    done = int(err.split("stopped, and saved, after step ")[1].split()[0])
    assert (tmp_path / "checkpoint.pt").exists()
    assert command.main([*SMALL, "--out", str(tmp_path)]) == 2, "nobody asked to write over it"

    capsys.readouterr()
    more = ["--steps", str(done + 40), "--set", "schedule.warmup=0", "--set", "schedule.kind=constant"]
    more += ["--set", "report_every=20"]
    assert command.main([*SMALL, *more, "--out", str(tmp_path), "--resume"]) == 0
    said = capsys.readouterr()
    assert f"going on after step {done}" in said.err
    assert json.loads(said.out)["steps"] == done + 40


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "convnet.kind=strait", "--set", "lr=fast"], "did you mean 'straight'"),
        (["--set", "lr"], "--set lr: write it as NAME=VALUE"),
        (["--set", "lr=1", "--set", "lr=2"], "--set lr is given twice"),
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--resume"], "name the folder"),
        (["--resume", "--out", "{tmp}"], "there is no checkpoint"),
        (["--device", "gpu!"], "is not a device"),
        (["--size", "12", "--set", "size=16"], "--size and --set size"),
        (["--steps", "0"], "steps = 0 is out of range"),
    ],
)
def test_what_is_wrong_is_told_without_a_traceback(arguments, says, tmp_path, capsys):
    assert command.main([a.replace("{tmp}", str(tmp_path)) for a in arguments]) == 2
    told = capsys.readouterr()
    assert says in told.err and "Traceback" not in told.err
    assert told.out == ""


def catches_sigterm(pid: int) -> None:
    """Wait for it: importing takes 4 s on a quiet machine."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        (caught,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.05)
    raise AssertionError("it never listened")


def test_a_signal_while_loading_ends_it_at_once():
    trained = start("--size", "256")
    catches_sigterm(trained.pid)  # then it draws 6,000 shapes of 256 x 256, which takes long
    trained.send_signal(signal.SIGTERM)
    _, err = trained.communicate(timeout=30)
    assert trained.returncode == 143 and "Traceback" not in err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as left:
        command.main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    for word in [
        "--data",
        "--resume",
        "emd2_shuffled",
        "Exit codes",
        "models/config.py",
        *LINE - {"steps", "seconds"},
    ]:
        assert word in told
    assert Path("models/config.py").exists()


def test_a_divergence_is_exit_code_1(capsys):
    wild = [*("--set", "lr=10"), *("--set", "optimizer.kind=sgd"), *("--set", "optimizer.clip=0")]
    soon = [*("--steps", "300"), *("--set", "stop.warmup=10"), *("--set", "report_every=5")]
    assert command.main([*SMALL, *wild, *soon]) == 1
    said = capsys.readouterr()
    assert "diverged: loss/" in said.err and said.out == ""
