"""A search file that uses most of what one may hold, and the check that a text is read or refused, no third."""

from __future__ import annotations

import json

from tuner_tui.search.file import parse_search
from tuner_tui.search.problems import SearchError
from tuner_tui.search.search import Search

CAPTION = """
name = "caption-emd"
target = "models.train:train"
objective = "loss/valid"          # minimised; direction = "maximize" to turn it round
sampler = "random"
trials = 100

[space.optimizer]                  # groups are how the panels are laid out
lr         = { log = [1e-5, 1e-1] }
batch_size = { int = [5, 30] }

[space.model]
"convnet.kind"  = ["straight", "straight_dilated", "straight_residual"]
"convnet.depth" = { int = [64, 512] }
"merger.kind"   = ["attention", "conv"]
"merger.depth"  = { int = [4, 64], when = { "merger.kind" = "conv" } }

[limits]
trial_seconds = 3600
silent_seconds = 600
"""
TARGET = 'target = "train:main"\n'


def parse(text: str, *overrides: str) -> Search:
    return parse_search(text, "caption.toml", overrides)


def read_or_refused(text: str, *overrides: str) -> None:
    try:
        search = parse(text, *overrides)
    except SearchError as error:
        assert error.problems
        for problem in error.problems:
            line = str(problem)
            assert line.isprintable() and problem.message and problem.file in ("caption.toml", "--set"), line
    else:
        assert Search.from_json(json.loads(json.dumps(search.to_json(), allow_nan=False))) == search
