"""Crash bias in sentences that can be checked against the scatterplot.

    never started: 9 of 12 trials have convnet.depth > 140; 31 % of all trials do (p = 0.002 after correction)
    no sign of bias: the 12 trials that never started are spread over width like the rest; 11 of them in one half
    would have shown
    too few to say: 2 trials never started

Names and options come from files and journals; they are made safe for a terminal here.
"""

from __future__ import annotations

from ..analysis.crash_bias import Bias, CrashBias, FailureBias, Region, Side, Verdict, crash_bias
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot
from .words import OUTCOME_WORDS, one_line, p_value, parameter, plural

MARKS = {Side.ABOVE: "▸", Side.BELOW: "◂", Side.IS: "!"}
DID = {Outcome.NO_START: "never started", Outcome.UNFINISHED: "ended unfinished"}


def find(snapshot: Snapshot) -> CrashBias | None:
    """None where no trial has failed, or nothing was varied or drawn: there is no question then."""
    counts = snapshot.counts
    if not (counts.no_start or counts.unfinished) or not len(snapshot.space):
        return None
    if snapshot.search.again is not None:
        return None  # its trials were chosen
    found = crash_bias(snapshot)
    return found if any(kind.failed for kind in found.kinds) else None


def sentences(found: CrashBias) -> list[str]:
    """The whole finding: for each kind of failure that occurred every bias, or one sentence that there is none."""
    return [line for kind in found.kinds for line in _kind(kind)]


def _kind(kind: FailureBias) -> list[str]:
    if not kind.failed:
        return []
    if kind.biased:
        return [sentence(bias, kind.outcome) for bias in kind.biased]
    who = _who(kind.failed, kind.outcome)
    if kind.failed == kind.trials:
        the = f"the {plural(kind.failed, 'trial')} that {DID[kind.outcome]}"
        return [f"too few to say: no trial is left to compare {the} with"]
    if kind.verdict is Verdict.TOO_FEW:
        return [f"too few to say: {who}"]
    even = sum(bias.verdict is Verdict.EVEN for bias in kind.hyperparameters)
    rest = len(kind.hyperparameters) - even
    too_few = f"; too few to say of {rest} more" if rest else ""
    return [
        f"no sign of bias: {_the(kind.failed, kind.outcome)} like the rest over {even} hyperparameters{too_few}"
    ]


def sentence(bias: Bias, outcome: Outcome) -> str:
    """What is known of one hyperparameter and one kind of failure."""
    who = _who(bias.failed, outcome)
    match bias.verdict:
        case Verdict.BIASED if bias.region is not None:
            region = bias.region
            return (
                f"{OUTCOME_WORDS[outcome]}: {region.failed} of {plural(bias.failed, 'trial')} "
                f"{'has' if bias.failed == 1 else 'have'} {one_line(bias.name)} {condition(region)}; "
                f"{_percent(region.trials, bias.trials)} of all trials do "
                f"({p_value(bias.corrected)} after correction)"
            )
        case Verdict.EVEN:
            shown = f"; {bias.noticeable} of them {_half(bias)} would have shown" if bias.noticeable else ""
            return f"no sign of bias: {_the(bias.failed, outcome)} over {one_line(bias.name)} like the rest{shown}"
        case _ if bias.failed and bias.failed == bias.trials:
            return f"too few to say: all trials with {one_line(bias.name)} {DID[outcome]}"
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
            return f"= {parameter(region.value)}"


def mark(bias: Bias | None) -> str:
    """For a panel's title, only where there is a bias: on which side the failures crowd, "!" for an option."""
    if bias is None or bias.verdict is not Verdict.BIASED or bias.region is None:
        return ""
    return MARKS[bias.region.side]


def _who(failed: int, outcome: Outcome) -> str:
    return f"{plural(failed, 'trial')} {DID[outcome]}"


def _the(failed: int, outcome: Outcome) -> str:
    is_are = "is" if failed == 1 else "are"
    return f"the {plural(failed, 'trial')} that {DID[outcome]} {is_are} spread"


def _half(bias: Bias) -> str:
    return "on one option" if bias.region is not None and bias.region.side is Side.IS else "in one half"


def _percent(part: int, whole: int) -> str:
    """Whole percents, but neither 0 % nor 100 % of what is not none or all."""
    if part in (0, whole):
        return "100 %" if part else "0 %"
    return f"{min(99, max(1, round(100 * part / whole)))} %"


def _threshold(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    text = repr(value)
    return text.removesuffix(".0").replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
