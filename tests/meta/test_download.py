"""Fetching MNIST from a server: what is missing only, checked before it gets its name, and never half a file."""

import gzip
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from support.idx_files import contents
from support.patience import PATIENCE_S

from meta.experiments.__main__ import main as experiments
from meta.problems.digits import mnist
from meta.problems.download import FILES, download, main

SMALL = {name: hashlib.sha256(raw).hexdigest() for name, raw in contents().items()}


class Server:
    """Serves a folder on this machine, and notes what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        noted = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def log_request(self, code="-", size="-"):
                noted.append(self.path)

            def log_message(self, format, *args): ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    served = tmp_path / "served"
    served.mkdir()
    for name, raw in contents().items():
        (served / f"{name}.gz").write_bytes(gzip.compress(raw))
    server = Server(served)
    yield server
    server.stop()


def test_what_is_fetched_can_be_read_and_is_not_fetched_again(server, tmp_path, capfd):
    folder = tmp_path / "new" / "folder"
    assert download(folder, [server.url], SMALL) == list(SMALL)
    assert "100%" in capfd.readouterr().err  # the bar
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents()
    assert len(mnist(folder, 7, 5).test.labels) == 5
    server.asked.clear()
    assert download(folder, [server.url], SMALL) == [] == server.asked


def test_only_what_is_missing_or_damaged_is_fetched(server, tmp_path):
    folder = tmp_path / "some"
    download(folder, [server.url], SMALL)
    first, second, third, _ = SMALL
    (folder / first).unlink()
    (folder / second).write_bytes(b"half of i")
    (folder / f"{third}.gz").write_bytes(gzip.compress((folder / third).read_bytes()))
    (folder / third).unlink()  # packed is as good
    server.asked.clear()
    assert download(folder, [server.url], SMALL) == [first, second]
    assert server.asked == [f"/{first}.gz", f"/{second}.gz"]


def test_a_file_that_is_not_the_original_is_refused_and_leaves_nothing(server, tmp_path):
    name, raw = next(iter(contents().items()))
    wrong = raw[:-1] + bytes([raw[-1] ^ 1])
    (server.folder / f"{name}.gz").write_bytes(gzip.compress(wrong))
    with pytest.raises(OSError, match=f"SHA-256 {hashlib.sha256(wrong).hexdigest()}, not {SMALL[name]}"):
        download(tmp_path / "new", [server.url], SMALL)
    assert not [*(tmp_path / "new").iterdir()]


def test_half_a_file_is_refused_and_the_next_source_is_tried(server, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name, raw in contents().items():
        packed = gzip.compress(raw)
        (broken / f"{name}.gz").write_bytes(packed[: len(packed) // 2])
    other = Server(broken)
    try:
        with pytest.raises(OSError, match="can't be fetched"):
            download(tmp_path / "new", [other.url], SMALL)
        assert download(tmp_path / "new", [other.url, server.url], SMALL) == list(SMALL)
    finally:
        other.stop()
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(SMALL)


def test_the_command_names_place_reason_and_remedy(server, tmp_path, capsys):
    """These are not MNIST, so the checksums of the real files refuse them."""
    assert main([str(tmp_path / "new"), "--source", server.url]) == 2
    said = capsys.readouterr().err
    assert next(iter(FILES.values())) in said and "--source" in said and str(tmp_path / "new") in said


def test_an_experiment_fetches_only_into_a_folder_that_is_named(capsys):
    assert experiments(["ten", "--download"]) == 2
    assert "--data FOLDER" in capsys.readouterr().err


def test_a_missing_file_says_how_to_fetch_it(tmp_path):
    """The command of the message is run, against a server that is not there."""
    with pytest.raises(FileNotFoundError) as error:
        mnist(tmp_path)
    _, _, command = str(error.value).partition("fetch them with: python ")
    offline = [sys.executable, *command.split(), "--source", "http://127.0.0.1:9/"]  # discard: nobody listens
    done = subprocess.run(offline, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2 and "refused" in done.stderr
