"""The doctor's lines and exit codes; what it finds on a GPU only a GPU can show."""

import sys

import pytest
import torch

from models import doctor


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["doctor", *arguments])
    return doctor.main()


def test_on_a_cpu_nothing_is_wrong(monkeypatch, capsys):
    assert run(monkeypatch, "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "nothing is wrong" and len(lines) == len(doctor.CHECKS) + 1


def test_a_failure_is_told_with_its_remedy(monkeypatch, capsys):
    def broken(device):
        raise doctor.Wrong("two runs differ")

    monkeypatch.setattr(doctor, "CHECKS", (("sums", broken, False, "count again"),))
    assert run(monkeypatch, "--device", "cpu") == 1
    assert "WRONG  sums: Wrong: two runs differ. What to do: count again" in capsys.readouterr().out


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_nothing_is_wrong(monkeypatch, capsys):
    assert run(monkeypatch, "--device", "cuda") == 0, capsys.readouterr().out
