"""What counts as a measurement in what scripts print and write."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner_tui.trial.readings import Files, JsonLines, Patterns, Reading
from tuner_tui.trial.script import last_error


def read(reader, *lines: str) -> list[Reading]:
    return [reading for line in lines for reading in reader.read(line)]


def test_named_groups_are_measurements():
    reader = Patterns([r"epoch (?P<step>\d+):? loss[ =](?P<loss>\S+)(?: acc (?P<acc>\S+))?"])
    assert read(reader, "epoch 3 loss=0.5, acc 71%", "nothing here", "epoch 4: loss 1e-3") == [
        {"step": 3.0, "loss": 0.5, "acc": 71.0}, {"step": 4.0, "loss": 1e-3},
    ]  # fmt: skip


def test_a_line_without_a_step_belongs_to_the_last_step():
    reader = Patterns([r"Epoch (?P<step>\d+)", r"val_loss: (?P<val_loss>\S+)"])
    assert read(reader, "Epoch 7/10", "  1/5 - loss: 0.1", " val_loss: 0.25") == [
        {"step": 7.0, "val_loss": 0.25}
    ]


def test_colours_do_not_hide_a_number_and_divergence_is_read():
    reader = Patterns([r"loss (?P<loss>\S+)"])
    assert read(reader, "\x1b[1mloss\x1b[0m \x1b[31m0.5\x1b[0m") == [{"loss": 0.5}]
    assert math.isnan(read(reader, "loss nan")[0]["loss"]) and read(reader, "loss inf")[0]["loss"] == math.inf
    assert read(reader, "loss unknown") == []
    # Seen with Keras, whose progress bar goes back over its line: the last number on it was none.
    assert read(reader, "1/6 loss 0.25\b\b\b\b") == [{"loss": 0.25}]


def test_json_lines_and_the_dictionaries_of_hugging_face():
    reader = JsonLines()
    assert read(
        reader, '{"step": 1, "loss": 0.5, "name": "run", "ok": true}', "{'loss': 1.25, 'epoch': 0.5}", "[1]", "{}",
        '{"name": "x"}', '{"loss": NaN, "step": 2}'.replace("NaN", "1e999"), "{broken", "{'a': __import__('os')}",
    ) == [{"step": 1.0, "loss": 0.5}, {"loss": 1.25, "epoch": 0.5}, {"step": 2.0, "loss": math.inf}]  # fmt: skip
    assert read(JsonLines("epoch"), '{"epoch": 3, "loss": 1}', '{"epoch": 0.5, "loss": 1}') == [
        {"step": 3.0, "loss": 1.0}, {"loss": 1.0},
    ]  # fmt: skip


@given(st.text())
def test_no_line_is_too_strange(line):
    read(JsonLines(), line, "{" + line + "}")
    read(Patterns([r"(?P<loss>\S+)"]), line)


def test_a_growing_csv_is_followed_row_by_row(tmp_path: Path):
    path = tmp_path / "v0" / "metrics.csv"
    files = Files(str(tmp_path / "*" / "metrics.csv"), "epoch")
    assert list(files.read()) == []
    path.parent.mkdir()
    path.write_text("epoch,train_loss,val_loss\n0,0.5,\n0,,0.7")  # the last line is still being written
    assert list(files.read()) == [{"step": 0.0, "train_loss": 0.5}]
    with path.open("a") as file:
        file.write("5\n1,0.25,\n")
    assert list(files.read()) == [{"step": 0.0, "val_loss": 0.75}, {"step": 1.0, "train_loss": 0.25}]
    assert list(files.read()) == []


@pytest.mark.parametrize("rows", ["2,0.25\n", "2,0.25\n3,0.125\n4,0.1\n5,0.05\n"])
def test_what_another_run_wrote_is_no_measurement_of_this_one(tmp_path: Path, rows):
    """Logs that all runs share: lightning_logs/version_0 of yesterday, a table that is written anew or added to."""
    old = "step,loss\n0,9\n1,8\n2,7\n"
    for name in ("untouched.csv", "anew.csv", "added.csv"):
        (tmp_path / name).write_text(old)
        os.utime(tmp_path / name, (1e9, 1e9))
    files = Files(str(tmp_path / "*.csv"), from_now=True)
    assert list(files.read()) == []
    (tmp_path / "anew.csv").write_text(f"step,loss\n{rows}")
    (tmp_path / "later.csv").write_text("step,loss\n0,1\n")
    with (tmp_path / "added.csv").open("a") as file:
        file.write(rows)
    written = [{"step": float(row[0]), "loss": float(row[2:])} for row in rows.split()]
    assert list(files.read()) == [*written, *written, {"step": 0.0, "loss": 1.0}]
    assert list(files.read()) == []


def test_json_lines_in_a_file(tmp_path: Path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2}\n')
    assert list(Files(str(tmp_path / "log.jsonl")).read()) == [{"step": 1.0, "loss": 2.0}]


def test_tensorboards_events_are_read(tmp_path: Path):
    """Records as tensorflow's record_writer.h has them, written here byte for byte (checksums are not looked at)."""
    path = tmp_path / "events.out.tfevents.1.host"
    whole = b"".join(record(event(step, "loss/valid", 1 / (step + 1))) for step in (0, 1, 300))
    path.write_bytes(whole[:-7])
    files = Files(str(tmp_path / "**" / "events*"))
    first = list(files.read())
    path.write_bytes(whole)
    rest = list(files.read())
    assert first + rest == [
        {"step": 0.0, "loss/valid": 1.0}, {"step": 1.0, "loss/valid": 0.5},
        {"step": 300.0, "loss/valid": pytest.approx(1 / 301)},
    ]  # fmt: skip
    assert len(first) == 2


def test_real_event_files_are_read(tmp_path: Path):
    tensorboard = pytest.importorskip(
        "tensorboard.summary.writer.event_file_writer", reason="needs tensorboard"
    )
    pytest.importorskip("torch")
    from torch.utils.tensorboard import SummaryWriter

    assert tensorboard
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(5):
            writer.add_scalar("loss", 2.0**-step, step)
    assert [r["loss"] for r in Files(str(tmp_path / "*tfevents*")).read()] == [1, 0.5, 0.25, 0.125, 0.0625]


@given(st.binary(max_size=200))
def test_no_event_file_is_too_strange(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("e") / "x.tfevents"
    path.write_bytes(record(data) + data)
    list(Files(str(path)).read())


def record(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + b"crc4" + data + b"crc4"


def event(step: int, tag: str, value: float) -> bytes:
    scalar = field(1, tag.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", value)
    return (
        bytes([1 << 3 | 1])
        + struct.pack("<d", 1.7e9)
        + bytes([2 << 3])
        + varint(step)
        + field(5, field(1, scalar))
    )


def field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


OUTPUT = """warming up
Traceback (most recent call last):
  File "/a/first.py", line 1, in <module>
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/a/train.py", line 12, in main
    fit()
    ~~~^^
  File "/a/net.py", line 3, in fit
torch.OutOfMemoryError: CUDA out of memory: 3 GiB
[rank0] bye"""


def test_the_last_traceback_of_an_output_is_found():
    name, message, where, text = last_error(OUTPUT.splitlines()) or ("",) * 4
    assert (name, message, where) == ("OutOfMemoryError", "CUDA out of memory: 3 GiB", "net.py:3")
    assert text.startswith("Traceback") and text.endswith("3 GiB")
    assert last_error(["fine", "done"]) is None
