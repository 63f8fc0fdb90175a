"""Snapshots of any study for property tests: odd losses, odd parameters, every way to end."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from support import studies
from tuner_tui.study.outcomes import Reason

any_loss = st.one_of(
    st.floats(), st.sampled_from([0.0, -0.0, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf])
)
any_params = st.fixed_dictionaries(
    {},
    optional={
        "lr": st.one_of(st.floats(), st.just("0.1"), st.integers(-5, 10**400)),
        "momentum": st.floats(0, 0.99),
        "width": st.one_of(st.integers(), st.none(), st.booleans()),
        "activation": st.one_of(
            st.sampled_from(["relu", "gelu", "tanh", "new"]), st.lists(st.integers(), max_size=2)
        ),
        "gone": st.integers(),
    },
)
made_trials = st.lists(
    st.builds(
        studies.Made,
        params=any_params,
        losses=st.lists(any_loss, max_size=3),
        reason=st.sampled_from([None, Reason.EXCEPTION, Reason.TIMEOUT]),
        running=st.booleans(),
    ),
    max_size=12,
)
snapshots = made_trials.map(lambda made: studies.study_of(studies.SMALL_SPACE, made))
