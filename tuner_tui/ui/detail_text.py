"""The text of the detail pane: one trial, or the study when none is selected. Values in, styled text out."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

from textual.content import Content
from textual.style import Style

from ..analysis.difference import differing
from ..analysis.failures import failure_groups
from ..search.options import with_options
from ..study.processes import resident_bytes
from ..study.snapshot import Snapshot, Trial
from ..study.state import State
from ..study.text import printable
from ..view.confirmation import confirmed_words
from ..view.signs import OUTCOME_SIGNS, OUTCOME_TONES, end_sign
from ..view.words import (
    before_words,
    duration,
    number,
    outcome_word,
    parameter,
    plural,
    reason_word,
    state_word,
)
from .curve import braille_curve
from .keys import advice

_CURVE_ROWS = 5
_SMALL_ROWS = 3  # of the curve of another measurement
_MORE_CURVES = 8  # of them at most; what is measured last is listed for all
_NONE: Mapping[str, Sequence[tuple[int, float]]] = {}
_MESSAGE_LINES = 3  # of a failure; the log screen has the whole
_SLOTS = 16  # running trials that are listed
_KINDS = 3  # of one reason, in the list of failures


def trial_head(trial: Trial, snapshot: Snapshot, *, alive: bool, now: float, width: int) -> Content:
    """How a trial stands: its outcome, why, its value, and what it ran on. The reason takes at most three lines."""
    colour = f"${OUTCOME_TONES[trial.outcome]}" if alive or not trial.running else "$quiet"
    best = snapshot.best
    head = Content.assemble(
        (f"#{trial.number}  ", "bold $foreground"),
        (f"{end_sign(trial).glyph} {outcome_word(trial, alive)}", f"bold {colour}"),
        ("  ★ best" if best is not None and best.number == trial.number else "", "bold $primary"),
    )
    lines = [head]
    if trial.running and not alive:
        lines.append(Content.styled("its engine was killed; resuming buries it and goes on", colour))
    if trial.reason is not None:
        lines.append(
            Content.assemble(
                (reason_word(trial.reason), colour),
                (
                    f": {_cut(printable(trial.message), _MESSAGE_LINES * width - 20)}"
                    if trial.message
                    else "",
                    "",
                ),
            )
        )
    for at, (_, reason, message) in enumerate(trial.attempts, start=1):
        said = _cut(printable(message), max(20, width - 24))
        lines.append(Content.styled(f"attempt {at} ended: {reason}: {said}", "$quiet"))
    value = Content.assemble((f"{printable(snapshot.objective)} ", "$quiet"), (number(trial.value), "bold"))
    if trial.not_a_number:
        value = Content.assemble(value, (f", then {number(trial.curve[-1][1])}", "$unfinished"))
    lines.append(value)
    if confirmed := confirmed_words(trial):
        lines.append(Content.styled(f"confirmed: {confirmed}", "$finished"))
    facts = [plural(trial.steps, "measurement")]
    if alive or not trial.running:
        facts.insert(0, duration(trial.seconds(now)))
    facts += [trial.device] if trial.device else []
    facts += [f"from {printable(trial.source)}"] if trial.source else []
    facts += [f"seed {trial.seed}"] if trial.seed is not None else []
    if trial.exit_code:
        facts.append(f"signal {-trial.exit_code}" if trial.exit_code < 0 else f"exit code {trial.exit_code}")
    lines.append(Content.styled(" · ".join(facts), "$quiet"))
    return Content("\n").join(lines)


def trial_text(
    trial: Trial,
    snapshot: Snapshot,
    *,
    width: int,
    traceback: Sequence[str] = (),
    log: Sequence[str] | None = (),
    left_out: int = 0,
    curves: Mapping[str, Sequence[tuple[int, float]]] = _NONE,
    mlflow: str = "",
) -> Content:
    """A trial's settings, curve and last words, for a pane `width` cells wide. `log` None: none is kept.
    `left_out`: how many bytes of output the log's file lacks.

    `mlflow`: the address of its run, for terminals that follow links (OSC 8).
    """
    parts = [_settings(trial, snapshot, width)]
    if mlflow:
        said = mlflow.partition("?")[0][: max(10, width - 7)]
        parts.append(Content.assemble(("MLflow ", "$quiet"), (said, Style(link=mlflow, underline=True))))
    if curve := _curve(f"{printable(snapshot.objective)} by step", trial.curve, width, _CURVE_ROWS):
        parts.append(curve)
    for name, readings in list(curves.items())[:_MORE_CURVES]:
        if name != snapshot.objective and (curve := _curve(printable(name), readings, width, _SMALL_ROWS)):
            parts.append(curve)
    if others := {k: v for k, v in trial.latest.items() if k != snapshot.objective}:
        parts.append(_section("measured last", _pairs([(k, number(v)) for k, v in others.items()], width)))
    if traceback:
        parts.append(_section("traceback", _verbatim(traceback, width)))
    if log:
        lacks = f" (its file lacks {left_out / 2**20:,.0f} MiB: limits.log_mb)" if left_out else ""
        parts.append(_section(f"log{lacks}", _verbatim(log, width)))
    elif log is not None and not traceback:
        parts.append(_section("log", Content.styled("nothing printed", "$faint")))
    return Content("\n\n").join(parts)


def study_text(
    name: str,
    snapshot: Snapshot,
    state: State,
    *,
    width: int,
    origin: str = "",
    now: float = 0.0,
    mlflow: str = "",
    gpu_mebibytes: Mapping[int, int] | None = None,
) -> Content:
    """The study itself: what is searched, how, what runs where, and what failed why.

    `origin`: where another program keeps it. `now`: for how long trials have run; 0: they are not listed.
    `mlflow`: where its runs are to be seen. `gpu_mebibytes`: GPU memory by process group (see `study.processes`).
    """
    search, planned = snapshot.search, not snapshot.open_ended
    parts = [Content.assemble((printable(name), "bold $foreground"), "  ",
                              (state_word(state, snapshot), "$quiet"))]  # fmt: skip
    if sentence := advice(state, snapshot):
        parts[0] = Content("\n").join([parts[0], Content.styled(sentence, "$text-warning")])
    facts = [
        ("read from", origin),
        ("command" if search.command else "target", search.runs),
        ("objective", f"{snapshot.objective}, {snapshot.direction}d" if snapshot.objective else None),
        ("sampler", with_options(search.sampler, search.sampler_options) if planned else None),
        ("pruner", with_options(search.pruner, search.pruner_options) if search.pruner != "none" else None),
        ("seed", search.seed if planned else None),
        ("trials", f"{snapshot.planned}, {search.parallel} at a time" if planned else None),
        ("before", before_words(snapshot)),
        ("host", snapshot.host),
        ("commit", (snapshot.git_commit or "")[:10]),
        ("MLflow", mlflow),
    ]
    known = [(name, printable(str(value))) for name, value in facts if value not in (None, "")]
    if known:
        parts.append(_pairs(known, width, columns=1))
    if fixed := search.fixed:
        parts.append(_section("fixed", _pairs([(k, parameter(v)) for k, v in fixed.items()], width)))
    if now and state is State.RUNNING and (running := _running(snapshot, now, gpu_mebibytes or {})):
        parts.append(_section("running", running))
    if failures := _failures(snapshot, width):
        parts.append(_section("failures", failures))
    return Content("\n\n").join(parts)


def _settings(trial: Trial, snapshot: Snapshot, width: int) -> Content:
    order = snapshot.space.names
    names = [name for name in order if name in trial.params]
    names += [name for name in trial.params if name not in names]
    best = snapshot.best
    if best is None or best.number == trial.number:
        return _pairs([(name, parameter(trial.params[name])) for name in names], width)
    other = set(differing(snapshot, (trial, best)))

    def beside(name: str) -> str:
        """The value, and behind it the best trial's where that is another."""
        value = parameter(trial.params[name])
        if name not in other:
            return value
        return f"{value}  ★ {parameter(best.params[name]) if name in best.params else '–'}"

    parts = [_pairs([(name, beside(name)) for name in names], width)]
    gap = _gap(trial, best, snapshot)
    return Content("\n").join([*parts, Content.styled(gap, "$quiet")]) if gap else parts[0]


def _gap(trial: Trial, best: Trial, snapshot: Snapshot) -> str:
    """How far the trial is from the best."""
    if trial.value is None or best.value is None:
        return ""
    away = abs(trial.value - best.value)
    worse = snapshot.rank(trial) > snapshot.rank(best)
    return f"★{best.number} is the best: {number(away)} {'better' if worse else 'worse'}"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= max(20, room) else text[: max(20, room) - 1] + "…"


def _curve(title: str, curve: Sequence[tuple[int, float]], width: int, rows: int) -> Content | None:
    finite = [loss for _, loss in curve if abs(loss) < float("inf")]
    if len(finite) < 2:
        return None
    lines = braille_curve(curve, max(1, width - 9), rows)
    margin = [number(max(finite), 3), *[""] * (rows - 2), number(min(finite), 3)]
    drawn = [
        Content.assemble((f"{label:>8} ", "$quiet"), (line, "$primary"))
        for label, line in zip(margin, lines, strict=True)
    ]
    first, last = str(curve[0][0]), str(curve[-1][0])
    steps = first + last.rjust(max(len(last) + 1, width - 9 - len(first)))
    drawn.append(Content.styled(" " * 9 + steps, "$quiet"))
    return _section(title, Content("\n").join(drawn))


def _running(snapshot: Snapshot, now: float, gpu_mebibytes: Mapping[int, int]) -> Content | None:
    """A line for each trial that runs: where, since when, its loss, and its memory where it runs on this machine."""
    here = snapshot.host == platform.node()
    lines: list[Content] = []
    for trial in sorted(
        (t for t in snapshot.trials.values() if t.running), key=lambda t: (t.device, t.number)
    ):
        memory = resident_bytes(trial.pid, trial.process_started) if here and trial.pid else None
        words = [f"#{trial.number}", trial.device, duration(trial.seconds(now)), number(trial.value)]
        words += [f"{memory / 2**20:,.0f} MiB"] if memory else []
        on_gpu = (
            gpu_mebibytes.get(trial.pid) if here and trial.pid else None
        )  # a trial leads its process group
        words += [f"{on_gpu:,} MiB on the GPU"] if on_gpu else []
        lines.append(Content.styled("  ".join(printable(word) for word in words), ""))
    return Content("\n").join(lines[:_SLOTS]) if lines else None


def _failures(snapshot: Snapshot, width: int) -> Content | None:
    lines = []
    for group in failure_groups(snapshot):
        ends = [
            (f"{OUTCOME_SIGNS[outcome].glyph} {amount:<4}", f"${OUTCOME_TONES[outcome]}")
            for outcome, amount in group.tally.items()
        ]
        lines.append(Content.assemble(*ends, (f" {group.name}", "")))
        for kind in group.kinds[:_KINDS]:
            first, last = kind.trials[0].number, kind.trials[-1].number
            which = f"#{first}" if first == last else f"#{first}…#{last}"
            where = ", ".join(kind.devices[:3])
            said = printable(kind.message) or "nothing was said"
            lines.append(
                Content.styled(f"  {len(kind.trials):>3}x {which}  {where}  {said}"[:width], "$quiet")
            )
        if len(group.kinds) > _KINDS:
            lines.append(Content.styled(f"       and {len(group.kinds) - _KINDS} more kinds", "$quiet"))
    return Content("\n").join(lines) if lines else None


def _section(title: str, body: Content) -> Content:
    return Content("\n").join([Content.styled(title, "$secondary"), body])


def _pairs(pairs: Sequence[tuple[str, str]], width: int, columns: int = 2) -> Content:
    """name value, in two columns where both fit."""
    rows = -(-len(pairs) // columns)
    blocks = [pairs[start : start + rows] for start in range(0, len(pairs), max(1, rows))]
    sizes = [(max(len(n) for n, _ in block), max(len(v) for _, v in block)) for block in blocks]
    if columns > 1 and sum(name + value + 1 for name, value in sizes) + 3 * (columns - 1) > width:
        return _pairs(pairs, width, 1)
    lines = []
    for row in range(rows):
        line, start = Content(""), 0
        for block, (name_width, value_width) in zip(blocks, sizes, strict=True):
            if row < len(block):
                name, value = block[row]
                line = line.pad_right(max(0, start - line.cell_length))
                line = Content.assemble(line, (f"{name:<{name_width}} ", "$quiet"), (value, ""))
            start += name_width + value_width + 4
        lines.append(line)
    return Content("\n").join(lines)


def _verbatim(lines: Sequence[str], width: int) -> Content:
    return Content("\n").join([Content.styled(line, "$quiet") for line in lines])
