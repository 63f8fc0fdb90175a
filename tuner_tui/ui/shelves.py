"""The position of each panel in the grid: groups in the order of the search file, packed into rows.

A group that would waste most of a row shares it with its neighbours, so that thirteen panels in six groups
still fit one screen. Pure arithmetic: no characters, no widgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MIN_HEIGHT = 8  # rows of a panel: title, axis and five rows of points; below that a plot says nothing
LEAST_HEIGHT = 6  # in a terminal of a dozen rows: one panel that still has axes
GOOD_HEIGHT = 10  # seven rows of points: enough to see a trend
MIN_WIDTH = 28  # cells of a panel: numbers at the axis and twenty columns of points
LEAST_WIDTH = 19  # where only this puts all panels on view: numbers at the axis and a dozen columns
MAX_HEIGHT = 30  # a taller panel spreads the same points thinner, though thousands of them fill even this


@dataclass(frozen=True)
class Place:
    """The column of one panel."""

    panel: int  # index into the scatters
    column: int


@dataclass(frozen=True)
class Heading:
    """The name of a group above its panels."""

    text: str
    column: int
    columns: int  # how many it spans


@dataclass(frozen=True)
class Shelf:
    """One row of panels with its headings."""

    headings: tuple[Heading, ...]
    places: tuple[Place, ...]


def shelves(groups: Sequence[str], columns: int) -> tuple[Shelf, ...]:
    """Shelves for panels whose groups are `groups`, in order. Ungrouped panels get no heading.

    Groups stay whole, two short ones side by side, as long as that takes no more shelves than breaking them.
    """
    whole = _fill(groups, columns, keep_whole=True)
    flowing = _fill(groups, columns, keep_whole=False)
    return whole if len(whole) <= len(flowing) else flowing


def _fill(groups: Sequence[str], columns: int, *, keep_whole: bool) -> tuple[Shelf, ...]:
    done: list[Shelf] = []
    headings: list[Heading] = []
    places: list[Place] = []

    def finish() -> None:
        if places:
            done.append(Shelf(tuple(headings), tuple(places)))
            headings.clear()
            places.clear()

    for name, first, size in _runs(groups):
        if keep_whole and size > columns - len(places):
            finish()
        while size:
            take = min(size, columns - len(places))
            if name:
                headings.append(Heading(name, len(places), take))
            for _ in range(take):
                places.append(Place(first, len(places)))
                first += 1
            size -= take
            if len(places) == columns:
                finish()
    finish()
    return tuple(done)


def arrangement(
    groups: Sequence[str], width: int, height: int, usual_columns: int
) -> tuple[int, tuple[Shelf, ...]]:
    """Number of columns, and the shelves: smaller panels than usual where that puts all of them on view.

    Panels first become narrower, then lose the headings of their groups, then become as low as axes allow. What
    does not fit even so has panels of usual size, and the grid scrolls.
    """
    usual_columns = max(1, min(usual_columns, len(groups)))
    while usual_columns > 1 and _too_tall(groups, usual_columns, height):
        usual_columns -= 1  # wider panels on more shelves: a tall terminal is used to its end
    bare = [""] * len(groups)
    for names, narrowest, enough in (
        (groups, MIN_WIDTH, GOOD_HEIGHT),
        (groups, MIN_WIDTH, MIN_HEIGHT),
        (bare, MIN_WIDTH, MIN_HEIGHT),
        (bare, LEAST_WIDTH, MIN_HEIGHT),
        (bare, LEAST_WIDTH, LEAST_HEIGHT),
    ):
        most = max(usual_columns, min(len(groups), width // narrowest))
        for columns in range(usual_columns, most + 1):
            arranged = shelves(names, columns)
            if len(arranged) * (enough + _heading_rows(arranged)) <= height:
                return columns, arranged
    return usual_columns, shelves(groups, usual_columns)


def _too_tall(groups: Sequence[str], columns: int, height: int) -> bool:
    """Whether so many columns leave height unused that one fewer would use, with panels of a good height."""
    now, fewer = shelves(groups, columns), shelves(groups, columns - 1)
    unused = height // len(now) > MAX_HEIGHT + _heading_rows(now)
    return unused and height // len(fewer) >= GOOD_HEIGHT + _heading_rows(fewer)


def _heading_rows(shelves: Sequence[Shelf]) -> int:
    return 1 if any(shelf.headings for shelf in shelves) else 0


def _runs(groups: Sequence[str]) -> list[tuple[str, int, int]]:
    """(group, index of its first panel, number of panels) for each run of equal names."""
    runs: list[tuple[str, int, int]] = []
    for i, name in enumerate(groups):
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1], runs[-1][2] + 1)
        else:
            runs.append((name, i, 1))
    return runs


def shelf_heights(shelves: Sequence[Shelf], height: int) -> tuple[int, ...]:
    """Rows of each shelf, heading included: all fit `height` when they can, else a whole number of them does."""
    if not shelves:
        return ()
    heading = _heading_rows(shelves)
    least = max(LEAST_HEIGHT, min(MIN_HEIGHT, height - heading)) + heading
    all_fit = len(shelves) * (LEAST_HEIGHT + heading) <= height
    visible = len(shelves) if all_fit else max(1, min(len(shelves), height // least))
    each, spare = divmod(height if all_fit else max(height, least), visible)
    if each >= MAX_HEIGHT + heading:
        return (MAX_HEIGHT + heading,) * len(shelves)
    return tuple(each + (i % visible < spare) for i in range(len(shelves)))
