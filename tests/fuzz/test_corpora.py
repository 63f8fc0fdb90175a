"""Each input that the fuzzer has kept, once more: what was found stays found."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_is_worse_than_wrong(target):
    inputs = [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
    assert inputs
    for data in inputs:
        TARGETS[target](data)
