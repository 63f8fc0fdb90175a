"""The engine's end of the fork server (whose own side is trial/warm.py): start it, talk to it, survive its death."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..study.private import UMASK

START = str(Path(__file__).resolve().parents[1] / "trial" / "start.py")  # run by its path, in any interpreter
_MESSAGE_BYTES = 1 << 18  # more than the kernel lets one message have
_LEAVES_S = (
    0.2  # it leaves by itself when its socket closes; libraries with slow exit handlers are not awaited
)


class ServerDied(Exception):
    """The server's end of the socket is closed. `status`: its exit status where it is known, as subprocess has it."""

    def __init__(self, status: int | None = None) -> None:
        super().__init__("" if status is None else f"exit status {status}")
        self.status = status


class ForkServer:
    """A running server. Its first message introduces the target: {"target", "names", …} or {"target", "error"}."""

    def __init__(
        self, python: str, target: str, path: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        life_there, self._life = os.pipe()  # ours stays open as long as we live (lifeline.py)
        first = json.dumps({"target": target, "path": list(path)})
        try:
            with log.open("ab") as words:
                self._process = subprocess.Popen(
                    [python, START, "warm", str(theirs.fileno()), str(life_there), first],
                    pass_fds=[theirs.fileno(), life_there], stdin=subprocess.DEVNULL, stdout=words, stderr=words,
                    env=dict(environment), start_new_session=True, umask=UMASK,
                )  # fmt: skip
        finally:
            theirs.close()
            os.close(life_there)
        self.socket = ours
        self.pid = self._process.pid
        self.asked: dict[str, float] = {}  # what it owes an answer for -> since when, monotonic

    def introduction(self, seconds: float) -> dict[str, Any]:
        """Wait for its first message. Raises ServerDied when importing the target ended it, TimeoutError when that
        takes longer than so many seconds."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(_MESSAGE_BYTES)
        finally:
            self.socket.settimeout(None)
        if not data:
            raise ServerDied(self._process.wait())
        return json.loads(data)

    def launch(self, job: Mapping[str, Any], pipe: int, life: int) -> None:
        """Have a trial forked; answered with {"trial", "pid", "at"} or {"trial", "error"}. Raises ServerDied, and
        OSError where nothing can be sent now or the job is too large for a message."""
        self._ask(f"launch {job['trial']}")
        try:
            # A server that is stopped reads nothing, and the engine must not wait for it: BlockingIOError.
            # (`socket.send_fds` passes on no flags.)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [pipe, life]))]
            self.socket.sendmsg([json.dumps(job).encode()], rights, socket.MSG_DONTWAIT)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ServerDied from error

    def reap(self, pid: int) -> None:
        """Have the status of a dead trial read; answered with {"reaped", "exit_code"}. Raises ServerDied."""
        self._ask(f"reap {pid}")
        try:
            self.socket.send(json.dumps({"reap": pid}).encode(), socket.MSG_DONTWAIT)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ServerDied from error
        except BlockingIOError as error:  # it is stopped, with hundreds of messages before this one
            self.kill()
            raise ServerDied from error

    def receive(self) -> dict[str, Any]:
        """The next message; call when the socket is readable. Raises ServerDied."""
        try:
            data = self.socket.recv(_MESSAGE_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            raise ServerDied
        message = json.loads(data)
        self.asked.pop(
            f"reap {message['reaped']}" if "reaped" in message else f"launch {message.get('trial')}", 0
        )
        return message

    def silent_for(self) -> float:
        """Seconds the oldest unanswered message has waited."""
        return time.monotonic() - min(self.asked.values()) if self.asked else 0.0

    def kill(self) -> None:
        """End the server at once; its children stay."""
        self._process.kill()

    def close(self) -> None:
        """Close the connection, on which the server exits."""
        self.socket.close()
        os.close(self._life)
        try:
            self._process.wait(timeout=_LEAVES_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, what: str) -> None:
        self.asked[what] = time.monotonic()
