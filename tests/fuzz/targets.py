"""What is fuzzed: each target takes any bytes and returns, or raises what its caller turns into a sentence. Any other
exception is a fault."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from tuner_tui.analysis.filter import FilterError, Names, completions
from tuner_tui.analysis.filter import parse as parse_filter
from tuner_tui.engine.messages import last_word, measurement, suggestion
from tuner_tui.report.fail_if import parse_condition
from tuner_tui.report.machine import from_json
from tuner_tui.search.command import expand, problems_of
from tuner_tui.search.file import parse_search
from tuner_tui.search.problems import SearchError
from tuner_tui.search.search import Search
from tuner_tui.study.checkup import checkup
from tuner_tui.study.events import encode
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.publication import Notebook, publication
from tuner_tui.study.requests import RequestReader
from tuner_tui.study.snapshot import Snapshot
from tuner_tui.study.text import printable
from tuner_tui.trial.readings import JsonLines, Patterns

BASE = 'target = "train:main"\n[space]\nlr = { log = [1e-5, 1e-1] }\nkind = ["a", "b"]\ndepth = { int = [1, 9] }\n'
SEARCH = replace(parse_search(BASE, "base.toml", ()), folder="")  # no folder of the machine in what is kept
FILLED = {"seed": 1, "out": "/o", "device": "cpu", "trial": 3, "slot": 0, "params_file": "/p.json"}
FOLDER = StudyFolder(Path(tempfile.mkdtemp(prefix="tuner-fuzz-")))


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def search(data: bytes) -> None:
    _searched(text_of(data), ())


def overrides(data: bytes) -> None:
    _searched(BASE, tuple(text_of(data).split("\n")[:4]))


def _searched(text: str, given: tuple[str, ...]) -> None:
    try:
        found = parse_search(text, "fuzz.toml", given)
    except SearchError as error:
        assert error.problems and all(str(problem).isprintable() for problem in error.problems)
    else:
        assert Search.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def condition(data: bytes) -> None:
    try:
        parse_condition(text_of(data))
    except ValueError as error:
        assert str(error)


def narrow(data: bytes) -> None:
    snapshot = Snapshot(study="s", search=SEARCH)
    names, text = Names.of(snapshot), text_of(data)
    completions(text, names)
    try:
        found = parse_filter(text, names)
    except FilterError as error:
        assert 0 <= error.at <= len(text)
    else:
        if found:
            found.narrow(snapshot)


def journal(data: bytes) -> None:
    FOLDER.journal.write_bytes(data)
    kept = BytesIO()
    found = checkup(FOLDER, kept)
    assert FOLDER.snapshot().trials == found.snapshot.trials
    FOLDER.journal.write_bytes(kept.getvalue())
    assert checkup(FOLDER).healthy


def requests(data: bytes) -> None:
    FOLDER.requests.write_bytes(b"")
    reader = RequestReader(FOLDER.requests)
    FOLDER.requests.write_bytes(data)
    for request in reader.read():
        assert request.number is None or isinstance(request.number, int)


def message(data: bytes) -> None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(found, dict):
        measurement(found), last_word(found), suggestion(found)


def command(data: bytes) -> None:
    words = text_of(data).split("\n")[:6]
    list(problems_of(words, ["lr", "kind"], []))
    assert all(isinstance(word, str) for word in expand(words, {"lr": 0.1, "kind": "a"}, FILLED))


def output(data: bytes) -> None:
    readers = (JsonLines(), Patterns([r"loss (?P<loss>\S+)", r"epoch (?P<step>\d+)"]))
    for line in text_of(data).split("\n"):
        for reader in readers:
            for reading in reader.read(line):
                assert isinstance(dict(reading), dict)


def notes(data: bytes) -> None:
    FOLDER.publisher_state.write_bytes(data)
    Notebook.load(FOLDER.publisher_state)
    FOLDER.journal.touch()
    assert publication(FOLDER).sentence


def report(data: bytes) -> None:
    try:
        from_json(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # --baseline says that it is no report


def terminal(data: bytes) -> None:
    shown = printable(text_of(data))
    assert all(letter.isprintable() or letter in "\n\t" for letter in shown)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "search": search, "overrides": overrides, "condition": condition, "filter": narrow, "journal": journal,
    "requests": requests, "message": message, "command": command, "output": output, "notes": notes, "report": report,
    "terminal": terminal,
}  # fmt: skip


def seeds() -> dict[str, list[bytes]]:
    """One good input or a few of each kind, for the fuzzer to begin with."""
    from tuner_tui.report.machine import to_json
    from tuner_tui.study.events import StudyOpened, TrialEnded, TrialMeasured, TrialStarted
    from tuner_tui.study.outcomes import Outcome

    events = [
        StudyOpened(1.0, "s", SEARCH, pid=1), TrialStarted(2.0, 0, {"lr": 0.1}, 5),
        TrialMeasured(3.0, 0, 0, {"loss": float("inf")}), TrialEnded(4.0, 0, Outcome.FINISHED),
    ]  # fmt: skip
    line = b'{"step": 1, "values": {"loss": 0.5}, "at": 1.0}'
    return {
        "search": [BASE.encode(), b'command = ["x", "{rest}"]\n[read]\npattern = "l (?P<loss>.)"\n[space]\nx = [1]'],
        "overrides": [b"lr={ log = [1e-4, 1] }\nkind=a", b"trials=3\nfixed.x=1"],
        "condition": [b"best > 0.5", b"no_start > 20%", b"best > baseline * 1.02"],
        "filter": [b"lr < 1e-3 and failed", b"not (kind in (a, b) or depth >= 3)"],
        "journal": ["".join(encode(event) + "\n" for event in events).encode()],
        "requests": [b'{"request": "stop", "number": null, "at": 1.0}\n{"request": "change", "set": ["lr=1"]}\n'],
        "message": [line, b'{"end": "raised", "type": "E"}', b'{"suggested": "x", "value": 1, "distribution": {}}'],
        "command": [b"python\n--lr={lr}\n{rest}", b"{overrides}\n{{x}}"],
        "output": [b'epoch 1: loss 0.5\n{"loss": 1, "step": 2}'],
        "notes": [b'{"uri": "sqlite:///x", "offset": 3, "runs": {"0": "a"}, "uploads": ["0"]}'],
        "report": [json.dumps(to_json(Snapshot(study="s", search=SEARCH))).encode()],
        "terminal": [b"\x1b[31m red \xff\r\n"],
    }  # fmt: skip
