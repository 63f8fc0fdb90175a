"""The referee's cards in words: verdict, question, what was counted, what to do next.

    FIX   best trials at a border: 7 of the best 9 trials have lr > 0.035, as 9 of all 90 finished do (p < 0.001 ...)
          next: widen lr above 0.1
    PASS  saturated early: 0 of the best 10 trials gained less than 1 % after ...; 9 would tell

The evidence of a card that is not at PASS is named with the panel, the finding or the trials that show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from ..analysis.ahead import Ahead
from ..analysis.crowding import Crowd
from ..analysis.draws import Obstacle
from ..analysis.late_training import BEST, FEWEST, MARGIN, READINGS, Sign
from ..analysis.referee import Card, Check, Failures, Referee, Verdict, referee
from ..study.snapshot import Snapshot
from ..study.training import twins
from .crash_bias import sentence as bias_sentence
from .draw import Line, Run
from .signs import BEST as GOOD
from .signs import LINES, RUNNING, UNFINISHED
from .words import number, one_line, p_value, plural, trial_list

TITLES = {
    Check.BORDER: "best trials at a border",
    Check.POINTS: "too few good points",
    Check.FAILURES: "trials that fail",
    Check.OVERFITTING: "overfitting late",
    Check.NOISE: "noise of the best",
    Check.IMPROVING: "still improving at the end",
    Check.SATURATED: "saturated early",
    Check.RISING: "training loss rising",
}
STYLES = {
    Verdict.PASS: GOOD.style, Verdict.LOOK: f"bold {UNFINISHED.style}", Verdict.FIX: LINES[-1].style,
    Verdict.OPEN: RUNNING.style,
}  # fmt: skip
PARTS = {1: "first", 2: "second", 3: "third", 4: "fourth"}
OPEN_WHY = {
    Obstacle.FILTERED: "not asked of a part: a filter chooses trials",
    Obstacle.CHANGED: "can't be said: the space was changed",
    Obstacle.LEARNS: "can't be said: this sampler learns from earlier trials, so they are no independent draws",
    Obstacle.SPREAD: "can't be said: this sampler spreads trials evenly, so they are no independent draws",
    Obstacle.UNKNOWN: "can't be said: nothing says how these trials were drawn",
    Obstacle.TOO_FEW: "too few trials to say",
}
INDENT = 6  # cells: a verdict and the space behind it

Found = tuple[Referee, str]  # with the name of the training measurement, "" where there is none


def find(snapshot: Snapshot) -> Found | None:
    """None before a second trial has ended, and for a rate finder."""
    found = referee(snapshot)
    if found is None:
        return None
    names = twins(snapshot.objective)
    trained = (name for name in names if any(name in trial.latest for trial in found.best))
    return found, next(trained, "")


def lines(found: Found, width: int, color: bool) -> tuple[Line, ...]:
    """Each card on as many lines as it needs: those to fix first, then those to look at."""
    out: list[Line] = []
    for verdict, texts in _told(found):
        broken = [part for text in texts for part in wrap(text, max(width - INDENT, 1))]
        marks = [Run(f"{verdict:<{INDENT}}"[: max(width - 1, 0)], STYLES[verdict] if color else "")]
        marks += [Run(" " * len(marks[0].text), "")] * (len(broken) - 1)
        out += [(mark, Run(part, "")) for mark, part in zip(marks, broken, strict=True)]
    return (*out, *((Run(part, ""),) for text in _looked_at(found) for part in wrap(text, max(width, 1))))


def sentences(found: Found) -> tuple[str, ...]:
    """The cards, one sentence each, for readers that don't draw."""
    return *(f"{verdict} {'. '.join(texts)}" for verdict, texts in _told(found)), *_looked_at(found)


def _told(found: Found) -> list[tuple[Verdict, tuple[str, ...]]]:
    """Verdict, what was counted and what to do next, of each card; cards that say the same are told together."""
    titles: dict[tuple[Verdict, str, tuple[str, ...]], list[str]] = {}
    for card in ordered(found[0].cards):
        titles.setdefault((card.verdict, said(found, card), next_steps(found, card)), []).append(
            TITLES[card.check]
        )
    return [
        (verdict, (f"{', '.join(of)}: {what}", *(f"next: {step}" for step in steps)))
        for (verdict, what, steps), of in titles.items()
    ]


def _looked_at(found: Found) -> tuple[str, ...]:
    if not any(isinstance(card.evidence, Sign) for card in found[0].cards):
        return ()
    return (f"the best trials, whose learning curves were looked at: {trial_list(found[0].best)}",)


def ordered(cards: Sequence[Card]) -> list[Card]:
    """The worst first; among equals in the order of the questions."""
    worst = (Verdict.FIX, Verdict.LOOK, Verdict.PASS, Verdict.OPEN)
    return sorted(cards, key=lambda card: worst.index(card.verdict))


def said(found: Found, card: Card) -> str:
    """What was counted."""
    match card.evidence:
        case Obstacle():
            return OPEN_WHY[card.evidence]
        case Ahead():
            return _ahead(card.evidence)
        case Failures():
            return _failures(card.evidence)
        case Sign():
            return _sign(found, card.check, card.evidence)
        case tuple():
            return _border(card)
        case None:
            return _too_few(found, card.check)


def next_steps(found: Found, card: Card) -> tuple[str, ...]:
    """What to do about it; () at PASS."""
    if card.verdict in (Verdict.PASS, Verdict.OPEN):
        return ()
    match card.evidence:
        case Ahead():
            trials = trial_list(card.evidence.trials)
            return (
                f"run trial{'s' * (len(card.evidence.trials) > 1)} {trials} again with other seeds, and search near",
            )
        case Failures(edges=edges) if edges:
            return tuple(
                f"find out why trials fail {_beyond(c)}; the best may lie there, once training is stable"
                for c in edges
            )
        case Failures():
            return ("read why they failed (finding Crash bias, and the table by reason)",)
        case tuple():
            return tuple(
                f"widen {one_line(c.name)} {'above' if c.upper else 'below'} {_exact(c.end)}"
                for c in card.evidence
            )
    return (_NEXT[card.check],)


_NEXT = {
    Check.OVERFITTING: "regularise more, stop early, or take the best reading instead of the last",
    Check.NOISE: (
        "average the last readings, validate on more data, or lower the rate at the end; their order may be luck"
    ),
    Check.IMPROVING: "train longer, or raise the rate, before these trials are compared",
    Check.SATURATED: "train shorter, and spend the time on more trials",
    Check.RISING: "look for a fault in the training: its own loss should not rise",
}


def _border(card: Card) -> str:
    crowds = (
        [crowd for crowd in card.evidence if isinstance(crowd, Crowd)]
        if isinstance(card.evidence, tuple)
        else []
    )
    if card.verdict is Verdict.PASS:
        return f"no sign of it at {plural(len(crowds), 'end')} of ranges, as many as could show it"
    return "; ".join(
        f"{c.inside} of the best {c.best} trials have {one_line(c.name)} {_from(c)}, as {c.strip} of all "
        f"{c.finished} finished do ({p_value(c.corrected)} after correction)"
        for c in crowds
    )


def _from(crowd: Crowd) -> str:
    return f"{'>' if crowd.upper else '<'} {_exact(crowd.edge)}"


def _beyond(crowd: Crowd) -> str:
    return f"with {one_line(crowd.name)} {'>' if crowd.upper else '<'} {_exact(crowd.end)}"


def _ahead(found: Ahead) -> str:
    if not found.told:
        return f"no gap behind the best of {found.finished} finished trials is larger than chance makes"
    count = len(found.trials)
    are = "is" if count == 1 else "are"
    return (
        f"only {plural(count, 'trial')} of {found.finished} {are} ahead, up to {number(found.trials[-1].value)}; the "
        f"next has {number(found.follower.value)} ({p_value(found.chance)} for such a gap)"
    )


def _failures(found: Failures) -> str:
    share = f"{found.failed} of {plural(found.trials, 'trial')} did not finish"
    if not found.failed:
        return f"all {plural(found.trials, 'trial')} finished"
    parts = [share + (", more than a third of all draws" if found.many else "")]
    parts += [bias_sentence(bias, kind.outcome) for kind, bias in found.biased]
    parts += [
        f"{c.inside} of the best {c.best} lie next to a region where trials fail: no trial {_beyond(c)} finished"
        for c in found.edges
    ]
    if len(parts) == 1 and not found.many:
        parts.append(
            "no sign that they crowd anywhere" if found.testable else "too few to say whether they crowd"
        )
    return "; ".join(parts)


def _sign(found: Found, check: Check, sign: Sign) -> str:
    margin = f"{100 * MARGIN:g} %{' of the distance between quartiles' if found[0].of_spread else ''}"
    who = f"{sign.trials} of the best {sign.of} trials"
    match check:
        case Check.OVERFITTING:
            what = f"end more than {margin} worse than in the {PARTS[sign.part]} fifth of their training"
        case Check.NOISE:
            what = (
                f"change late by more than {margin} from reading to reading, and by more than they lie apart"
            )
        case Check.IMPROVING:
            who = f"{sign.trials} of the {sign.of} trials that are best in the last two fifths of their training"
            what = f"gained more than {margin} in the last one"
        case Check.SATURATED:
            what = f"gained less than {margin} after the second fifth of their training"
        case _:
            name = one_line(found[1]) or "the training loss"
            what = f"end with {name} more than {margin} worse than in the {PARTS[sign.part]} fifth of their training"
    if sign.needed > sign.of:
        return f"too few trials to say: {who} {what}"
    tells = "" if sign.told else f"; {sign.needed} would tell"
    return f"{who} {what}{tells}"


def _too_few(found: Found, check: Check) -> str:
    if check is Check.RISING and not found[1]:
        return "no measurement says what the training loss was"
    if check in (Check.BORDER, Check.POINTS, Check.FAILURES):
        return "too few trials to say"
    return (
        f"too few learning curves to say: it takes {READINGS} readings of {FEWEST} of the best trials, "
        f"which are {BEST} or a quarter"
    )


def _exact(value: float) -> str:
    """All of its digits: with fewer the counts might not hold."""
    return repr(value).removesuffix(".0").replace("e-0", "e-").replace("e+", "e")
