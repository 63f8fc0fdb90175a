"""What the analysis of failed trials found, in sentences a tired person can check against the scatterplot.

    never started: 9 of 12 trials have convnet.depth > 140; 31 % of all trials do (p = 0.002 after correction)
    no sign of bias: the 12 trials that never started are spread over width like the rest; 11 of them in one half
    would have shown
    too few to say: 2 trials never started

Text only: names and options are written as they are, and whoever prints them makes them safe for a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..analysis.crash_bias import Bias, CrashBias, FailureBias, Region, Side, Verdict
from ..study.outcomes import OUTCOME_WORDS, Outcome

MARKS = {Side.ABOVE: "▸", Side.BELOW: "◂", Side.IS: "!"}
DID = {Outcome.NO_START: "never started", Outcome.UNFINISHED: "ended unfinished"}


def _number(value: float) -> str:
    return f"{value:.4g}"


def sentences(found: CrashBias, number: Callable[[float], str] = _number) -> list[str]:
    """The whole finding: for each kind of failure that occurred every bias, or one sentence that there is none."""
    return [line for kind in found.kinds for line in _kind(kind, number)]


def _kind(kind: FailureBias, number: Callable[[float], str]) -> list[str]:
    if not kind.failed:
        return []
    if kind.biased:
        return [sentence(bias, kind.outcome, number) for bias in kind.biased]
    who = _who(kind.failed, kind.outcome)
    if kind.failed == kind.trials:
        the = f"the {_trials(kind.failed)} that {DID[kind.outcome]}"
        return [f"too few to say: no trial is left to compare {the} with"]
    if kind.verdict is Verdict.TOO_FEW:
        return [f"too few to say: {who}"]
    even = sum(bias.verdict is Verdict.EVEN for bias in kind.hyperparameters)
    rest = len(kind.hyperparameters) - even
    too_few = f"; too few to say of {rest} more" if rest else ""
    return [
        f"no sign of bias: {_the(kind.failed, kind.outcome)} like the rest over {even} hyperparameters{too_few}"
    ]


def sentence(bias: Bias, outcome: Outcome, number: Callable[[float], str] = _number) -> str:
    """What is known of one hyperparameter and one kind of failure."""
    who = _who(bias.failed, outcome)
    match bias.verdict:
        case Verdict.BIASED if bias.region is not None:
            region = bias.region
            return (
                f"{OUTCOME_WORDS[outcome]}: {region.failed} of {_trials(bias.failed)} "
                f"{'has' if bias.failed == 1 else 'have'} {bias.name} {condition(region)}; "
                f"{_percent(region.trials, bias.trials)} of all trials do "
                f"({_p(bias.corrected, number)} after correction)"
            )
        case Verdict.EVEN:
            shown = f"; {bias.noticeable} of them {_half(bias)} would have shown" if bias.noticeable else ""
            return f"no sign of bias: {_the(bias.failed, outcome)} over {bias.name} like the rest{shown}"
        case _ if bias.failed and bias.failed == bias.trials:
            return f"too few to say: all trials with {bias.name} {DID[outcome]}"
        case _:
            return f"too few to say: {who}"


def condition(region: Region) -> str:
    """`> 140`, `< 0.001`, `= conv`. A threshold keeps all its digits: with fewer the counts might not hold."""
    match region.side:
        case Side.ABOVE:
            return f"> {_threshold(region.value)}"
        case Side.BELOW:
            return f"< {_threshold(region.value)}"
        case Side.IS:
            return f"= {_option(region.value)}"


def mark(bias: Bias | None) -> str:
    """For a panel's title, only where there is a bias: on which side the failures crowd, "!" for an option."""
    if bias is None or bias.verdict is not Verdict.BIASED or bias.region is None:
        return ""
    return MARKS[bias.region.side]


def _who(failed: int, outcome: Outcome) -> str:
    return f"{_trials(failed)} {DID[outcome]}"


def _the(failed: int, outcome: Outcome) -> str:
    return f"the {_trials(failed)} that {DID[outcome]} {'is' if failed == 1 else 'are'} spread"


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count} trials"


def _half(bias: Bias) -> str:
    return "on one option" if bias.region is not None and bias.region.side is Side.IS else "in one half"


def _percent(part: int, whole: int) -> str:
    """Whole percents, but neither 0 % nor 100 % of what is not none or all."""
    if part in (0, whole):
        return "100 %" if part else "0 %"
    return f"{min(99, max(1, round(100 * part / whole)))} %"


def _p(p: float, number: Callable[[float], str]) -> str:
    """To one digit, and no smaller than anyone needs."""
    return "p < 0.001" if p < 0.001 else f"p = {number(float(f'{p:.1g}'))}"


def _threshold(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    text = repr(value)
    return text.removesuffix(".0").replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def _option(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)
