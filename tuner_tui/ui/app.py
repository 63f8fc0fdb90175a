"""The app: holds the theme, the list of studies and the study that is looked at. Screens do the rest.

The command line calls `run_tui`. The functions that start engines are passed in, so that nothing here imports one.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from textual._compositor import CompositorUpdate
from textual.app import App, SystemCommand
from textual.screen import Screen

from ..sources.source import Source
from .doors import Doors
from .frames import Changes, Frames, wants_ascii
from .keys import LIST, STUDY, keys_for
from .memory import Memory
from .pauses import short_pauses, thaw
from .screens.studies import StudiesScreen
from .screens.study import StudyScreen
from .tail import StudyTail
from .theme import GREYS, OUTCOME_COLOURS, TUNER_DARK, TUNER_LIGHT

BLOCKED_S = 0.3  # a frame that took so long to be written met a line that is full
SLOW_FOR_S = 30.0  # then pictures come once a second for so long
LINE_S = 1.0  # how long a screen may outlive its terminal; without a look it would spin on the dead line


class NoTerminal(Exception):
    """The screen was asked for where there is none."""


class TunerApp(App[None]):
    """The screen: the list of studies, and the study that is open."""

    TITLE = "tuner"
    NOTIFICATION_TIMEOUT = 3
    CSS_PATH = ["styles/common.tcss", "styles/study.tcss", "styles/dialogs.tcss"]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        root: Path,
        doors: Doors,
        *,
        attach: Source | None = None,
        memory: Memory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.register_theme(TUNER_DARK)
        self.register_theme(TUNER_LIGHT)
        self._memory = Memory() if memory is None else memory
        theme = self._memory.get("theme", TUNER_DARK.name)
        self.theme = theme if theme in self.available_themes else TUNER_DARK.name
        self.animation_level = "none"  # nothing moves but the data
        self._doors = doors
        self._frames = Frames(ascii=wants_ascii())
        self._slow_asked = os.environ.get("TUNER_SLOW", "0") not in ("", "0")
        self._slow_until = 0.0
        self._clock = clock
        self._attached = attach
        self._list = StudiesScreen(root, doors, clock=clock, memory=self._memory, opened=attach)

    def _display(self, screen: Screen, renderable: Any) -> None:
        """Write only what differs; notice a line that takes long to be written to."""
        if isinstance(renderable, CompositorUpdate):
            renderable = Changes(self._frames, renderable)
        else:
            self._frames.forget()
        began = time.monotonic()
        super()._display(screen, renderable)
        if time.monotonic() - began > BLOCKED_S:
            self._slow_until = time.monotonic() + SLOW_FOR_S

    @property
    def slow(self) -> bool:
        """Whether the line is slow: TUNER_SLOW says so, or it blocked a short while ago."""
        return self._slow_asked or time.monotonic() < self._slow_until

    def on_resize(self) -> None:
        self._frames.forget()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The outcomes' colours for every theme that doesn't bring its own."""
        return {**super().get_theme_variable_defaults(), **OUTCOME_COLOURS, **GREYS}

    def get_default_screen(self) -> Screen:
        return self._list

    def notify(self, message: str, **options: Any) -> None:
        """One notice at a time: the answer to the last key, not a pile of old ones."""
        self.clear_notifications()
        super().notify(message, **options)

    def watch_theme(self, theme: str) -> None:
        if self.is_running:
            self._memory.keep("theme", theme)

    def on_mount(self) -> None:
        if self._attached is not None:
            self._look_at(self._list.tail_of(self._attached))
        self.app_resume_signal.subscribe(self, lambda _: self._frames.forget())
        if not self.is_headless:
            self.call_after_refresh(short_pauses)  # behind the first paint
            self.set_interval(LINE_S, self._leave_with_the_line)

    def _leave_with_the_line(self) -> None:
        """A terminal can go without a word (no SIGHUP where it is not the controlling one): then so do we."""
        poll = select.poll()
        poll.register(sys.__stdin__ or 0, 0)  # 0: hang-ups and errors are told unasked
        if poll.poll(0):
            self.exit(return_code=1)

    def _look_at(self, tail: StudyTail) -> None:
        self.push_screen(StudyScreen(tail, self._doors, memory=self._memory, clock=self._clock))

    def on_studies_screen_chosen(self, event: StudiesScreen.Chosen) -> None:
        self._look_at(event.tail)

    def on_study_screen_left(self) -> None:
        if isinstance(self.screen, StudyScreen):
            self.pop_screen()
            thaw()

    def get_system_commands(self, screen: Screen) -> Iterable[SystemCommand]:
        """The palette: the same keys, by name; then Textual's own, such as the theme."""
        place = (
            STUDY if isinstance(screen, StudyScreen) else LIST if isinstance(screen, StudiesScreen) else ""
        )
        possible = screen.possible if isinstance(screen, StudyScreen) else None
        for key in keys_for(place, possible):
            action = f"screen.{key.act}"
            yield SystemCommand(
                key.tooltip, f"key {key.shown}", lambda action=action: screen.run_action(action)
            )
        if isinstance(screen, StudyScreen):
            for finding in screen.there:
                yield SystemCommand(
                    f"Show {finding.title.lower()}",
                    "key v turns to the next",
                    lambda id=finding.id: screen.action_look_at(id),
                )
        for command in super().get_system_commands(screen):
            if command.title in ("Theme", "Screenshot"):
                yield command


def run_tui(root: Path, doors: Doors, *, attach: Source | None = None) -> None:
    """Show the studies under `root`, or one study of any source, until the person leaves.

    Raises NoTerminal where there is no screen to draw on: Textual would print escape codes and exit 0.
    """
    served = bool(os.environ.get("TEXTUAL_DRIVER"))  # `tuner serve` draws in a browser
    if not served and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NoTerminal(
            "the screen needs a terminal, and this is none; `tuner sweep --headless` does the same without one"
        )
    if not served:
        # Under nohup and some service managers SIGHUP is ignored; a screen must not outlive its terminal even so.
        # The engine of a sweep has a session of its own and is not reached by it.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    app = TunerApp(root, doors, attach=attach)
    app.run()
    if app.return_code:  # it broke, or its terminal did: not what a script should take for a good end
        sys.exit(app.return_code)
