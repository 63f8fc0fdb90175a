"""One torch thread for these tests: several test processes on few cores otherwise fight for them."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
