"""The grid as a PNG or SVG file: the one door to matplotlib.

For a paper, a pull request, or the MLflow run of the study. It shows the same scatters as the terminal, with
the same signs, so the two can be laid beside each other.
"""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot
from . import signs
from .charts import Axis, Mark, Scatter
from .labels import FILLER, clean, shorten
from .legend import notes
from .page import groups
from .panels import panels
from .ticks import Tick
from .words import best_words, count_words, direction_words

COLUMNS = 5  # as in the picture this project began with
# In inches, from here to DPI.
PANEL = (2.7, 2.05)
INSET = (0.48, 0.26, 0.08, 0.27)  # of the axes in a panel: left for "1e-300", top, right, bottom
HEADING, HEAD, FOOT, EDGE = 0.3, 0.4, 0.62, 0.12
LEAST_WIDTH = 7.0  # for the legend
DPI = 110
LABEL_ROOM = 34  # letters under one panel at this size
TICKS = 6  # numbers under one panel
SPREAD = 0.25  # of the way to the next option: a crowd is spread out by so much on either side
GOLDEN = 0.618034  # multiples of it, modulo 1, spread evenly however many there are

FINISHED, UNFINISHED, LINE = "#1f6fd6", "#f08c00", "#e02020"
BEST, RUNNING, INK = "#0b9a55", "#7f93a8", "#404040"


def save_picture(snapshot: Snapshot, path: Path) -> None:
    """Write the grid to `path`. Raises ValueError unless it ends in .png or .svg."""
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise ValueError(f"{path.name}: a picture is saved as .png or .svg")
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = groups(panels(snapshot))
    columns = min(COLUMNS, max((len(members) for _, members in found), default=1))
    rows = sum(-(-len(members) // columns) for _, members in found)
    width = max(columns * PANEL[0] + EDGE, LEAST_WIDTH)
    height = HEAD + rows * PANEL[1] + HEADING * sum(bool(name) for name, _ in found) + FOOT
    # The same picture gives the same bytes: no date, no random ids.
    with (
        matplotlib.rc_context({"svg.hashsalt": "tuner", "svg.fonttype": "none", "font.size": 8}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="Glyph")  # a letter the font lacks is a box, not an error
        figure = Figure(figsize=(width, height), dpi=DPI)
        FigureCanvasAgg(figure)
        sheet = _Sheet(figure, width, height)
        sheet.text(EDGE, 0.22, _text(snapshot.study), fontsize=12, fontweight="bold")
        sheet.text(
            width - EDGE, 0.22, _text(f"{snapshot.objective}, {direction_words(snapshot)}"), ha="right"
        )
        top = HEAD
        for name, members in found:
            if name:
                sheet.text(EDGE, top + HEADING / 2, _text(name), fontsize=10, fontweight="bold")
                top += HEADING
            for place, scatter in enumerate(members):
                down, across = divmod(place, columns)
                _panel(sheet.panel(EDGE + across * PANEL[0], top + down * PANEL[1]), scatter)
            top += -(-len(members) // columns) * PANEL[1]
        _legend(sheet, snapshot, top)
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(path, format=kind, metadata=metadata)


class _Sheet:
    """The figure in inches from its upper left corner, as one lays out paper."""

    def __init__(self, figure: Any, width: float, height: float) -> None:
        self.figure, self.width, self.height = figure, width, height

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        style = {"va": "center", "color": INK} | style
        self.figure.text(x / self.width, 1 - y / self.height, words, **style)

    def panel(self, x: float, y: float) -> Any:
        left, up, right, down = INSET
        inner_width, inner_height = PANEL[0] - left - right, PANEL[1] - up - down
        bottom = self.height - y - up - inner_height
        return self.figure.add_axes(
            (
                (x + left) / self.width,
                bottom / self.height,
                inner_width / self.width,
                inner_height / self.height,
            )
        )


def _panel(ax: Any, scatter: Scatter) -> None:
    crowds = "".join(f"  {signs.OUTCOME_SIGNS[outcome].glyph}{where}" for outcome, where in scatter.crowds)
    ax.set_title(_text(scatter.name) + crowds, fontsize=9, color=INK)
    ax.set_xlim(scatter.x.low, scatter.x.high)
    ax.set_ylim(scatter.y.low, scatter.y.high)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#909090")
    ax.tick_params(color="#909090", labelcolor=INK)
    ax.grid(axis="y", color="#ececec", linewidth=0.6)
    ax.set_axisbelow(True)
    for set_ticks, ticks in ((ax.set_xticks, _ticks(scatter.x)), (ax.set_yticks, _ticks(scatter.y))):
        set_ticks([tick.position for tick in ticks], [_plain(tick.label) for tick in ticks])
    if scatter.absent and not crowds:  # beside the marks of a crowd there is no room
        ax.set_title(f"{scatter.absent} without", loc="right", fontsize=7, color="#909090")
    _lines(ax, scatter)
    _points(ax, scatter)


def _lines(ax: Any, scatter: Scatter) -> None:
    """A pale line for each trial that never started: where many stand, the red is deep."""
    stacks = Counter(mark.x for mark in scatter.marks if mark.y is None)
    alpha = min(0.5, max(0.06, 12.0 / (stacks.total() + 1)))  # a hundred of them still let the paper through
    # One line for a whole stack, as deep as its lines on top of each other would be.
    colors = [(*_rgb(LINE), 1 - (1 - alpha) ** count) for count in stacks.values()]
    ax.vlines(list(stacks), 0, 1, transform=ax.get_xaxis_transform(), colors=colors, linewidth=1.3, zorder=1)


def _rgb(color: str) -> tuple[float, float, float]:
    red, green, blue = bytes.fromhex(color[1:])
    return red / 255, green / 255, blue / 255


def _points(ax: Any, scatter: Scatter) -> None:
    styles: dict[signs.Sign, dict[str, Any]] = {
        signs.FINISHED: {"marker": "o", "s": 13, "color": FINISHED, "alpha": 0.75, "linewidths": 0},
        signs.UNFINISHED: {"marker": "^", "s": 20, "color": UNFINISHED, "linewidths": 0},
        signs.DIVERGED: {"marker": "x", "s": 18, "color": UNFINISHED, "linewidths": 1.3},
        signs.RUNNING: {"marker": "o", "s": 13, "facecolors": "none", "edgecolors": RUNNING},
        signs.BEFORE: {
            "marker": "D",
            "s": 11,
            "facecolors": "none",
            "edgecolors": FINISHED,
            "linewidths": 0.9,
        },
        signs.BEFORE_UNFINISHED: {
            "marker": "^",
            "s": 18,
            "facecolors": "none",
            "edgecolors": UNFINISHED,
            "linewidths": 0.9,
        },
        signs.BEST: {"marker": "*", "s": 70, "color": BEST, "linewidths": 0},
    }
    beyond = {sign.glyph: sign for sign in signs.BEYOND.values()}
    points: dict[signs.Sign, list[tuple[float, float]]] = {}
    for mark in scatter.marks:
        if mark.y is None:
            continue
        x = mark.x + _aside(mark, scatter.x)
        sign = signs.sign_of(mark.kind, mark.diverged, mark.edge, mark.best, mark.before)
        points.setdefault(sign, []).append((x, mark.y))
        if mark.infinite:
            points.setdefault(signs.INFINITE, []).append((x, scatter.y.high))
    for sign, places in sorted(points.items(), key=lambda item: item[0].rank):
        style = styles.get(sign)
        if style is None:
            color = FINISHED if beyond.get(sign.glyph) in _FINISHED_BEYOND else UNFINISHED
            style = {"marker": _MATH[sign.glyph], "s": 45, "color": color, "linewidths": 0}
        ax.scatter(*zip(*places, strict=True), zorder=2 + sign.rank, clip_on=False, **style)


_FINISHED_BEYOND = {sign for (kind, _), sign in signs.BEYOND.items() if kind == "finished"}
_MATH = {
    "∞": r"$\infty$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "⇑": r"$\Uparrow$", "⇓": r"$\Downarrow$",
    "⇡": r"$\uparrow$", "⇣": r"$\downarrow$",
}  # fmt: skip


def _aside(mark: Mark, axis: Axis) -> float:
    return ((mark.trial * GOLDEN) % 1.0 - 0.5) * 2 * SPREAD * axis.step


def _ticks(axis: Axis) -> list[Tick]:
    if axis.scale != "categorical":
        return list(next((t for t in reversed(axis.ladder) if len(t) <= TICKS), axis.ticks))
    every = -(-len(axis.ticks) * 5 // LABEL_ROOM)  # as in the terminal: of very many options some are named
    ticks = axis.ticks[:: max(every, 1)]
    labels = shorten([tick.label for tick in ticks], LABEL_ROOM // len(ticks) - 1)
    return [Tick(tick.position, label) for tick, label in zip(ticks, labels, strict=True)]


_LEGEND: dict[Outcome | None, dict[str, Any]] = {
    Outcome.FINISHED: {"marker": "o", "color": FINISHED},
    Outcome.UNFINISHED: {"marker": "^", "color": UNFINISHED},
    Outcome.NO_START: {"marker": "|", "color": LINE, "markersize": 11},
    None: {"marker": "o", "color": RUNNING, "markerfacecolor": "none"},
}


def _legend(sheet: _Sheet, snapshot: Snapshot, top: float) -> None:
    from matplotlib.lines import Line2D

    entries = [(_LEGEND[outcome], words) for outcome, words in count_words(snapshot.counts)]
    if before := snapshot.before:
        hollow = {"marker": "D", "color": FINISHED, "markerfacecolor": "none", "markersize": 5}
        entries.append((hollow, f"{before} from before"))
    if best := snapshot.best:
        entries.append(({"marker": "*", "color": BEST, "markersize": 9}, f"best {best_words(best)}"))
    handles = [Line2D([], [], linestyle="none", label=label, **style) for style, label in entries]
    sheet.figure.legend(
        handles=handles, loc="center left", ncols=len(handles), frameon=False, borderaxespad=0, handletextpad=0.2,
        bbox_to_anchor=(EDGE / sheet.width, 1 - (top + 0.2) / sheet.height),
    )  # fmt: skip
    sheet.text(EDGE, top + 0.45, "; ".join(notes(snapshot)), fontsize=7)


def _text(label: str) -> str:
    return _plain(clean(label))


def _plain(cells: str) -> str:
    """Nothing in a name is mathematics."""
    return cells.replace(FILLER, "").replace("\\", "\\\\").replace("$", r"\$")
