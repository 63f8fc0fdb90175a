"""What MLflow's errors mean to a publisher.

MLflow raises one exception class for an unavailable server, a full disk and an invalid name. Here they become
three: `Away` (the same call may work later; nothing was lost), `Refused` (it will never work) and `Vanished`
(the run or experiment does not exist).
"""

from __future__ import annotations

from .uri import is_server, shown

_REFUSALS = {
    "INVALID_PARAMETER_VALUE",
    "BAD_REQUEST",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "NOT_IMPLEMENTED",
}
_MISSING = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}


class Away(Exception):
    """MLflow cannot be reached, or cannot write, at the moment. Its text is a sentence for a person."""


class Refused(Exception):
    """MLflow will never accept this call."""


class Vanished(Refused):
    """The run or experiment is not there."""


def kind_of(error: Exception) -> type[Exception]:
    """Refused or Vanished where a repeat would not help; Away where it may."""
    code = getattr(error, "error_code", "")
    if code in _MISSING:
        return Vanished
    if code in _REFUSALS:
        return Refused
    status = getattr(
        getattr(error, "response", None), "status_code", 0
    )  # requests' own, from artifact stores
    if 400 <= status < 500 and status not in (401, 403, 404, 408, 429):  # those can be put right from outside
        return Refused
    return Away


def internal(error: Exception) -> bool:
    """Whether the store reports a fault of its own and not of our request."""
    # MLflow gives a lost connection the same code as a crash in the server.
    return getattr(error, "error_code", "") == "INTERNAL_ERROR" or isinstance(error, (TypeError, ValueError))


def sentence_of(error: Exception, uri: str) -> str:
    """A one-line message for the user."""
    text = " ".join(str(error).split()) or type(error).__name__
    for sign, meaning in (
        ("Connection refused", "no server answers at"),
        ("Name or service not known", "no such host:"),
        (
            "error code 401",
            "it wants a user and a password (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD):",
        ),
        ("timeout exception", "no answer in time from"),
        ("timed out", "no answer in time from"),
        ("Connection aborted", "the connection broke to"),
        ("Connection reset", "the connection broke to"),
    ):
        if sign in text and is_server(uri):
            return f"server away: {meaning} {shown(uri)}"
    if "database is locked" in text:
        return "another process keeps the database locked"
    if "out-of-date database schema" in text:
        return f"{shown(uri)} was made by another version of MLflow: run `mlflow db upgrade`"
    return text if len(text) <= 300 else text[:299] + "…"
