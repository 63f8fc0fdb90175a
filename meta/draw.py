"""Pictures of experiments: maps of pixels and curves, as PNG in the folder that a trial leaves behind."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

GOOD, BAD, THIRD = "#0072b2", "#d55e00", "#009e73"  # Okabe & Ito 2008: told apart by everybody
COLOURS = {"train": "#777777", "valid": GOOD, "test": BAD}
DPI = 150


def maps(
    path: Path, rows: Mapping[str, ArrayLike], side: int, titles: Sequence[str], *, label: str,
    limits: tuple[float, float] | None = None, cmap: str = "RdBu_r",
) -> None:  # fmt: skip
    """A sheet of square maps. rows: name -> [n, side²], one row of n maps each, all on one scale of colours."""
    figure, plt = _figure(1.05 * len(titles) + 1.6, 1.15 * len(rows) + 0.5)
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    values = {name: np.asarray(row).reshape(len(titles), side, side) for name, row in rows.items()}
    low, high = limits or (min(v.min() for v in values.values()), max(v.max() for v in values.values()))
    image = None
    for line, (name, row) in zip(axes, values.items(), strict=True):
        for axis, one in zip(line, row, strict=True):
            image = axis.imshow(one, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=8)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    assert image is not None
    figure.colorbar(image, ax=axes, label=label, fraction=0.025, pad=0.015)
    _save(figure, plt, path)


def curves(
    path: Path, panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]], *, x: str, log: bool = False,
    colours: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Panels side by side. panels: what the y axis says -> name of a curve -> (x, y)."""
    figure, plt = _figure(4.2 * len(panels), 3.0)
    for axis, (said, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for name, (at, values) in lines.items():
            axis.plot(at, values, label=name, color=(colours or COLOURS).get(name), linewidth=1.6)
        axis.set(xlabel=x, ylabel=said)
        axis.grid(alpha=0.25)
        if log:
            axis.set_yscale("log")
        if len(lines) > 1:
            axis.legend(frameon=False, fontsize=8)
    _save(figure, plt, path)


def canvas(
    width: float, height: float, rows: int, columns: int = 1, **options: Any
) -> tuple[Any, Any, Callable[[Path], None]]:
    """(figure, axes, save): axes [rows, columns], and save(path), which closes the figure."""
    figure, plt = _figure(width, height)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes, lambda path: _save(figure, plt, path)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt  # here: it takes a second, and only pictures need it

    return plt.figure(figsize=(width, height), layout="constrained"), plt


def _save(figure: Any, plt: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.png")
    figure.savefig(unfinished, dpi=DPI)
    plt.close(figure)
    unfinished.replace(path)
