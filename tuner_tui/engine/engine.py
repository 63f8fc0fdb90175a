"""The engine's loop: ask the sampler, launch trials, listen, judge, write the journal.

Sampler, launcher, clock and journal are arguments, so this file is policy only: which trial comes next,
when one has taken too long, what a request means. Every event is written to the journal before anything
acts on it or shows it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from ..search.change import changed
from ..search.command import expand
from ..search.problems import SearchError
from ..search.search import SILENT_SECONDS, Search
from ..search.space import Hyperparameter, Space
from ..study.events import (
    Event,
    StudyChanged,
    TrialEnded,
    TrialMeasured,
    TrialRetried,
    TrialSampled,
    TrialStarted,
)
from ..study.folder import StudyFolder
from ..study.outcomes import Reason, judge
from ..study.requests import Request
from ..study.snapshot import Snapshot, Trial, fold_all
from .breaker import broken
from .clock import steady_time
from .ending import Watched, diverged, ending, measured, returned
from .launcher import Exited, Job, Launcher, LauncherEvent, NotNow, Said, Started
from .messages import Measurement, Suggestion, last_word, measurement, suggestion
from .pruner import NoPruner, Pruner
from .retrying import is_no_verdict
from .sampler import Sampler
from .slots import Slot

TICK_S = 0.2  # how late a limit, a request or Ctrl-C may be noticed
_LAUNCH_AGAIN_S = 1.0  # how often to try what could not be started for want of room, memory or processes
SAMPLE_S = 10.0  # between two samples of what trials use: MLflow's own interval
_KILL_AGAIN_S = 1.0  # a kill can meet a process that is just being forked


class Clock(Protocol):
    """The two clocks an engine reads; tests put their own here."""

    def wall(self) -> float: ...
    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        """Seconds since the Unix epoch; see clock.py."""
        return steady_time()

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()


class Journal(Protocol):
    """Where the engine appends its events."""

    def append(self, events: Iterable[Event]) -> None: ...


@dataclass
class _Trial:
    params: dict[str, Any]
    seed: int
    slot: Slot
    watched: Watched
    journaled: bool = False  # its TrialStarted is written
    attempt: int = 0  # how often it was tried before
    launch_at: float | None = None  # monotonic: when to try to start it again; None: it was not refused
    samples: int = 0  # of what it uses, taken so far


class Engine:
    """Runs the trials of one opened study. `snapshot` is what the journal says so far."""

    def __init__(
        self,
        search: Search,
        folder: StudyFolder,
        snapshot: Snapshot,
        *,
        launcher: Launcher,
        sampler: Sampler,
        journal: Journal,
        slots: Callable[[int], list[Slot]],
        new_sampler: Callable[[Search], Sampler] | None = None,
        pruner: Pruner | None = None,
        path: list[str] | None = None,
        yields: bool = True,
        clock: Clock | None = None,
        requests: Callable[[], list[Request]] = list,
        held_up: Callable[[], str] = str,
        hold: Callable[[str], None] = lambda why: None,
        on_change: Callable[[Snapshot], None] = lambda snapshot: None,
    ) -> None:
        self.search = search
        self.folder = folder
        self.snapshot = snapshot
        self._launcher = launcher
        self._sampler = sampler
        self._journal = journal
        self._places = slots  # how many at once -> where they run
        self._slots = slots(search.parallel)
        self._new_sampler = new_sampler
        self._pruner = pruner or NoPruner()
        self._path = path or []
        # A plain function measures nothing until it returns: only a limit that the file gives holds for it.
        usual = SILENT_SECONDS if yields else math.inf
        self._silent_seconds = usual if search.limits.silent_seconds is None else search.limits.silent_seconds
        self._clock = clock or SystemClock()
        self._requests = requests
        self._held_up = held_up  # why no trial may start now, such as a full disk; "" when all is well
        self._hold = hold  # told why a trial can't be started at the moment; "": it can again
        self._on_change = on_change
        self._running: dict[int, _Trial] = {}
        self._next = 0
        self._interrupted = [
            number
            for number in snapshot.retriable
            # A clock that was set back since would make what it measures now older than what it has measured.
            if (snapshot.trials[number].ended_at or 0.0) < self._clock.wall()
        ]
        self._sample_s = _sampling_interval()
        self._sampled_at: float | None = None
        self.broken = ""  # why no more trials can be started; "" while they can

    # -- the loop --------------------------------------------------------------------------------------------

    def run(self) -> Snapshot:
        """Run until every planned trial has ended, or, once a stop is asked for, every running one."""
        while True:
            self._on_change(self.snapshot)
            for request in self._requests():
                self.obey(request)
            held_up = self._held_up()
            if not held_up:
                self._launch_again()
                self._fill_slots()
            if not self._running:
                if self.snapshot.stopping or not (self.snapshot.paused or held_up):
                    return self.snapshot
                time.sleep(TICK_S)
                continue
            self._take(self._launcher.events(TICK_S))
            self._enforce_limits()
            if self.search.system_metrics:
                self._sample()

    def obey(self, request: Request) -> None:
        """Carry out what a viewer, or Ctrl-C, asks."""
        now = self._clock.wall()
        match request.kind:
            case "stop" | "stop_now":
                if not self.snapshot.stopping:
                    self._write([StudyChanged(now, stopping=True)])
                for number in list(self._running) if request.kind == "stop_now" else self._waiting():
                    self._end(number, Reason.STOPPED, "stopped together with the study")
            case "pause":
                self._write([StudyChanged(now, paused=True)])
            case "continue":
                self._write([StudyChanged(now, paused=False)])
            case "add_trials" if request.number and request.number > 0:
                self._write([StudyChanged(now, trials=self.snapshot.planned + request.number)])
            case "parallel" if request.number and request.number > 0:
                try:
                    self._slots = self._places(request.number)
                except ValueError:  # more than the GPUs, or the system, take: `tuner change` says so
                    return
                self.search = replace(self.search, parallel=request.number)
                self._write([StudyChanged(now, search=self.search)])
            case "rerun" if request.number in self.snapshot.trials:
                assert request.number is not None
                reruns = {str(self.snapshot.next_number): request.number}
                self._write([StudyChanged(now, trials=self.snapshot.planned + 1, reruns=reruns)])
            case "change":
                self._change(request.settings)
            case "kill_trial" if request.number in self._running:
                self._end(request.number, Reason.STOPPED, "stopped by a person")

    def _fill_slots(self) -> None:
        while not (self.snapshot.paused or self.snapshot.stopping or self._waiting()):
            free = self._free()
            if free and self._interrupted:
                self._try_again(self._interrupted.pop(0), free[0])
                continue
            while self._next in self.snapshot.trials or self._next in self._running:
                self._next += 1
            if not free or self._next >= self.snapshot.next_number:
                return
            self._start(self._next, free[0])

    def _free(self) -> list[Slot]:
        """Where a trial can start now; after a change to fewer places there may be none."""
        if len(self._running) >= len(self._slots):
            return []
        taken = {trial.slot.number for trial in self._running.values()}
        return [slot for slot in self._slots if slot.number not in taken]

    def _start(self, number: int, slot: Slot) -> None:
        params, seed = self._given(number)
        self._launch(number, params, seed, slot)

    def _try_again(self, number: int, slot: Slot) -> None:
        """Start a trial again that was interrupted with an engine before this one."""
        trial = self.snapshot.trials[number]
        at = math.nextafter(trial.ended_at or 0.0, math.inf)  # when that attempt ended, and behind its end
        self._write([TrialRetried(at, number, trial.reason, trial.message)])
        trial = self.snapshot.trials[number]
        self._launch(number, dict(trial.params), trial.seed or 0, slot, len(trial.attempts))

    def _launch(self, number: int, params: dict[str, Any], seed: int, slot: Slot, attempt: int = 0) -> None:
        now = self._clock.monotonic()
        self._pruner.started(number)
        self._running[number] = _Trial(params, seed, slot, Watched(started=now, heard=now), attempt=attempt)
        memory = self.search.limits.memory_gb
        folder = self.folder.trial(number).resolve()
        filled = {
            "seed": seed, "out": str(folder / "out"), "device": slot.device, "trial": number, "slot": slot.number,
            "folder": str(Path(self.search.folder or ".").absolute()), "params_file": str(folder / "params.json"),
        }  # fmt: skip
        read = self.search.read
        cwd = str(Path(filled["folder"], *expand([self.search.cwd], params, filled)))
        followed = "".join(expand([read.file], params, filled))
        self._launcher.submit(
            Job(
                trial=number,
                target=self.search.target,
                params=params,
                objective=self.search.objective,
                seed=seed,
                folder=str(folder),
                device=slot.device,
                environment=slot.environment,
                threads=slot.threads,
                memory_bytes=None if memory is None else int(memory * 2**30),
                log_bytes=self.search.limits.log_bytes,
                path=self._path,
                slot=slot.number,
                run_ids=str(self.folder.publisher_state.resolve()) if self.search.share_run else "",
                command=expand(self.search.command, params, filled),
                cwd=cwd,
                secret=self.search.secret,
                read=asdict(read) | {"file": str(Path(cwd, followed)) if followed else ""},
            )
        )

    def _waiting(self) -> list[int]:
        """Trials that could not be started yet, for want of room or of processes."""
        return [number for number, trial in self._running.items() if trial.launch_at is not None]

    def _launch_again(self) -> None:
        """Try to start what could not be started. One at a time: the others would fail for the same reason."""
        for number in self._waiting()[:1] if not self.snapshot.paused else ():
            trial = self._running[number]
            if self._clock.monotonic() >= (trial.launch_at or 0.0):
                self._launch(number, trial.params, trial.seed, trial.slot, trial.attempt)

    def _given(self, number: int) -> tuple[dict[str, Any], int]:
        """The parameters and the seed of a trial: drawn for its number, or those of the trial it repeats."""
        repeated = self.snapshot.trials.get(self.snapshot.reruns.get(number, -1))
        if repeated is not None:
            return dict(repeated.params), repeated.seed or 0
        if (again := self.search.again) is not None:
            return dict(again.points[again.point_of(number)].params), trial_seed(self.search.seed, number)
        return {**self.search.fixed, **self._sampler.ask(number)}, trial_seed(self.search.seed, number)

    def _change(self, settings: tuple[str, ...]) -> None:
        """Draw from another space from now on. What can't be carried out is left: the viewer checked it before."""
        try:
            search = changed(self.search, settings)
        except SearchError:
            return
        if search.space == self.search.space and search.fixed == self.search.fixed:
            return
        self._write([StudyChanged(self._clock.wall(), search=search)])
        self.search = search
        if self._new_sampler is not None:
            self._sampler = self._new_sampler(search)

    # -- listening -------------------------------------------------------------------------------------------

    def _take(self, news: list[LauncherEvent]) -> None:
        """Turn what the launcher heard into events of the study, and write them in one go."""
        events: list[Event] = []
        ended: dict[int, bool] = {}  # trial -> whether it ended by itself, as far as its process says
        again: dict[int, _Trial] = {}  # to be tried again
        pruned: dict[int, str] = {}  # to be asked to end, unless they turn out to have ended by themselves
        for item in news:
            trial = self._running.get(item.trial)
            if trial is None or item.trial in ended or item.trial in again:
                continue
            match item:
                case NotNow(message=message):
                    trial.launch_at = self._clock.monotonic() + _LAUNCH_AGAIN_S
                    self._hold(f"trial {item.trial} can't be started: {message}")
                case Started():
                    self._hold("")
                    events.append(self._started(trial, item))
                case Said(message=message):
                    if found := measurement(message):
                        events.append(self._measured(trial, item.trial, found))
                        loss = found.values.get(self.search.objective)
                        if loss is not None and (why := self._pruner.measured(item.trial, found.step, loss)):
                            pruned.setdefault(item.trial, why)
                    elif drawn := suggestion(message):
                        events += self._suggested(trial, item.trial, drawn)
                    elif word := last_word(message):
                        trial.watched.last_word = word
                        # It has said its last word; what is left is a normal exit, which may hang.
                        self._kill_later(trial.watched)
                case Exited():
                    if not trial.journaled:
                        events.append(self._started(trial, Started(item.trial, item.at)))
                    outcome, reason, sentence = ending(trial.watched, item, self.search.objective)
                    if self._tries_again(trial, item, reason, sentence):
                        events.append(TrialRetried(item.at, item.trial, reason, sentence, item.exit_code))
                        again[item.trial] = trial
                        continue
                    events.append(TrialEnded(item.at, item.trial, outcome, reason, sentence, item.exit_code))
                    ended[item.trial] = returned(trial.watched)
        if events:
            self._write(events, tell=list(ended))
        for number in (pruned.keys() & self._running.keys()) - again.keys():
            self._end(number, Reason.PRUNED, pruned[number])
        for number in self._waiting():
            trial = self._running[number]
            if trial.watched.stopping or self.snapshot.stopping:  # asked for before it could be started
                why = trial.watched.stopping or (Reason.STOPPED, "stopped together with the study")
                self._give_up(number, trial, *why)
        for number, trial in again.items():
            self._launch(number, trial.params, trial.seed, trial.slot, trial.attempt + 1)
        for number, by_itself in ended.items():
            self._judge(self.snapshot.trials[number], by_itself=by_itself)

    def _tries_again(self, trial: _Trial, exited: Exited, reason: Reason | None, sentence: str) -> bool:
        if trial.attempt >= self.search.retries or trial.watched.stopping or self.snapshot.stopping:
            return False
        limited = self.search.limits.memory_gb is not None
        return is_no_verdict(reason, sentence, exited, shares=len(self._running) > 1, limited=limited)

    def _judge(self, trial: Trial, *, by_itself: bool) -> None:
        """Stop the study when its trials can't tell anything (breaker.py)."""
        if self.broken:
            return
        self.broken = broken(self.search, self.snapshot.own.trials, trial, by_itself=by_itself)
        if self.broken:
            self.obey(Request("stop_now"))

    def _started(self, trial: _Trial, item: Started) -> TrialStarted:
        trial.journaled = True
        now = self._clock.monotonic()
        trial.watched.started = trial.watched.heard = now  # its time runs from here, not from the queue
        return TrialStarted(
            at=item.at, trial=item.trial, params=trial.params, seed=trial.seed,
            device=trial.slot.label, pid=item.pid, process_started=item.process_started,
            host=item.host,
        )  # fmt: skip

    def _sample(self) -> None:
        """Write down what running trials use, every so often."""
        now = self._clock.monotonic()
        if self._sampled_at is not None and now - self._sampled_at < self._sample_s:
            return
        self._sampled_at = now
        events: list[Event] = []
        for number, values in self._launcher.samples().items():
            trial = self._running.get(number)
            if trial is not None and trial.journaled and values:
                events.append(TrialSampled(self._clock.wall(), number, trial.samples, dict(values)))
                trial.samples += 1
        if events:
            self._write(events)

    def _suggested(self, trial: _Trial, number: int, drawn: Suggestion) -> list[Event]:
        """A hyperparameter that the search did not declare became known: the trial has it, and the space too."""
        trial.params = {**trial.params, drawn.name: drawn.value}
        events: list[Event] = [
            TrialStarted(at=self._clock.wall(), trial=number, params=trial.params, seed=trial.seed)
        ]
        if drawn.name not in self.search.space.names:
            known = Hyperparameter(drawn.name, drawn.distribution)
            self.search = replace(
                self.search, space=Space((*self.search.space, known)),
                suggested=(*self.search.suggested, drawn.name),
            )  # fmt: skip
            events.append(StudyChanged(self._clock.wall(), search=self.search))
        return events

    def _measured(self, trial: _Trial, number: int, found: Measurement) -> TrialMeasured:
        measured(trial.watched, found.step, found.values, self.search.objective, self._clock.monotonic())
        loss = found.values.get(self.search.objective)
        # nan never comes back, so the trial's time is better given to another. inf sometimes does (an
        # overflow in the first steps): it counts as divergence only where the trial ends with it.
        if loss is not None and loss != loss:
            self._end(number, Reason.DIVERGED, diverged(loss, found.step, self.search.objective))
        return TrialMeasured(at=found.at, trial=number, step=found.step, values=found.values)

    def _write(self, events: list[Event], tell: list[int] | None = None) -> None:
        self._journal.append(events)
        self.snapshot = fold_all(self.snapshot, events)
        for number in tell or ():
            del self._running[number]
            self._sampler.tell(self.snapshot.trials[number])
            self._pruner.ended(self.snapshot.trials[number])

    # -- ending ----------------------------------------------------------------------------------------------

    def _enforce_limits(self) -> None:
        now, limits = self._clock.monotonic(), self.search.limits
        for number, trial in list(self._running.items()):
            watched = trial.watched
            if watched.kill_at is not None and now >= watched.kill_at:
                self._launcher.stop(number, now=True)
                watched.kill_at = now + _KILL_AGAIN_S
            elif not trial.journaled or watched.stopping or watched.last_word:
                continue
            elif now - watched.started > limits.trial_seconds:
                self._end(number, Reason.TIMEOUT, f"took longer than {limits.trial_seconds:g} s")
            elif now - watched.heard > self._silent_seconds:
                self._end(number, Reason.SILENT, f"measured nothing for {self._silent_seconds:g} s")

    def _end(self, number: int, reason: Reason, sentence: str) -> None:
        """Ask a trial to end, and remember why; it is killed when the grace period is over."""
        trial = self._running[number]
        if trial.launch_at is not None:
            self._give_up(number, trial, reason, sentence)
            return
        watched = trial.watched
        if watched.stopping is None and watched.last_word is None:
            watched.stopping = (reason, sentence)
            self._launcher.stop(number)
            self._kill_later(watched)

    def _give_up(self, number: int, trial: _Trial, reason: Reason, sentence: str) -> None:
        """End a trial that waits to be started. With its study it is one that has not been tried, as those behind it,
        unless an attempt before this one was."""
        self._hold("")
        if self.snapshot.stopping and not trial.attempt:
            del self._running[number]
            return
        now = self._clock.wall()
        end = TrialEnded(now, number, judge(reason, False), reason, sentence)
        self._write([self._started(trial, Started(number, now)), end], tell=[number])

    def _kill_later(self, watched: Watched) -> None:
        watched.kill_at = self._clock.monotonic() + self.search.limits.grace_seconds


def _sampling_interval() -> float:
    """Seconds between two looks at what trials use; MLflow's own variable sets it."""
    try:
        return float(os.environ["MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"])
    except (KeyError, ValueError):
        return SAMPLE_S


def fresh_seed(study_seed: int, word: str, earlier: int) -> int:
    """The seed of a study that runs trials of another again: its trials get seeds that neither that study nor the
    `earlier` ones of the kind had."""
    digest = blake2b(f"{study_seed}/{word}/{earlier}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % 2**31


def trial_seed(study_seed: int, number: int) -> int:
    """The seed a trial gets: a function of the study's seed and its number alone (below 2**31)."""
    digest = blake2b(f"{study_seed}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % 2**31
