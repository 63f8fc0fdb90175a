"""docs/reliability.md names code and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "reliability.md").read_text()


def rows() -> list[list[str]]:
    table = [line.strip("|\n ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    return [row for row in table if row[0] not in ("fault",)]


def names_in(path: str) -> set[str]:
    tree = ast.parse((REPOSITORY / "tests" / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_promise_names_code_and_a_test_that_exist():
    assert len(rows()) >= 60
    for fault, promise, code, shown in rows():
        assert fault and promise
        for path in re.findall(r"`([^`]+)`", code):
            assert (REPOSITORY / "tuner_tui" / path).is_file(), f"{fault}: {path}"
        file = ""
        names = re.findall(r"`([^`]*)::(\w+)`", shown)
        assert names, fault
        for path, name in names:
            file = path or file
            assert name in names_in(file), f"{fault}: {file}::{name}"
