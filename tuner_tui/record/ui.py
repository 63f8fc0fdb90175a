"""The MLflow UI on the studies' store, in the foreground, as small as MLflow can be made.

Left to itself its server starts fifteen processes and takes 1.4 GB; without its job runner and with one
worker it is two and 400 MB.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from .opening import open_client, prepare_environment
from .uri import is_server, shown, sqlite_path

START_S = 120.0  # importing MLflow's server takes about ten seconds, more on a busy machine
STOP_S = 10.0  # an orderly end takes one or two
PORTS_TRIED = 50
_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",  # MLflow's own, about its libraries; nothing the reader could change
}


def open_mlflow_ui(root: Path, uri: str, host: str = "127.0.0.1", port: int = 5000) -> int:
    """Serve the UI until Ctrl-C; the exit code. A taken port is passed over for the next free one.

    Where `uri` is a server, its UI is there already and only its address is printed.
    """
    if is_server(uri):
        print(f"This store is a server with a UI of its own: {shown(uri)}")
        return 0
    if importlib.util.find_spec("mlflow") is None or importlib.util.find_spec("fastapi") is None:
        print("The MLflow UI needs the package mlflow: pip install mlflow", file=sys.stderr)
        return 2
    chosen = _free_port(host, port)
    if chosen is None:
        print(f"No free port from {port} to {port + PORTS_TRIED - 1} on {host}", file=sys.stderr)
        return 2
    root.mkdir(parents=True, exist_ok=True)
    if (path := sqlite_path(uri)) is not None and not path.exists():
        prepare_environment()
        open_client(uri, root)  # else the server and a study that starts now would both make the database
    server = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1",
            "--host", host, "--port", str(chosen),
            "--default-artifact-root", (root.resolve() / "artifacts").as_uri(),
            "--uvicorn-opts", "--log-level warning",
        ],
        env=os.environ | _ENVIRONMENT,
        start_new_session=True,  # its workers end with it, and Ctrl-C reaches it through us, once
    )  # fmt: skip
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return _serve(server, host, chosen)
    except KeyboardInterrupt:
        return 0
    finally:
        _end(server)


def _serve(server: subprocess.Popen[bytes], host: str, port: int) -> int:
    print("Starting the MLflow UI …", flush=True)
    deadline = time.monotonic() + START_S
    while server.poll() is None and not _answers(host, port):
        if time.monotonic() > deadline:
            print(f"The MLflow UI did not start within {START_S:.0f} s", file=sys.stderr)
            return 1
        time.sleep(0.1)
    if server.poll() is None:
        print(f"The MLflow UI is at http://{host}:{port} (Ctrl-C ends it)", flush=True)
    code = server.wait()
    if code:
        print(f"The MLflow server ended with exit code {code}", file=sys.stderr)
    return 1 if code else 0


def _end(server: subprocess.Popen[bytes]) -> None:
    """Stop the server and its workers, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(STOP_S)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _free_port(host: str, first: int) -> int | None:
    for port in range(first, first + PORTS_TRIED):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
            try:
                probe.bind((host, port))
                return port
            except OSError:
                continue
    return None


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host if host != "0.0.0.0" else "127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
