"""Studies of 10 to 10,000 trials in terminals of 80x24 to 300x90, as text that a person has looked at.

After a deliberate change: `UPDATE_GOLDEN=1 pytest tests/ui/test_sizes.py`, and look at the difference. Colours are
for test_snapshots.py, and for the shares in tests/view/test_crowds.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.big_study import BIG_SPACE, big_events
from support.room import settle

from tuner_tui.ui.widgets.grid import ScatterGrid

GOLDEN = Path(__file__).parent / "golden"
SIZES = [(80, 24), (120, 40), (200, 50), (300, 90)]


def text_of(app) -> str:
    """What stands on the screen, without colours."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"


@pytest.mark.parametrize("trials", [10, 100, 300, 3000, 10000])
async def test_a_study_at_every_size(room, trials):
    folder = room.study("big-1", big_events(trials))
    async with room.app(folder).run_test(size=SIZES[0]) as pilot:
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            await settle(pilot)
            grid = pilot.app.screen.query_one(ScatterGrid)
            assert len(grid.panels) == len(BIG_SPACE)
            assert grid.max_scroll_y == 0  # all panels are on view
            text = text_of(pilot.app)
            path = GOLDEN / f"{trials}-{width}x{height}.txt"
            if os.environ.get("UPDATE_GOLDEN"):
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
            assert text == path.read_text(encoding="utf-8")
