"""Checkpoints under kills, damage and full disks, and the refusal of those that belong to another training."""

import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.config import Config
from models.train import checkpoint
from models.train.checkpoint import LAST, CheckpointError, Identity, load, read, save

OF = Identity(Config(), "c0ffee", seed=3)


def of(**hypers) -> Identity:
    return replace(OF, config=Config.of({name.replace("__", "."): value for name, value in hypers.items()}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "for me" / LAST


def refusal(path: Path, expect: Identity = OF) -> str:
    """What `load` says against the file, without the path that it begins with."""
    with pytest.raises(CheckpointError) as caught:
        load(path, expect)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


def test_all_that_a_training_keeps_comes_back_equal(path):
    model = nn.Linear(3, 2)
    adam = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    adam.step()
    rules = {"recent": (1.5, float("inf")), "best": float("-inf")}
    save(path, {"step": 7, "model": model.state_dict(), "optimizer": adam.state_dict(), "watch": rules}, OF)

    state = load(path, OF)
    assert state["step"] == 7 and state["watch"] == rules
    twin = nn.Linear(3, 2)
    twin.load_state_dict(state["model"])
    adam_of_twin = torch.optim.Adam(twin.parameters())
    adam_of_twin.load_state_dict(state["optimizer"])
    for _ in range(3):  # bit for bit from here on
        for m, optimizer in ((model, adam), (twin, adam_of_twin)):
            optimizer.zero_grad()
            m(torch.full((1, 3), 0.3)).square().sum().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)
        ),
    )
)
def test_plain_values_come_back_as_they_were(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "plain.pt"
    save(path, {"value": value}, OF)
    assert load(path, OF) == {"value": value}


def test_any_checkpoint_can_be_looked_at(path):
    save(path, {"model": {}}, of(convnet__depth=9))
    found = read(path)
    assert (found.hypers["convnet.depth"], found.digest, found.seed, found.state) == (
        9,
        "c0ffee",
        3,
        {"model": {}},
    )


@pytest.mark.parametrize(
    "value", [np.float64(1), {1, 2}, object(), b"1", torch.float32], ids=lambda v: type(v).__name__
)
def test_what_could_not_be_loaded_is_not_saved(path, value):
    with pytest.raises(TypeError, match=rf"state\['rules'\]\[1\] is a {type(value).__name__}, which"):
        save(path, {"rules": [0, value]}, OF)
    assert not path.exists()


# --- kills, damage, full disks


SAVER = """
import os, sys, torch
from pathlib import Path
from models.train.checkpoint import Identity, save
from models.config import Config
torch.set_num_threads(1)
for line in sys.stdin:  # each a step from which a fresh process saves on
    if pid := os.fork():
        os.waitpid(pid, 0)
        print("dead", flush=True)
        continue
    step = int(line)
    print(os.getpid(), flush=True)
    while True:
        step += 1
        state = {"step": step, "weights": torch.full((1 << 19,), step)}
        save(Path(sys.argv[1]), state, Identity(Config(), "c0ffee", 3))
        print(step, flush=True)
"""


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_checkpoint_whole(path):
    cut_off, step = 0, 0
    with subprocess.Popen(
        [sys.executable, "-c", SAVER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as saver:
        assert saver.stdin and saver.stdout
        for _ in range(25):
            print(step, file=saver.stdin, flush=True)
            pid = int(saver.stdout.readline())
            step = int(saver.stdout.readline())
            time.sleep(random.uniform(0, 0.03))  # a save takes about 10 ms
            os.kill(pid, signal.SIGKILL)
            while (line := saver.stdout.readline()) != "dead\n":
                step = int(line)

            left = [*path.parent.glob("*.partial")]
            cut_off += len(left)
            state = load(path, OF)
            assert state["step"] in (step, step + 1)  # the last one told of, or renamed and not yet told of
            assert (state["weights"] == state["step"]).all()
            step = state["step"]
        saver.stdin.close()
    assert cut_off, "no kill came in the middle of a save"


def test_a_save_clears_away_what_a_killed_one_left(path):
    save(path, {}, OF)
    for name in ("checkpoint.pt.partial", "best.pt.partial"):
        (path.parent / name).write_bytes(b"half of")
    (path.parent / "notes.partial").touch()  # not ours
    save(path, {}, OF)
    assert sorted(p.name for p in path.parent.iterdir()) == ["checkpoint.pt", "notes.partial"]


@contextmanager
def files_of_at_most(size: int):
    """A file size limit fails writes half-way exactly as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 100, 5_000, 300_000])
def test_a_full_disk_is_told_and_costs_nothing(path, room):
    save(path, {"step": 1}, OF)
    with files_of_at_most(room), pytest.raises(CheckpointError) as caught:
        save(path, {"step": 2, "weights": torch.zeros(1 << 18)}, OF)
    assert str(caught.value) == (
        f"{path}: could not be written (File too large); the checkpoint before it is whole; make room or save "
        f"elsewhere"
    )
    assert load(path, OF) == {"step": 1}
    assert [p.name for p in path.parent.iterdir()] == [LAST]


def test_a_place_that_takes_no_files_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        CheckpointError, match=r"could not be written \(File exists\); make room or save elsewhere"
    ):
        save(tmp_path / "file" / LAST, {}, OF)
    (tmp_path / LAST).mkdir()
    with pytest.raises(CheckpointError, match=r"could not be written \(Is a directory\); make room"):
        save(tmp_path / LAST, {}, OF)
    assert "can't be read (Is a directory)" in refusal(tmp_path / LAST)


def test_what_is_not_there_is_told(path):
    assert refusal(path) == "there is no checkpoint; check the path, or train from the beginning"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / LAST
    save(path, {"weights": torch.zeros(10_000)}, OF)
    return path.read_bytes()


DAMAGED = "is damaged, cut short or changed since it was written; restore a copy, or train from the beginning"


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_checkpoint_cut_short_anywhere_is_damaged(tmp_path_factory, whole, share):
    path = tmp_path_factory.getbasetemp() / "cut.pt"
    path.write_bytes(whole[: int(share * len(whole))])
    assert refusal(path) == DAMAGED


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.1, 0.9), bit=st.integers(0, 7))
def test_a_single_flipped_bit_is_no_weight(tmp_path_factory, whole, share, bit):
    changed = bytearray(whole)
    changed[int(share * len(whole))] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "flipped.pt"
    path.write_bytes(changed)
    assert refusal(path) == DAMAGED


class Intruder:
    def __reduce__(self):
        return os.mkdir, ("intruded",)


def test_nothing_hidden_in_a_file_is_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path.parent.mkdir(parents=True)
    torch.save({"version": 1, "state": Intruder()}, path)
    assert refusal(path) == "is not a checkpoint of the caption model; give a checkpoint.pt that it wrote"
    path.write_bytes(pickle.dumps(Intruder()))
    assert refusal(path) == DAMAGED
    assert not Path("intruded").exists()


def test_another_programs_file_is_no_checkpoint(path):
    path.parent.mkdir(parents=True)
    torch.save(nn.Linear(2, 2).state_dict(), path)
    assert refusal(path) == "is not a checkpoint of the caption model; give a checkpoint.pt that it wrote"


# --- which training it is


def test_another_version_is_refused(path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", 99)
    save(path, {}, OF)
    monkeypatch.undo()
    assert refusal(path) == (
        "has version 99, and only version 1 can be read here; use the program that wrote it, or train from the "
        "beginning"
    )


def test_another_configuration_is_refused_with_both_values(path):
    save(path, {}, of(convnet__depth=32, lr=0.01, merger__layers=[0, 3]))
    assert refusal(path, of(merger__layers=[0, 2])) == (
        "was trained with another configuration: merger.layers was (0, 3) and is (0, 2); convnet.depth was 32 and "
        "is 24; lr was 0.01 and is 0.006. Give the former values, or train from the beginning"
    )


def test_a_hyperparameter_that_only_one_side_knows_is_a_difference(path):
    save(path, {}, OF)
    file = torch.load(path, weights_only=True)
    del file["hypers"]["reader.dropout"]
    file["hypers"]["reader.zeal"] = 11
    torch.save(file, path)
    said = refusal(path)
    assert "reader.dropout was 'nothing' and is 0.0; reader.zeal was 11 and is 'nothing'" in said


def test_another_seed_or_other_data_are_refused(path):
    save(path, {}, OF)
    assert refusal(path, replace(OF, seed=4)).startswith("was trained with seed 3, not 4; give seed 3, or ")
    other = replace(of(data__source="pictures"), digest="decaf")
    assert refusal(path, other) == (
        "was trained on other data ('shapes' then had digest c0ffee, 'pictures' now has decaf); restore them, or "
        "train from the beginning"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"stop.patience": 9, "stop.window": 3, "stop.warmup": 7, "stop.min_delta": 1.0},
        {"speed.graph": "off"},
        {"report_every": 7, "checkpoint_every": 0},
        {"data.source": "moved/elsewhere", "data.bad": "skip"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_changes_no_step_may_differ(path, changed):
    save(path, {"step": 1}, OF)
    assert load(path, replace(OF, config=Config.of(changed))) == {"step": 1}


def test_under_a_plateau_the_measurements_matter(path):
    save(path, {}, of(schedule__kind="plateau"))
    said = refusal(path, of(schedule__kind="plateau", stop__window=3, report_every=7, stop__patience=5))
    assert "report_every was 50 and is 7" in said and "stop.window was 10 and is 3" in said
    assert "patience" not in said


@pytest.mark.parametrize(
    ("schedule", "warmup", "more_steps_are_fine"),
    [
        ("constant", 0.0, True),
        ("constant", 0.1, False),  # the warm-up is a share of the steps
        ("plateau", 0.0, True),
        ("triangular", 0.1, True),
        ("cosine", 0.0, False),
        ("one_cycle", 0.3, False),
    ],
)
def test_more_steps_where_they_change_nothing_before(path, schedule, warmup, more_steps_are_fine):
    hypers = {"schedule__kind": schedule, "schedule__warmup": warmup}
    save(path, {}, of(steps=100, **hypers))
    if more_steps_are_fine:
        assert load(path, of(steps=200, **hypers)) == {}
    else:
        assert "steps was 100 and is 200" in refusal(path, of(steps=200, **hypers))
