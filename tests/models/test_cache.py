"""Images are decoded once, however many ask and whoever is killed, and no cache is better than a wrong one."""

import json
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data import cache, pool
from models.data.progress import Progress, duration

fork = multiprocessing.get_context("fork")
SIDE = 16


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def paint(folder, n, side=24):
    """n files of noise, which compress badly and so take their time."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    files = [folder / f"{i:04}.png" for i in range(n)]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(file, compress_level=1)
    return files


def ask(files, side=SIDE):
    """What a load returns, and what it said."""
    said: list[str] = []
    decoded, content = cache.decoded(files, side, said.append)
    assert content == cache.content_of(decoded.images)
    return decoded, said


def is_decoding(said):
    return any(s.startswith("decoding") for s in said)


def test_decoded_once_then_mapped(home, tmp_path):
    files = paint(tmp_path / "pictures", 5)
    (first, said), (second, then) = ask(files), ask(files)
    assert is_decoding(said) and f"they are kept in {home} (0 MB)" in said
    assert then == [] and isinstance(second.images, np.memmap)
    assert (first.images == second.images).all() and first.bad == second.bad == ()
    assert not list(home.glob("*.part"))


def test_what_is_kept_can_be_read_by_anyone(home, tmp_path):
    """A plain .npy and a .json: numpy.load, and any editor."""
    files = [*paint(tmp_path / "pictures", 3), tmp_path / "pictures" / "bad.png"]
    files[-1].write_text("no image")
    decoded, _ = ask(files)
    (npy,), (facts,) = home.glob("*.npy"), home.glob("*.json")
    assert (np.load(npy) == decoded.images).all() and len(decoded.images) == 3
    facts = json.loads(facts.read_text())["facts"]
    assert facts["bad"] == [{"number": 3, "why": "it is not a readable image", "unreadable": False}]
    assert facts["content"] == cache.content_of(decoded.images)


def test_the_key_changes_with_the_files_their_order_and_the_side(tmp_path):
    files = paint(tmp_path / "pictures", 3)
    keys = [
        cache.key(files, SIDE),
        cache.key(files, 8),
        cache.key(files[:2], SIDE),
        cache.key(files[::-1], SIDE),
    ]
    os.utime(files[0], (1, 1))
    keys.append(cache.key(files, SIDE))
    files[1].write_bytes(files[1].read_bytes() + b" ")
    keys.append(cache.key(files, SIDE))
    assert len(set(keys)) == 6
    assert cache.key(files, SIDE) == keys[-1]
    assert cache.key([tmp_path / "gone"], SIDE)


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "removed", "swapped"])
def test_a_damaged_cache_is_decoded_again_and_said(home, tmp_path, suffix, damage):
    files = paint(tmp_path / "pictures", 5)
    whole, _ = ask(files)
    (path,) = home.glob(f"*{suffix}")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-40] ^= 1
    new = {"truncated": content[: len(content) // 2], "emptied": b"", "swapped": b"[1]"}.get(damage, content)
    path.unlink() if damage == "removed" else path.write_bytes(new)
    again, said = ask(files)
    assert is_decoding(said) and (again.images == whole.images).all()
    if damage != "removed":
        assert said[0].startswith(f"the images kept in {home} are damaged and are decoded again: ")
    assert ask(files)[1] == []  # and is whole now


def test_where_it_is(monkeypatch, tmp_path):
    for name in ("TUNER_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "tuner"
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    assert cache.folder() == Path("/shared/tuner")
    monkeypatch.setenv("TUNER_CACHE", "~/mine")
    assert cache.folder() == tmp_path / "mine"
    monkeypatch.setenv("TUNER_CACHE", "")
    assert cache.folder() == Path("/shared/tuner")


def test_a_cache_that_cannot_be_made_is_said_and_costs_nothing_else(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TUNER_CACHE", str(tmp_path / "file" / "cache"))
    files = paint(tmp_path / "pictures", 3)
    for _ in range(2):
        decoded, said = ask(files)
        assert len(decoded.images) == 3 and is_decoding(said)
        assert "decoded images are not kept" in said[0] and "set TUNER_CACHE" in said[0]


def in_child(work):
    """What `work` returns in a process of its own, so that its limits and its death are not ours."""
    ours, theirs = fork.Pipe()

    def main():
        theirs.send(work())

    process = fork.Process(target=main)
    process.start()
    assert ours.poll(60)
    result = ours.recv()
    process.join()
    return result


def test_a_full_disk_is_said_and_leaves_nothing_behind(home, tmp_path):
    files = paint(tmp_path / "pictures", 30)

    def without_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # of 23,000 bytes
        decoded, said = ask(files)
        return len(decoded.images), said

    n, said = in_child(without_room)
    assert n == 30
    assert "decoded images are not kept" in said[-1] and "can't be written" in said[-1]
    assert not [*home.glob("*.npy"), *home.glob("*.json"), *home.glob("*.part")]
    assert is_decoding(ask(files)[1]) and ask(files)[1] == []


def test_what_may_be_readable_tomorrow_is_not_kept_as_bad(home, tmp_path):
    files = paint(tmp_path / "pictures", 3)
    files[1].rename(tmp_path / "away")
    decoded, said = ask(files)
    assert [(b.number, b.why, b.unreadable) for b in decoded.bad] == [(1, "No such file or directory", True)]
    assert "some files could not be read" in said[-1] and not list(home.glob("*.npy"))


def test_of_three_processes_one_decodes_and_the_others_wait(home, tmp_path):
    files = paint(tmp_path / "pictures", 150, 200)
    barrier, results = fork.Barrier(3), fork.Queue()

    def load():
        barrier.wait(30)
        decoded, said = ask(files)
        results.put((cache.content_of(decoded.images), said))

    processes = [fork.Process(target=load) for _ in range(3)]
    for p in processes:
        p.start()
    found = [results.get(timeout=60) for _ in processes]
    for p in processes:
        p.join(30)
    assert len({content for content, _ in found}) == 1
    assert sum(is_decoding(said) for _, said in found) == 1
    assert sum(any("another process is decoding" in s for s in said) for _, said in found) >= 1


@pytest.mark.parametrize("at", ["decoding", "writing"])
def test_whoever_is_killed_the_next_load_works(home, tmp_path, at):
    files = paint(tmp_path / "pictures", 60, 200)
    for wait in (0, 0.005, 0.02, 0.05):
        ours, theirs = fork.Pipe()

        def load(theirs=theirs):
            write = cache._write

            def slowly(path, fill):
                theirs.send("writing")
                write(path, lambda file: [fill(file), file.flush(), time.sleep(5)])  # killed long before

            cache._write = slowly
            cache.decoded(files, SIDE, lambda s: theirs.send(s.split()[0]))

        process = fork.Process(target=load)
        process.start()
        while ours.recv() != at:
            pass
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    if at == "writing":
        assert list(home.glob("*.part"))  # they were killed in the middle of it
    decoded, said = ask(files)
    assert len(decoded.images) == 60 and is_decoding(said)
    assert not any("waiting" in s or "damaged" in s for s in said)  # locks fall with their processes
    assert not list(home.glob("*.part")) and ask(files)[1] == []


def test_an_interrupted_decoding_ends_soon(home, tmp_path, monkeypatch):
    """Ctrl-C comes out of whatever is running; what is still waiting for a thread is not decoded first."""
    files = paint(tmp_path / "pictures", 4) * 500
    done = []

    def square(path, side):
        done.append(path)
        time.sleep(0.001)
        return 0

    monkeypatch.setattr(pool, "square", square)
    monkeypatch.setattr(Progress, "at", lambda self, n: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        cache.decoded(files, SIDE, lambda s: None)
    assert len(done) < 1000
    assert not list(home.glob("*.npy"))


def test_progress_in_a_log(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress("images decoded", 118_287, said.append)
    progress.bar = False
    for done in range(0, 118_287, 1000):
        now[0] = done / 1000
        progress.at(done)
    progress.end()
    assert said[0] == "5,000 of 118,287 images decoded (4%), 2 min to go"
    assert said[-1] == "115,000 of 118,287 images decoded (97%), 3 s to go"
    assert len(said) == 23  # one every five seconds


def test_progress_on_a_terminal(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress("images decoded", 118_287, pytest.fail)
    progress.bar = True
    for now[0] in (1, 2, 3):
        progress.at(int(now[0]) * 30_000)
    progress.end()
    drawn = capsys.readouterr().err.split("\r")
    assert drawn[3] == "█" * 22 + "░" * 8 + " 90,000 of 118,287 images decoded, 1 s to go\x1b[K"
    assert drawn[-1] == "\x1b[K" and max(map(len, drawn)) <= 83


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (99, "99 s"), (100, "2 min"), (5999, "100 min"), (9000, "2.5 h")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words
