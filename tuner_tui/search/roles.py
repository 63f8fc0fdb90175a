"""`role` of a hyperparameter in a search file: what is asked of it, in the words of the Tuning Playbook.

kind = { choices = ["attention", "conv"], role = "scientific" }    its effect is the question
lr   = { log = [1e-5, 1e-1], role = "nuisance" }                   tuned for each kind, for a fair comparison
drop = { float = [0, 0.5], role = "fixed", value = 0.1 }           one value now, the range kept for another search
"""

from __future__ import annotations

from typing import Any

from .conditions import same
from .distributions import is_number, is_scalar
from .problems import Findings, Keys, nearest, show
from .space import FIXED, ROLES, Choice, Distribution, Int


def read_role(table: dict[str, Any], distribution: Distribution, keys: Keys, findings: Findings) -> str:
    """The role, "" where none is given, after adding what is wrong with it or its value."""
    role = table.get("role", "")
    if role not in ("", *ROLES) or ("role" in table and not role):
        hint = nearest(role, ROLES) if isinstance(role, str) else ""
        findings.add((*keys, "role"), f"unknown role {show(role)}; choose {', '.join(ROLES)}{hint}")
        return ""
    if role != FIXED:
        if "value" in table:
            findings.add((*keys, "value"), f'goes with role = "{FIXED}" only; add it, or remove the value')
        return role
    if "value" not in table:
        findings.add(keys, f'role = "{FIXED}" needs its value: value = ..., or remove the role')
    elif "when" in table:
        findings.add((*keys, "when"), "a fixed value has no condition; remove one of the two")
    elif wrong := _wrong(table["value"], distribution):
        findings.add((*keys, "value"), f"{show(table['value'])} {wrong}")
    return role


def _wrong(value: Any, distribution: Distribution) -> str:
    """Why a value is none of the distribution's; "" where it is one."""
    if isinstance(distribution, Choice):
        if any(same(value, option) for option in distribution.options):
            return ""
        return f"is none of its choices {show(list(distribution.options))}"
    low, high = distribution.low, distribution.high
    if not is_scalar(value) or not is_number(value) or not low <= value <= high:
        return f"lies outside of its range {low} to {high}"
    if isinstance(distribution, Int) and not isinstance(value, int):
        return "is no whole number"
    return ""
