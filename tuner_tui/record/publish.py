"""One publisher of one study: journal -> plan -> store, at least once, in batches.

It may be killed between any two instructions. What MLflow has is found again by tags (`tuner.identity` for
the study, `tuner.trial` for a trial), and everything written may be written again without harm: MLflow
passes over a metric row it has, a param of the same value and a status that is already so.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace

from ..study.folder import StudyFolder
from ..study.journal import JournalReader
from ..study.publication import Notebook
from .errors import Away, Refused, Vanished
from .plan import Plan, RunWrite, Story, StudyWrite, before_anything, closing_tags
from .store import Store
from .uploads import SEARCH, SUMMARY, upload_study, upload_trial
from .uri import shown

BATCH_BYTES = 1 << 18  # of journal: about a second's work, the most that a kill makes us repeat
_SAVE_S = 1.0  # run ids found or made are noted this often within a batch
_UPLOAD_WAIT_S = (1.0, 60.0)  # first and longest pause after files could not be copied


class Publisher:
    """Carries one study to one store. Every method that talks to MLflow raises Away when it cannot now."""

    def __init__(self, folder: StudyFolder, uri: str, say: Callable[[str], None] = lambda text: None) -> None:
        self._folder = folder
        self._uri = uri
        self._say = say
        self._store: Store | None = None
        self._ready = False
        self._runs: dict[int, str] = {}
        self._listed = False  # whether _runs holds every run MLflow has of this study
        self._saved_at = 0.0
        self._upload_at = 0.0  # when to try again to copy files
        self._upload_wait = _UPLOAD_WAIT_S[0]
        self.upload_error = ""  # why files could not be copied, the last time it was tried
        self.story = before_anything(folder.name)
        self.notebook = Notebook.load(folder.publisher_state)
        if self.notebook.uri != shown(uri):
            self.notebook = Notebook(uri=shown(uri))

    # -- the journal -------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Publish the next batch of the journal; False when there was nothing new."""
        if not self._ready:
            self._open()
        reader = JournalReader(self._folder.journal, self.notebook.offset)
        events = reader.read(BATCH_BYTES)
        if not events:
            return False
        story, plan = self.story.tell(events)
        store = self._require_store()
        try:
            if not self.notebook.parent_run_id:
                self._find_parent(store, story, plan.study)
            for write in plan.runs:
                self._write_run(store, write)
            self._write_study(store, plan.study)
        except Vanished as error:
            if store.has_run(self.notebook.parent_run_id):
                raise Away(str(error)) from error  # one run was deleted under us: _write_run met it already
            self._start_again(store, f"MLflow lost the study ({error}); it is written anew")
            return True
        store.flush()
        self.story = story
        self._done_with(plan, reader.offset)
        return True

    def settle(self) -> None:
        """Mark the parent run when the engine ended without closing the study. The journal must be published."""
        if not self._ready or not self.notebook.parent_run_id:
            return
        snapshot = self.story.snapshot
        if snapshot.closed_at is not None:
            return
        ends = [trial.ended_at or trial.started_at for trial in snapshot.trials.values()]
        at = max([snapshot.opened_at or 0.0, *ends])
        tags = closing_tags(snapshot, "interrupted", "The engine was killed; `tuner resume` goes on.")
        self._write_study(self._require_store(), StudyWrite(tags=tags, status="KILLED", at=round(at * 1000)))
        self._require_store().flush()

    # -- files -------------------------------------------------------------------------------------------

    @property
    def owes_files(self) -> bool:
        """Whether artifacts are still to be copied."""
        return bool(self.notebook.uploads)

    def upload(self, seconds: float) -> bool:
        """Copy files for about so long; False when none were. Metrics never wait for a failing artifact store."""
        now = time.monotonic()
        if not self._ready or not self.notebook.uploads or now < self._upload_at:
            return False
        store = self._require_store()
        left = list(self.notebook.uploads)
        try:
            while left and time.monotonic() < now + seconds:
                for problem in self._upload_one(store, left[0]):
                    self._problem(problem)
                left.pop(0)
            self.upload_error, self._upload_wait = "", _UPLOAD_WAIT_S[0]
        except Away as error:
            self._upload_at = time.monotonic() + self._upload_wait
            self._upload_wait = min(self._upload_wait * 2, _UPLOAD_WAIT_S[1])
            self.upload_error = f"files: {error}"
        owed = {int(name) for name in left if name.isdecimal()}
        running = {number for number, trial in self.story.snapshot.trials.items() if trial.running}
        runs = {number: run for number, run in self.notebook.runs.items() if number in owed | running}
        self._save(uploads=tuple(left), runs=runs)
        return not self.upload_error

    def _upload_one(self, store: Store, name: str) -> list[str]:
        try:
            if name in (SEARCH, SUMMARY):
                return upload_study(store, self.notebook.parent_run_id, self._folder, name)
            number = int(name)
            run_id = self._run_of(store, number)
            snapshot = self.story.snapshot
            most = snapshot.search.limits.artifact_bytes
            return upload_trial(store, run_id, self._folder, snapshot.trials[number], most) if run_id else []
        except Refused as error:
            return [f"files of {name}: {error}"]

    # -- errors ------------------------------------------------------------------------------------------

    def tell_error(self, error: str) -> None:
        """Record why publishing does not progress, or "" once it does again; viewers show it."""
        known = self.notebook
        if error == known.error and known.pid == os.getpid():  # else it is what a publisher before us met
            return
        if error != known.error:
            self._say(f"waiting: {error}" if error else "going on")
        since = known.error_since if known.error else time.time()
        try:
            self._save(error=error, error_since=since if error else 0.0, pid=os.getpid())
        except OSError:
            pass  # it may be the very disk that is full; the next batch tries again

    def _problem(self, problem: str) -> None:
        noted = self.notebook.with_problem(problem)
        if noted is not self.notebook:
            self._say(f"refused: {problem}")
            self.notebook = noted

    # -- opening -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        store = self._store or Store(self._uri, self._folder.path.parent)
        self._store = store
        identity = self._identity()
        if identity is None:  # an empty journal: nothing to say, and nobody to say it of
            return
        known = self.notebook
        if known.identity != identity:
            self.notebook = Notebook(uri=shown(self._uri), identity=identity)
        elif known.parent_run_id and not store.has_run(known.parent_run_id):
            self._start_again(store, "MLflow does not have the study any more; it is written anew")
        self._runs = dict(self.notebook.runs)
        self._listed = False
        self.story = self._story_so_far()
        self._ready = True
        self._save(pid=os.getpid())

    def _identity(self) -> str | None:
        """What tells this study from any other, also from one of the same name in a folder made anew."""
        events = JournalReader(self._folder.journal).read(limit=4096)
        if not events:
            return None
        return hashlib.sha256(f"{self._folder.name} {events[0].at!r}".encode()).hexdigest()[:32]

    def _story_so_far(self) -> Story:
        """The fold of what is published already."""
        story = before_anything(self._folder.name)
        reader = JournalReader(self._folder.journal)
        while pairs := reader.read_with_offsets():
            events = [event for event, offset in pairs if offset <= self.notebook.offset]
            if events:
                story, _ = story.tell(events)
            if len(events) < len(pairs):
                break
        return story

    def _start_again(self, store: Store, why: str) -> None:
        self._say(why)
        self.notebook = Notebook(uri=shown(self._uri), identity=self.notebook.identity)
        self._runs, self._listed = {}, False
        self.story = before_anything(self._folder.name)
        self._save()

    def _require_store(self) -> Store:
        assert self._store is not None
        return self._store

    # -- runs --------------------------------------------------------------------------------------------

    def _find_parent(self, store: Store, story: Story, write: StudyWrite) -> None:
        experiment = store.experiment(story.snapshot.search.experiment or self._folder.name)
        parent = store.parent_run(experiment, self.notebook.identity)
        if parent is None:
            began = write.begins or round((story.first_at or time.time()) * 1000)
            tags = {"tuner.identity": self.notebook.identity, "tuner.study": self._folder.name} | write.tags
            parent = store.create_run(experiment, self._folder.name, began, tags)
            if store.repeated:
                parent = store.parent_run(experiment, self.notebook.identity) or parent
                store.repeated = False
            self._listed = True  # a parent just born has no children
        self._save(experiment_id=experiment, parent_run_id=parent)

    def _run_of(self, store: Store, trial: int) -> str | None:
        """The run id of a trial that was begun; None when MLflow has no run for it."""
        if trial not in self._runs and not self._listed:
            found = store.child_runs(self.notebook.experiment_id, self.notebook.parent_run_id, self._runs)
            self._runs = found | self._runs
            self._listed = True
        return self._runs.get(trial)

    def _write_run(self, store: Store, write: RunWrite) -> None:
        whose = f"trial {write.trial}"
        try:
            run_id = self._run_of(store, write.trial)
            tags = write.tags
            if run_id is None:
                if write.begins is None:
                    raise Refused("MLflow has no run for it")
                run_id = self._create(store, write)
                tags = {}
            for problem in store.log(run_id, write.metrics, write.params, tags):
                self._problem(f"{whose}: {problem}")
            if write.reopens:
                store.reopen(run_id)
            if write.ends:
                store.terminate(run_id, *write.ends)
        except Vanished as error:
            if not store.has_run(self.notebook.parent_run_id):
                raise
            self._problem(f"{whose}: {error}")
        except Refused as error:
            self._problem(f"{whose}: {error}")
        if time.monotonic() - self._saved_at > _SAVE_S:
            self._save(runs=dict(self._runs))

    def _create(self, store: Store, write: RunWrite) -> str:
        assert write.begins is not None
        name = write.tags["mlflow.runName"]
        tags = write.tags | {"mlflow.parentRunId": self.notebook.parent_run_id}
        experiment = self.notebook.experiment_id
        try:
            try:
                run_id = store.create_run(experiment, name, write.begins, tags)
            except Refused:
                if not store.restore_experiment(experiment):  # somebody put it in the bin while we write
                    raise
                run_id = store.create_run(experiment, name, write.begins, tags)
        except Away:
            # The run may have been made, or be made in a moment, and only the answer was lost.
            self._listed = False
            self._save(doubtful=True)
            raise
        self._runs[write.trial] = run_id
        if store.repeated:  # the first call may have made one too
            store.repeated = False
            self._save(doubtful=True)
        return run_id

    def _write_study(self, store: Store, write: StudyWrite) -> None:
        parent = self.notebook.parent_run_id
        for problem in store.log(parent, write.metrics, tags=write.tags):
            self._problem(f"study: {problem}")
        try:
            if write.status == "RUNNING":
                store.reopen(parent)
            elif write.status:
                store.terminate(parent, write.status, write.at)
        except Vanished:
            raise
        except Refused as error:
            self._problem(f"study: {error}")

    def remove_doubles(self) -> None:
        """Delete runs that were made twice because an answer was lost. At the end, when all calls are over."""
        if self._ready and self.notebook.doubtful:
            store = self._require_store()
            store.child_runs(self.notebook.experiment_id, self.notebook.parent_run_id, self._runs)
            self._save(doubtful=False)

    # -- the notebook ------------------------------------------------------------------------------------

    def _done_with(self, plan: Plan, offset: int) -> None:
        uploads = tuple(dict.fromkeys((*self.notebook.uploads, *plan.uploads)))
        owed = {int(name) for name in uploads if name.isdecimal()}
        owed |= {number for number, trial in self.story.snapshot.trials.items() if trial.running}
        runs = {number: run for number, run in self._runs.items() if number in owed}
        self._save(offset=offset, uploads=uploads, runs=runs)

    def _save(self, **changes) -> None:
        self.notebook = replace(self.notebook, **changes, updated_at=time.time())
        self.notebook.save(self._folder.publisher_state)
        self._saved_at = time.monotonic()
