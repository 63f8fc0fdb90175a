"""Draw the pictures of the README from a real study.

90 trials of the bundled caption search on two CPU cores, with the wide ranges of a GPU search (up to 384
filters and 24 layers) under tight limits (14 s and 0.8 GB a trial), so that half ended early and a tenth never
started. Its journal is kept beside the pictures (pictures/caption.jsonl): they can be drawn again whenever the
looks change.

    make pictures
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from tuner_tui.plot.picture import save_picture
from tuner_tui.study.folder import StudyFolder
from tuner_tui.ui.app import TunerApp
from tuner_tui.ui.screens.study import StudyScreen

PICTURES = Path(__file__).parent / "pictures"


async def screenshot(folder: StudyFolder, size: tuple[int, int], path: Path) -> None:
    """The study's screen with its best trial selected, as SVG."""
    closed = folder.snapshot().closed_at or 0.0
    app = TunerApp(
        folder.path.parent, launch=lambda text: folder, find_lr=lambda text: folder,
        resume=lambda study: None, attach=folder, clock=lambda: closed,
    )  # fmt: skip
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press("b")
        screen = app.screen
        assert isinstance(screen, StudyScreen)
        while not screen.settled:
            await pilot.pause(0.05)
        path.write_text(app.export_screenshot(title="tuner"))


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = StudyFolder(Path(root) / "caption-1")
        folder.path.mkdir()
        shutil.copy(PICTURES / "caption.jsonl", folder.journal)
        asyncio.run(screenshot(folder, (160, 46), PICTURES / "study.svg"))
        save_picture(folder.snapshot(), PICTURES / "scatterplots.png")


if __name__ == "__main__":
    main()
