"""Where studies are: each module here reads one kind of place and is named after the scheme of its addresses.

`tuner open optuna:sqlite:///trials.db` is read by `optuna.py`. To add a source: one file with a subclass of
`Source` and a function `studies(place, wanted)` that gives the studies found there, the newest first. It raises
SourceError when the place can't be read, and for options in `wanted` that it has no use for. A text without a scheme
is the name of a study of our own.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from ..search.search import Search
from .source import Source, SourceError, Wanted

_NOT_SCHEMES = ("source", "background", "mlflow_store")  # what the sources share


def schemes() -> tuple[str, ...]:
    """`journal`, `optuna`, ...: what an address can begin with."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_SCHEMES))


def is_address(text: str) -> bool:
    """Whether a text says where studies are, as `optuna:sqlite:///trials.db` does, and is not a study's name."""
    scheme, colon, _ = text.partition(":")
    return bool(colon) and scheme in schemes()


def studies_at(text: str, root: Path, wanted: Wanted = Wanted()) -> Sequence[Source]:
    """The studies at an address, or, for a text without a scheme, those under `root`; the newest first.

    Raises SourceError when they can't be read.
    """
    scheme, place = text.split(":", 1) if is_address(text) else ("journal", str(root))
    return import_module(f".{scheme}", __name__).studies(place, replace(wanted, root=root))


def find_source(
    root: Path, study: str | None, inside: str | None = None, wanted: Wanted = Wanted()
) -> Source:
    """One study: by address, and by name where the address has several; else by its name under `root`.

    A name may be the beginning of one; no name means the newest. Raises SourceError when there is none.
    """
    if study is not None and is_address(study):
        return pick(studies_at(study, root, wanted), inside, study)
    if inside is not None:
        known = ", ".join(f"{scheme}:" for scheme in schemes())
        raise SourceError(
            f"{study}: only an address has studies inside, and this begins with none of {known}; "
            f"leave {inside!r} out"
        )
    return pick(studies_at("", root, wanted), study, str(root))


def find_past(root: Path, text: str, search: Search, tracking_uri: str | None = None) -> Source:
    """One study by one text: its name under `root`, or its address with its name behind a space or a slash.

    `optuna:sqlite:///trials.db digits`, as tuner shows it, `optuna:sqlite:///trials.db/digits`, or without a name for
    the newest. `search`: of a study that is compared with it, or begins with it; an MLflow experiment does not say
    itself what its objective is. Raises SourceError when there is none.
    """
    if not is_address(text):
        return find_source(root, text)
    wanted = Wanted()
    if text.startswith("mlflow:"):
        wanted = Wanted(search.objective, search.direction, tracking_uri=tracking_uri)
    place, space, name = text.partition(" ")
    if space:
        return find_source(root, place, name.strip(), wanted)
    try:
        return find_source(root, text, None, wanted)
    except SourceError as error:
        place, slash, name = text.rpartition("/")
        try:
            if slash and name:
                return find_source(root, place, name, wanted)
        except SourceError as other:
            if "no study in" in str(other) or "more than one study" in str(other):
                raise other from None
        raise error


def pick(found: Sequence[Source], name: str | None, where: str) -> Source:
    """The study called `name`, or the only one that begins so, or the newest. Raises SourceError."""
    if not found:
        raise SourceError(f"no studies in {where}; `tuner sweep` starts one")
    if name is None:
        return found[0]
    exact = [source for source in found if source.name == name]
    begins = exact or [source for source in found if source.name.startswith(name)]
    if len(begins) == 1:
        return begins[0]
    names = ", ".join(source.name for source in (begins or found)[:8])
    raise SourceError(
        f"{name!r} is {'more than one study' if begins else 'no study'} in {where}; there is {names}"
    )
