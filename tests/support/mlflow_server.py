"""A real `mlflow server` on loopback, for tests that publish to one and take it away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from support.patience import wait_until


class Server:
    """A real `mlflow server` on loopback, which can be killed and started again on the same port and data."""

    def __init__(self, data: Path) -> None:
        self._data = data
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns at once; `wait` until it answers."""
        command = [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{self._data / 'server.db'}",
            "--artifacts-destination", (self._data / "artifacts").as_uri(),
            "--workers", "1", "--host", "127.0.0.1", "--port", str(self.port),
        ]  # fmt: skip
        with (self._data / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )  # fmt: skip

    def wait(self) -> None:
        try:
            wait_until(self._answers, "the server answers", every=0.1)
        except AssertionError as error:
            log = (self._data / "server.log").read_text()
            raise AssertionError(f"{error}; its log ends with {log[-3000:]}") from None

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=10).close()
        except OSError:
            return False
        return True

    def pids(self) -> list[int]:
        """Its living processes: they share its session."""
        found = []
        for entry in Path("/proc").iterdir() if self._process else ():
            try:
                if entry.name.isdigit() and os.getsid(int(entry.name)) == self._process.pid:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
        return found

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
