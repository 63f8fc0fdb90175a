"""Actions on a running sweep: stop, pause, stop one trial, add trials, resume.

Actions are appended to `requests.jsonl`; the journal shows when the engine carried them out. Actions that could lose
work ask for confirmation first. `StudyScreen` extends this class with everything that is shown.
"""

from __future__ import annotations

import time
from dataclasses import replace

from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen

from ...search.change import changed
from ...study.requests import Request
from ...study.snapshot import Snapshot
from ...study.state import State
from ..doors import Doors
from ..tail import StudyTail
from .add_trials import AddTrials
from .choice import ChoiceDialog, Option
from .search_form import Answer, SearchForm


def _of_the_space(settings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text for text in settings if text.partition("=")[0] not in ("trials", "parallel"))


RESUME_S = 20.0  # an engine takes its lock in its first second; a loaded machine is slower


class SweepScreen(Screen[None]):
    """What can be asked of the engine of a study."""

    snapshot: reactive[Snapshot] = reactive(Snapshot, always_update=True, repaint=False)
    state: reactive[State] = reactive(State.EMPTY, repaint=False)
    selected: reactive[int | None] = reactive(None, repaint=False)
    marked: reactive[frozenset[int]] = reactive(
        frozenset(), init=False, repaint=False
    )  # to be compared, run again
    note: reactive[str] = reactive("", repaint=False)

    def __init__(self, tail: StudyTail, doors: Doors) -> None:
        super().__init__()
        self.tail = tail
        self.source = tail.source
        self._doors = doors
        self._resuming_until: float | None = None  # while we wait for an engine we started

    def _staffed(self) -> bool:
        """Whether there is an engine to ask."""
        return self.source.desk is not None and self.source.desk.staffed()

    def _ask(self, request: Request, said: str) -> bool:
        """Ask the engine, if there is one; say what will happen."""
        desk = self.source.desk
        if desk is None or not desk.staffed():
            hint = "press r to go on with it" if self.state.resumable else "it is over"
            self.notify(f"No engine runs this study: {hint}.", severity="warning")
            return False
        try:
            desk.ask(request)
        except OSError as error:
            self.notify(f"The engine cannot be asked: {error.strerror}.", severity="error")
            return False
        self.notify(said)
        return True

    def action_pause(self) -> None:
        if self.snapshot.paused:
            self._ask(Request("continue"), "Going on: new trials start again.")
        else:
            self._ask(Request("pause"), "Pausing: running trials end, no new ones start.")

    def action_stop(self) -> None:
        if not self._staffed():
            self._ask(Request("stop"), "")
            return
        running = self.snapshot.counts.running
        options = (
            Option("", "c", "cancel", "The sweep goes on."),
            Option("stop", "e", "end", "No new trials; those that run end by themselves."),
            Option("stop_now", "s", "stop now", f"Also stop what runs now ({running})."),
        )
        title = f"Stop {self.source.name}?"
        sentence = "It can be taken up again with r. Leaving this screen (q) does not stop it."
        self.app.push_screen(ChoiceDialog(title, sentence, options), self._stop)

    def _stop(self, kind: str | None) -> None:
        if kind:
            said = "Stopping: running trials end first." if kind == "stop" else "Stopping now."
            self._ask(Request(kind), said)

    def action_kill_trial(self) -> None:
        trial = self.snapshot.trials.get(self.selected) if self.selected is not None else None
        if trial is None or not trial.running:
            self.notify("Select a running trial to stop it.", severity="warning")
            return
        number = trial.number
        if not self._staffed():
            self._ask(Request("kill_trial", number), "")
            return
        options = (
            Option("", "c", "cancel", "The trial goes on."),
            Option("kill", "k", "kill", "Its result is kept as unfinished."),
        )
        sentence = "The sweep goes on with the next one."
        dialog = ChoiceDialog(f"Stop trial {number}?", sentence, options)
        self.app.push_screen(dialog, lambda choice: self._kill(number) if choice else None)

    def _kill(self, number: int) -> None:
        self._ask(Request("kill_trial", number), f"Stopping trial {number}.")

    def action_add_trials(self) -> None:
        if not self._staffed():
            self._ask(Request("add_trials", 0), "")
            return
        self.app.push_screen(AddTrials(self.snapshot.planned), self._add)

    def _add(self, amount: int | None) -> None:
        if amount:
            self._ask(Request("add_trials", amount), f"Adding {amount} trials.")

    def action_edit(self) -> None:
        """Change the space, how many trials run at once, or the plan of a running sweep."""
        if not self._staffed():
            self._ask(Request("change"), "")
            return
        search = replace(self.snapshot.search, trials=self.snapshot.planned)
        form = SearchForm(
            f"Change {self.source.name}", search, draw=self._doors.draw, act=self._check_change,
            keys=("trials", "parallel"), gpus=False, reshape=False,
            drawn="trials drawn from it, for a look", verb="change it from now on",
            sentence="Trials that have started keep what they were given. A single value fixes a hyperparameter.",
        )  # fmt: skip
        self.app.push_screen(form, self._change)

    def _check_change(self, answer: Answer) -> None:
        """Raise what the engine would silently leave."""
        changed(self.snapshot.search, _of_the_space(answer.settings))
        if answer.search.trials < self.snapshot.planned:
            raise ValueError(f"{self.snapshot.planned} trials are planned; x stops the sweep before that")

    def _change(self, answer: Answer | None) -> None:
        if answer is None or not answer.settings:
            return
        said = "Changed from the next trial on."
        if settings := _of_the_space(answer.settings):
            self._ask(Request("change", settings=settings), said)
        if answer.search.parallel != self.snapshot.search.parallel:
            self._ask(Request("parallel", answer.search.parallel), said)
        if (more := answer.search.trials - self.snapshot.planned) > 0:
            self._ask(Request("add_trials", more), said)

    def action_rerun(self) -> None:
        """Run the marked trials again, else the selected one: as new ones, with their parameters and seeds."""
        chosen = self.marked or {self.selected}
        wanted = [number for number in sorted(self.snapshot.trials) if number in chosen]
        if not wanted:
            self.notify("Select a trial to run it again, or mark some with space.", severity="warning")
            return
        first = self.snapshot.next_number
        for new, number in enumerate(wanted, start=first):
            if not self._ask(Request("rerun", number), f"Trial {number} runs again as trial {new}."):
                return

    def action_resume(self) -> None:
        if self.state is State.RUNNING:
            self.notify("An engine runs this study already.")
        elif self.state is State.DONE:
            self.notify("Every planned trial has ended: there is nothing to resume.")
        elif self._resuming_until is None:
            self._resuming_until = time.monotonic() + RESUME_S
            self.note = self._note()
            self.run_worker(self._resume_in_thread, thread=True, exit_on_error=False)

    class ResumeFailed(Message):
        """The study could not be resumed, and why."""

        def __init__(self, why: str) -> None:
            super().__init__()
            self.why = why

    def _resume_in_thread(self) -> None:
        """Starting a process takes a while; posting is all a thread may do here."""
        try:
            self._doors.resume(self.source)
        except Exception as error:
            self.post_message(self.ResumeFailed(str(error)))

    def on_sweep_screen_resume_failed(self, event: ResumeFailed) -> None:
        self._resuming_until = None
        self.notify(event.why, title="It does not resume", severity="error", timeout=15)

    def _note(self) -> str:
        if self.tail.gone:
            return "the study was deleted; this is the last that was read"
        if not self.tail.caught_up:
            return f"reading, {self.tail.share_read:.0%}" if self.tail.extent.size else self.tail.trouble
        return "resuming …" if self._resuming_until is not None else self.tail.trouble
