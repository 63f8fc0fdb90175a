"""What a refinement gained, in sentences.

trial 2 refines plain-1 trial 17: on seeds that were not learned on its loss is 0.1165 instead of 0.1596 (−27 ± 2 %)
its test loss is 0.1253 instead of 0.1651 (−24 ± 2 %)
"""

from __future__ import annotations

from ..analysis.refinement import Gain, Refinement
from .words import number


def sentences(found: Refinement) -> tuple[str, ...]:
    """The outer loss, and the test loss where there is one; ± is the standard error over the seeds."""
    said = f"trial {found.trial} refines {found.refines}: on seeds that were not learned on its loss is "
    return (
        said + _words(found.outer),
        *([f"its test loss is {_words(found.test)}"] if found.test else []),
    )


def _words(gain: Gain) -> str:
    change = f"{-100 * gain.drop:+.0f}".replace("-", "−")
    return f"{number(gain.after)} instead of {number(gain.before)} ({change} ± {100 * gain.error:.0f} %)"
