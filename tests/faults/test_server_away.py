"""A live sweep whose MLflow server is killed in the middle, stays away for 20 s, and comes back."""

from __future__ import annotations

import time

import pytest
from support.mlflow_server import Server
from support.patience import PATIENCE_S
from support.sabotage import start, study, wait_for, workplace
from support.story import SEARCH, agrees_with_mlflow


@pytest.mark.slow
def test_nothing_is_missing_after_a_server_was_away_mid_sweep(tmp_path):
    server = Server(tmp_path)
    server.start()
    server.wait()
    try:
        workplace(tmp_path, SEARCH.replace("trials = 30", "trials = 16"))
        sweep = start(
            tmp_path, "sweep", "--headless", "--tracking-uri", server.uri, "--mlflow-wait", str(PATIENCE_S)
        )
        folder = study(tmp_path, "story-1")
        wait_for(folder, lambda s: s.counts.ended >= 3)
        server.kill()
        gone_at = time.monotonic()
        snapshot = wait_for(folder, lambda s: s.counts.ended >= 10)  # the sweep goes on without it
        assert snapshot.closed_at is None
        time.sleep(max(0.0, gone_at + 20 - time.monotonic()))
        server.start()
        assert sweep.wait(PATIENCE_S) == 0
        assert sorted(folder.snapshot().trials) == list(range(16))
        agrees_with_mlflow(folder, server.uri)
    finally:
        server.kill()
