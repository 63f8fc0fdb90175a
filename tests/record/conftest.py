"""MLflow for the tests of its copy: settings before anything imports it, and a real server where asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.mlflow_server import Server

from tuner_tui.record.opening import prepare_environment

prepare_environment()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    running.start()
    running.wait()
    yield running
    running.kill()
