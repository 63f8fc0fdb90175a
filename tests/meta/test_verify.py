"""`python -m meta.verify`: what it prints, what it leaves, and how it ends."""

import json
import subprocess
import sys

import pytest
import torch

from meta import verify
from meta.ladder import RUNGS
from meta.ladder.check import Check, refusal, skipped
from meta.ladder.mutants import MUTANTS


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_rung_alone_holds_and_says_how_many(capsys):
    assert verify.main(["--rung", "6"]) == 0
    said = capsys.readouterr().out
    assert "forward · v = reverse · v" in said
    assert said.splitlines()[-1] == "4 of 4 checks hold on the CPU"


def test_only_the_rungs_asked_for_in_their_order(capsys):
    assert verify.main(["--rung", "10", "--rung", "3"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line[:2].strip() for line in said if line[:2].strip() and line[2:4] == "  "] == ["3", "10"]


def test_a_mistake_ends_with_one_and_the_line_says_failed(capsys):
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "groups averaged instead of summed")
    with mutant.change():
        assert verify.main(["--rung", "3"]) == 1
    said = capsys.readouterr().out
    assert "FAILED" in said
    assert any("tape = closed form, gradient" in line and "FAILED" in line for line in said.splitlines())
    assert any("plain training = closed form" in line and line.endswith("ok") for line in said.splitlines())


def test_the_file_holds_every_check(tmp_path, capsys):
    file = tmp_path / "verified.json"
    assert verify.main(["--rung", "5", "--rung", "10", "--json", str(file)]) == 0
    record = json.loads(file.read_text())
    assert record["device"] == "the CPU" and record["torch"] == torch.__version__
    checks = record["checks"]
    assert [check["rung"] for check in checks] == [5, 5, 5, 5, 10]
    assert all(0 <= check["figure"] <= 1e-4 and check["ok"] for check in checks[:4])
    assert checks[-1]["ok"] is None and checks[-1]["note"]


def test_what_is_not_finite_is_told_in_valid_json(tmp_path, monkeypatch, capsys):
    broken = Check(4, "tape = unroll", float("nan"), "≤ 1e-12", False)
    monkeypatch.setattr(verify, "climb", lambda *_: iter([broken]))
    file = tmp_path / "verified.json"
    assert verify.main(["--json", str(file)]) == 1
    assert json.loads(file.read_text(), parse_constant=pytest.fail)["checks"][0]["figure"] == "nan"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_absent_is_bad_use(capsys):
    assert verify.main(["--device", "cuda"]) == 2
    said = capsys.readouterr()
    assert "no CUDA device" in said.err and not said.out


def test_a_file_in_no_folder_is_said_before_the_climb(tmp_path, capsys):
    assert verify.main(["--json", str(tmp_path / "nowhere" / "verified.json")]) == 2
    said = capsys.readouterr()
    assert "there is no folder" in said.err and not said.out


@pytest.mark.parametrize("wrong", [["--rung", "11"], ["--rung", "x"], ["--device", "tpu"], ["--what"]])
def test_bad_use_ends_with_two(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        verify.main(wrong)
    assert ended.value.code == 2


def test_help_names_every_rung(capsys):
    with pytest.raises(SystemExit) as ended:
        verify.main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(rung.title in said for rung in RUNGS.values())
    assert max(map(len, said.splitlines())) <= 80


def test_a_gpu_that_is_not_used_is_mentioned(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert verify.main(["--rung", "10"]) == 0
    said = capsys.readouterr().out
    assert "--device cuda" in said.splitlines()[0]
    assert "skipped" in said


def test_lines_fit_eighty_columns():
    long = "because " * 30
    for check in (
        Check(7, "truncated, K<T × log_init_scale, HeavyBall", 1.99e-123, "2 ± 0.2", False, long),
        refusal(7, "implicit × log_init_scale", long, expected=True),
        skipped(10, "bitwise reversal on a GPU", long),
    ):
        assert max(map(len, verify.line(check).splitlines())) <= 80


def test_as_a_command_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "meta.verify", "--quick", "--rung", "1"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "numbers lost" in done.stdout
