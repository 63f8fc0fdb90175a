"""The next search in words: what becomes of each hyperparameter and why, as comments of the file and as a difference.

lr      { log = [1e-5, 0.1] } -> { log = [0.0002, 0.009] }
        explains 61 % of the loss; the best 10 have 0.00031 to 0.0071, widened by their mean gap
kind    ["a", "b"] -> "a", fixed
        explains at most 7 % of the loss by itself (with 95 % confidence); the best trial has this value
"""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap

from ..analysis.narrowing import Fixed
from ..analysis.next_search import Crash, Proposal, Step, Why
from ..search.space import Choice
from ..search.write import spell, spell_distribution, spell_hyperparameter, to_toml
from ..study.snapshot import Snapshot
from .crash_bias import sentence as bias_sentence
from .importance import WHY
from .words import number, one_line, parameter, plural

WIDTH = 110  # of a comment


def heading(found: Proposal, study: str, objective: str) -> tuple[str, ...]:
    """Which trials the search rests on, and what could not be asked."""
    said = [
        f"After {one_line(study)}: {plural(found.trials, 'trial')}, {found.finished} finished.",
        f"The best {found.best} of these have {one_line(objective)} = {number(found.worst)} or better.",
        "Another seed, so that the draws are new ones.",
    ]
    return tuple(said if found.obstacle is None else [*said, f"Nothing is fixed: {WHY[found.obstacle]}."])


def reasons(step: Step) -> tuple[str, ...]:
    """Why a hyperparameter is what it is now, and which of its values need a second look."""
    said = [_why(step), *(_crash(crash, step) for crash in step.crashes)]
    if step.border is not None:
        end = "above" if step.border.upper else "below"
        said.append(f"the best trials crowd at its end: better ones may lie {end} {number(step.border.end)}")
    return tuple(said)


def written(found: Proposal, snapshot: Snapshot) -> str:
    """The search file, with the reasons as comments."""
    top = heading(found, snapshot.study, snapshot.objective)
    return to_toml(found.search, comments=comments(found), top=_wrapped(top))


def comments(found: Proposal) -> Mapping[str, tuple[str, ...]]:
    """Name of a hyperparameter -> the lines of its comment."""
    out: dict[str, tuple[str, ...]] = {}
    for step in found.steps:
        was = (f"was {spell_hyperparameter(step.hyperparameter)}",) if step.changed else ()
        out[step.hyperparameter.name] = _wrapped((*was, *reasons(step)))
    return out


def difference(found: Proposal, width: int) -> tuple[str, ...]:
    """Each hyperparameter as it was and as it is now, with the reasons under it."""
    names = {step.hyperparameter.name: one_line(step.hyperparameter.name) for step in found.steps}
    indent = max(map(len, names.values())) + 2
    lines: list[str] = []
    for step in found.steps:
        h = step.hyperparameter
        was, now = one_line(spell_distribution(h.distribution), 500), one_line(_now(step), 500)
        told = f"{was} -> {now}" if step.changed else f"{was}, as it was"
        for i, text in enumerate((told, *reasons(step))):
            first = f"{names[h.name]:<{indent}}" if not i else " " * indent
            lines += wrap(text, max(width, indent + 30), initial_indent=first, subsequent_indent=" " * indent)
    return tuple(lines)


def _now(step: Step) -> str:
    match step.now:
        case None:
            return "left out"
        case Fixed(value):
            return f"{spell(value)}, fixed"
        case now:
            return spell_distribution(now)


def _why(step: Step) -> str:
    share = step.share
    match step.why:
        case Why.EFFECT | Why.BEST:
            told = f"explains {_percent(share.share)} of the loss; " if share is not None else ""
            return told + _best(step)
        case Why.NEGLIGIBLE:
            return f"{_at_most(step)}; the best trial has this value"
        case Why.UNCLEAR:
            most = _percent(share.at_most) if share is not None else ""
            return f"can't be told from chance, but may explain up to {most} of the loss: not fixed"
        case Why.CONDITIONAL:
            return f"{_at_most(step)}; not fixed because only some trials have it"
        case Why.NEEDED:
            return f"{_at_most(step)}; not fixed because others depend on its value"
        case Why.SCIENTIFIC:
            return "its effect is the question of this search: not touched"
        case Why.GONE:
            return "no value is left that lets it apply"
        case Why.FEW:
            return "too few trials have it, or it had one value: nothing can be said"


def _best(step: Step) -> str:
    old = step.hyperparameter.distribution
    if isinstance(old, Choice):
        if not step.changed:
            return "no option can be dropped"
        return "none of the best trials has what is left out"
    span = f"the best trials have {parameter(step.low)} to {parameter(step.high)}"
    return f"{span}, widened by their mean gap" if step.changed else f"{span}, which is nearly all of it"


def _at_most(step: Step) -> str:
    most = _percent(step.share.at_most) if step.share is not None else ""
    return f"explains at most {most} of the loss by itself (with 95 % confidence)"


def _crash(crash: Crash, step: Step) -> str:
    region = crash.bias.region
    if step.now is None or region is None:
        return bias_sentence(crash.bias, crash.outcome)
    best = f"{crash.best_inside} of the best {plural(crash.best, 'trial')} lie there"
    if isinstance(step.now, Fixed):
        state = (
            "this value lies in a crash region" if crash.left else "this value lies outside of a crash region"
        )
    else:
        state = "this crash region is kept" if crash.left else "without this crash region"
    return f"{state}: {bias_sentence(crash.bias, crash.outcome)}; {best}"


def _percent(share: float) -> str:
    return f"{max(1, round(100 * share))} %"


def _wrapped(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line for text in texts for line in wrap(text, WIDTH))
