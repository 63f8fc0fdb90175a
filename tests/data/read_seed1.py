"""Reads the trials back from the scatterplots of 2017-05-01 that this project began with (seed1_never_started.csv).

    python tests/data/read_seed1.py PICTURE.png > tests/data/seed1_never_started.csv

The picture is at https://cooijmanstim.github.io, "Hyperparameter search results"; it is not kept here.

Red lines are transparent, so the darkness of a column says how many lie upon each other. A line is two pixels
wide with a faint fringe on either side. Every line multiplies the green of its two columns by 242/255, rounded
down, and takes 1 from the two columns beside them. That reproduces the picture: the sum of all misfits, in grey
levels, is printed and is 0, in convnet.depth 7 and in reader.size 3. So the counts are exact, and so are the values
where one unit is wider than two pixels; convnet.depth is read to 3 units and reader.size to 1.5. Two options hide
more lines than darkness can show (0 of 255); they are taken as what is missing from the total of the other panels.

Dots are discs of five pixels, found by their colour, to half a pixel. One that lies nearly on another is missed:
75 to 77 blue and 5 or 6 orange ones are found in a panel. In the seven panels with options (`convnet.radius` and
`merger.layers` have few values too) the dots of a column overlap and can't be told apart: only lines are read.

The lines of one trial can't be matched across panels. Each panel therefore stands by itself.
"""

from __future__ import annotations

import csv
import sys
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]

LEFT, TOP, WIDTH, HEIGHT = (34, 289, 544, 798, 1053), (26, 261, 496), 196, 186  # the frames, in pixels
# Name, what the frame's left and right edge stand for, and the options where it has options.
PANELS: list[tuple[str, float, float, tuple[str, ...]]] = [
    ("batch_size", 0, 35, ()),
    ("convnet.depth", 0, 600, ()),
    ("convnet.kind", 0, 0, ("straight", "straight_dilated", "straight_residual")),
    ("convnet.profundity", 0, 60, ()),
    ("convnet.radius", 0, 0, ("2", "3", "4", "5")),
    ("merger.depth", 0, 70, ()),
    ("merger.kind", 0, 0, ("attention", "conv")),
    ("merger.layers", 0, 0, ("1", "2", "3", "4", "5", "6", "7", "8")),
    ("optimize_given", 0, 0, ("False", "True")),
    ("reader.bidir", 0, 0, ("False", "True")),
    ("reader.normalize", 0, 0, ("False", "True")),
    ("reader.radius", 0, 35, ()),
    ("reader.size", 0, 300, ()),
]
MOST = 12  # lines that start in one column of a panel without options

GREEN = [255]  # of 0, 1, 2, ... lines
while GREEN[-1] > 0:
    GREEN.append(GREEN[-1] * 242 // 255)


def main() -> None:
    picture = np.asarray(Image.open(sys.argv[1]).convert("RGB")).astype(int)
    rows: list[tuple[str, str, str, int]] = []
    read = {name: panel(picture, i) for i, (name, *_) in enumerate(PANELS)}
    totals: dict[str, int] = {}
    for name, low, high, options in PANELS:
        area = read[name]
        greens = background(area)
        if options:
            starts = [j for j in range(WIDTH - 3) if greens[j] == greens[j + 1] < 160]
            assert len(starts) == len(options), (name, starts)
            counts = {o: GREEN.index(int(greens[j])) for o, j in zip(options, starts, strict=True)}
            known = sum(n for o, n in counts.items() if greens[starts[options.index(o)]] > 0)
            hidden = [o for o in options if greens[starts[options.index(o)]] == 0]
            for option in hidden:
                counts[option] = totals["convnet.depth"] - known
            for option in options:
                rows.append((name, option, "never started", counts[option]))
            totals[name] = sum(counts.values())
        else:
            lines, misfit = deconvolve(greens)
            totals[name] = int(lines.sum())
            print(f"{name}: {totals[name]} lines, misfit {misfit}", file=sys.stderr)

            def value(edge: float, low: float = low, high: float = high) -> str:
                return str(round(low + edge * (high - low) / WIDTH))

            tally: dict[tuple[str, str], int] = {}
            for j in np.flatnonzero(lines):
                key = (value(float(j) + 2), "never started")
                tally[key] = tally.get(key, 0) + int(lines[j])
            for outcome, colour in (("finished", "blue"), ("unfinished", "orange")):
                for x, _ in dots(area, colour):
                    key = (value(x + 1.5), outcome)
                    tally[key] = tally.get(key, 0) + 1
            rows += [
                (name, v, outcome, n) for (v, outcome), n in sorted(tally.items(), key=lambda i: int(i[0][0]))
            ]
    for name in totals:
        print(name, {o: sum(n for p, _, q, n in rows if (p, q) == (name, o)) for o in
                     ("never started", "finished", "unfinished")}, file=sys.stderr)  # fmt: skip
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("hyperparameter", "value", "outcome", "trials"))
    writer.writerows(row for row in rows if row[3])


def panel(picture: Array, index: int) -> Array:
    """The pixels inside a frame; column j is the picture's column LEFT + 1 + j."""
    left, top = LEFT[index % 5] + 1, TOP[index // 5] + 1
    return picture[top : top + HEIGHT - 1, left : left + WIDTH - 1]


def background(area: Array) -> Array:
    """The green of each column where no dot lies: what most of its pixels are."""
    greens = np.full(area.shape[1], 255)
    for j in range(1, area.shape[1] - 1):  # the first and the last are fringes of the frame
        column = area[:, j]
        clear = column[(column[:, 0] >= 250) & (abs(column[:, 1] - column[:, 2]) <= 1), 1]
        greens[j] = np.bincount(clear).argmax()
    return greens


def deconvolve(greens: Array) -> tuple[Array, int]:
    """How many lines start in each column, by the path of least misfit (Viterbi 1967)."""
    states = np.arange(MOST + 1)
    a, b, c, d = np.meshgrid(states, states, states, states, indexing="ij", sparse=True)
    # a, b, c, d start in columns j - 2, j - 1, j, j + 1.
    table = np.array([*GREEN, *[0] * 30])[: 2 * MOST + 1]
    expected = table[b + c] - (a + d)
    cost = np.full((MOST + 1,) * 3, 10**6)
    cost[0, 0, :] = 0
    back = []
    for green in greens:
        new = cost[:, :, :, None] + abs(expected - green)
        back.append(new.argmin(axis=0))
        cost = new.min(axis=0)
    state = np.unravel_index(int(cost.argmin()), cost.shape)
    misfit = int(cost.min())
    path = [int(state[1])]  # of the last column; state holds columns j - 1, j, j + 1
    for step in reversed(back):
        state = (step[state], state[0], state[1])
        path.append(int(state[1]))
    return np.array(path[:-1][::-1]), misfit


def is_dot(pixels: Array, colour: str) -> Array:
    r, g, b = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if colour == "blue":
        return (b - r > 40) & (b - g > 60)
    return (r > 150) & (g - b > 60)


# The pixels a dot covers in full, around its centre.
DISC = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if dy * dy + dx * dx <= 5]


def dots(area: Array, colour: str) -> list[tuple[float, int]]:
    """(column, row) of dots: the disc that explains most pixels first, until none explains a third of its own."""
    mask = np.pad(is_dot(area, colour), 3)
    whole, left = mask.copy(), mask.copy()
    found: list[tuple[float, int]] = []
    while True:
        explained = sum(np.roll(left, (-dy, -dx), (0, 1)).astype(int) for dy, dx in DISC)
        covered = sum(np.roll(whole, (-dy, -dx), (0, 1)).astype(int) for dy, dx in DISC)
        score = np.where(covered >= (14 if colour == "blue" else 12), explained, 0)
        y, x = np.unravel_index(int(score.argmax()), score.shape)
        if score[y, x] < 7:
            return found
        for dy in range(-3, 4):
            for dx in range(-3, 4):
                if dy * dy + dx * dx <= 9:
                    left[y + dy, x + dx] = False
        found.append((float(x - 3), int(y - 3)))


if __name__ == "__main__":
    main()
