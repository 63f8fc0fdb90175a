"""Maps hyperparameter and metric names and values to ones that MLflow accepts.

MLflow refuses most punctuation in names and bounds the length of everything. A name it accepts is kept; any
other is rewritten and ends in a few digits of its hash, so that two names never become one. Pure.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

# MLflow's own limits (mlflow.utils.validation); the server cuts or refuses what is longer.
MAX_NAME = 250
MAX_PARAM = 6000
MAX_TAG = 8000

RENAMED = "tuner.name."  # a tag by this prefix and the new name holds the old one

_TAKEN = re.compile(r"[/\w.\- :]+")
_REFUSED = re.compile(r"[^/\w.\- :]")


@lru_cache(maxsize=4096)  # a study has a handful of names, and a million measurements
def mlflow_name(name: str) -> str:
    """`name` if MLflow takes it as the name of a param, metric or tag, else one like it that it takes.

    Different names give different results (up to a collision of 32 bits of SHA-256 among rewritten ones).
    """
    if _takes(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    # MLflow reads names as paths: no empty part, no "." or "..", no slash at either end.
    parts = [part for part in _REFUSED.sub("_", name).split("/") if part not in ("", ".", "..")]
    return "/".join(parts).lstrip("./")[: MAX_NAME - 9].rstrip("/") + "-" + digest


def _takes(name: str) -> bool:
    if not _TAKEN.fullmatch(name) or len(name) > MAX_NAME:
        return False
    path = posixpath.normpath(name)
    return path == name and path != "." and not path.startswith(("..", "/"))


def renamed(names: Mapping[str, Any]) -> dict[str, str]:
    """The tags that keep the originals of the names MLflow refuses: what it has -> what it was."""
    return {
        mlflow_name(f"{RENAMED}{new}"): tag_value(name)
        for name in names
        if (new := mlflow_name(name)) != name
    }


def param_value(value: Any) -> str:
    """A hyperparameter's value as text: Python's for scalars, JSON for what is nested; cut to MLflow's limit."""
    return _cut(param_text(value), MAX_PARAM)


def param_text(value: Any) -> str:
    """The same, uncut."""
    if isinstance(value, (list, tuple, dict)):
        return clean(json.dumps(value, ensure_ascii=False))
    return clean(str(value))


def tag_value(value: Any) -> str:
    """A tag's value as text that MLflow accepts, cut to its limit."""
    return _cut(clean(str(value)), MAX_TAG)


def clean(text: str) -> str:
    """`text` without the two things databases choke on: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
