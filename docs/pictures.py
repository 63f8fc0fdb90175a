"""Draw the pictures of the READMEs from a real study and a real training.

The study: 90 trials of the bundled caption search on two CPU cores, with the wide ranges of a GPU search (up to
384 filters and 24 layers) under tight limits (14 s and 0.8 GB a trial), so that half ended early and a tenth never
started. Its journal is kept beside the pictures (pictures/caption.jsonl): they can be drawn again whenever the
looks change.

The training: that of `python -m models.train`, with its defaults, half a minute of one core. The sheet is the one
that it leaves, as any does: the first eight held-out images under the masks that all models are examined with.

    make pictures
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from models.train import train
from tuner_tui.sources.journal import JournalSource
from tuner_tui.study.folder import StudyFolder
from tuner_tui.ui.app import TunerApp
from tuner_tui.ui.doors import Doors
from tuner_tui.ui.memory import Memory
from tuner_tui.ui.screens.study import StudyScreen
from tuner_tui.view.picture import save_picture

PICTURES = Path(__file__).parent / "pictures"


async def screenshot(folder: StudyFolder, size: tuple[int, int], path: Path) -> None:
    """The study's screen with its best trial selected, as SVG."""
    closed = folder.snapshot().closed_at or 0.0
    doors = Doors(lambda search, file, gpus: folder, lambda text: folder, lambda study: None, lambda s, n: [])
    memory = Memory(folder.path / "screen.json")
    app = TunerApp(
        folder.path.parent, doors, attach=JournalSource(folder), memory=memory, clock=lambda: closed
    )
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press("b")
        screen = app.screen
        assert isinstance(screen, StudyScreen)
        while not screen.settled:
            await pilot.pause(0.05)
        path.write_text(app.export_screenshot(title="tuner"))


def completions(path: Path) -> None:
    """What a model with the default hyperparameters makes of pictures with holes."""
    with tempfile.TemporaryDirectory() as out:
        for measured in train(seed=0, out=out):
            if measured:
                print(f"step {measured['step']}: loss/valid {measured['loss/valid']:.2f}", flush=True)
        shutil.copy(Path(out) / "completions.png", path)


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = StudyFolder(Path(root) / "caption-1")
        folder.path.mkdir()
        shutil.copy(PICTURES / "caption.jsonl", folder.journal)
        asyncio.run(screenshot(folder, (160, 46), PICTURES / "study.svg"))
        save_picture(folder.snapshot(), PICTURES / "scatterplots.png")
    completions(PICTURES / "completions.png")


if __name__ == "__main__":
    main()
