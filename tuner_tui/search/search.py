"""A search: everything needed to run a study, validated. It says nothing about the study's progress.

It travels as JSON inside the journal's first event, so a viewer or a resuming engine needs no search file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from shlex import join
from typing import Any

from .again import Again
from .reading import JSON_LINES, Read
from .space import (
    DISTRIBUTIONS,
    Float,
    Hyperparameter,
    Space,
    distribution_from_json,
    distribution_to_json,
    frozen,
    plain,
)

TRIAL_SECONDS = 24 * 3600.0  # longer than any run people watch; a bound at all, so a hang ends some day
SILENT_SECONDS = 600.0  # a first compile can take minutes; a hang lasts for ever. Only for targets that yield
GRACE_SECONDS = 10.0  # from asking a trial to stop until it is killed: time to save a checkpoint
# Ten in a row with the same last words are no bad luck: where half of a space fails, one such row in a thousand is.
SAME_FAILURES = 10
# A progress bar drawn ten times a second prints 86 MB in a day. A thousand trials that print without end fill 100 GB.
LOG_MB = 100.0
_LEAST_LOG = 4096  # bytes: room for the line that says what is missing, and for a few others
# Of what a trial leaves in `out`: the checkpoints of most models. In a store on this disk they take their room twice.
ARTIFACTS_GB = 10.0

SWEEP = "sweep"
CONFIRMATION = "confirmation"  # chosen trials of another study with new seeds
ABLATION = (
    "ablation"  # the path from the defaults to the best trial of another study, each step with several seeds
)
RATE_FINDER = "rate_finder"  # one trial that raises the learning rate step by step


@dataclass(frozen=True)
class Limits:
    """When the engine ends a trial: seconds, and gigabytes (GiB) of resident memory; when it ends the study; and how
    much is kept of what a trial prints (MiB) and leaves behind (GiB)."""

    trial_seconds: float = TRIAL_SECONDS
    silent_seconds: float | None = None  # None: SILENT_SECONDS for a target that yields, else no limit
    grace_seconds: float = GRACE_SECONDS
    same_failures: int = SAME_FAILURES  # so many in a row that never start for one reason end the study
    memory_gb: float | None = None  # resident memory of a trial and its children; None: the machine's own
    log_mb: float = LOG_MB  # of a trial's log; what is more is left out of its middle
    artifacts_gb: float = ARTIFACTS_GB  # of a trial's `out`, so much is copied to MLflow

    @property
    def log_bytes(self) -> int:
        """The size of a trial's log at most."""
        return max(_LEAST_LOG, int(self.log_mb * 2**20))

    @property
    def artifact_bytes(self) -> int:
        """The size of all that is copied to MLflow of what a trial leaves in `out`, at most."""
        return int(self.artifacts_gb * 2**30)


@dataclass(frozen=True)
class Search:
    """The question a study answers: what is run, what is varied, and how many trials there are."""

    name: str
    target: str  # "module:function"; "" where a command is run instead
    objective: str
    space: Space
    direction: str = "minimize"
    sampler: str = "random"  # one of sampling.SAMPLERS
    sampler_options: Mapping[str, Any] = field(default_factory=dict)  # those that are given
    pruner: str = "none"  # one of pruning.PRUNERS
    pruner_options: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 20
    parallel: int = 1
    seed: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    # Parameter -> the variable of the environment whose value it gets. The value is recorded nowhere.
    secret: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    isolation: str = "fork"  # from a warm fork server, or "spawn": a fresh interpreter a trial
    finder: str = ""  # "module:function" that finds a learning rate before the sweep; "": none
    refiner: str = ""  # "module:function" that improves a study's best trial; "": none
    folder: str = ""  # of the search file: the target is looked up here first
    command: tuple[str, ...] = ()  # a script to run, with places for hyperparameters (command.py)
    cwd: str = ""  # where the command runs, with places as in the command; "": `folder`
    read: Read = JSON_LINES  # where the measurements of the command come from
    python: str = ""  # the interpreter of the trials, as the file has it; "": see engine/interpreter.py
    gpus_per_trial: int = 1
    trials_per_gpu: int = 0  # how many trials may share a GPU; 0: as many as `parallel` asks for
    retries: int = 0  # how often a trial is tried again that something outside of it has ended
    experiment: str = ""  # of MLflow, which the study is a run of; "": one of the study's own name
    share_run: bool = False  # trials find the id of their MLflow run, so that what they log lands there
    system_metrics: bool = False  # what trials use is measured too
    suggested: tuple[
        str, ...
    ] = ()  # hyperparameters that became known while trials ran; these draw them themselves
    kind: str = SWEEP  # or RATE_FINDER, CONFIRMATION, ABLATION
    again: Again | None = None  # what a confirmation or an ablation runs instead of what a sampler draws
    rate: str = ""  # of a rate finder: what the search it was made from calls the learning rate

    @property
    def sign(self) -> int:
        """+1 when smaller is better, -1 when larger is."""
        return 1 if self.direction == "minimize" else -1

    @property
    def drawn(self) -> Space:
        """The part of the space that the tuner draws from."""
        return Space(tuple(h for h in self.space if h.name not in self.suggested))

    @property
    def runs(self) -> str:
        """What its trials run, for a person: the target, or the command as a shell would have it."""
        return self.target or join(self.command)

    def to_json(self) -> dict[str, Any]:
        """The search as values that JSON can hold; `from_json` reads it back."""
        record = {key: value for key, value in vars(self).items() if key not in ("space", "limits")}
        record["command"] = list(self.command)
        record["suggested"] = list(self.suggested)
        record["read"] = asdict(self.read)
        for key in ("fixed", "secret", "sampler_options", "pruner_options"):
            record[key] = dict(record[key])
        record["limits"] = asdict(self.limits)
        record["again"] = self.again and self.again.to_json()
        record["space"] = [
            {
                "name": h.name,
                "group": h.group,
                "distribution": distribution_to_json(h.distribution),
                "when": [[other, [plain(value) for value in allowed]] for other, allowed in h.when],
                "role": h.role,
            }
            for h in self.space
        ]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Search:
        """The search again. Unknown keys, which a newer version wrote, are ignored.

        Raises KeyError, TypeError, ValueError or AttributeError for what was never a search.
        """
        values = {f.name: record[f.name] for f in fields(cls) if f.name in record}
        limits = {f.name for f in fields(Limits)}
        values["limits"] = Limits(**{k: v for k, v in values.get("limits", {}).items() if k in limits})
        values["space"] = space_from_json(values.get("space", []))
        values["again"] = Again.from_json(values.get("again"))
        values["command"] = tuple(values.get("command", ()))
        values["suggested"] = tuple(values.get("suggested", ()))
        read = values.get("read", {})
        values["read"] = Read(tuple(read.get("patterns", ())), read.get("file", ""), read.get("step", "step"))
        return replace(UNKNOWN, **values)


UNKNOWN = Search("", "", "", Space(), trials=0)  # of a study whose journal has not said yet


def finder_search(search: Search) -> Search:
    """The run of a search's finder: one trial, with the fixed values; what the search varies has its default."""
    names = (*search.space.names, *search.fixed)
    rates = (name for name in names if name.rpartition(".")[2] in ("lr", "learning_rate"))
    return replace(
        search, name=f"{search.name}-lr", target=search.finder, command=(), objective="loss", direction="minimize",
        sampler="random", sampler_options={}, pruner="none", pruner_options={}, trials=1, parallel=1,
        trials_per_gpu=0, space=Space(), kind=RATE_FINDER, rate=next(rates, "lr"),
    )  # fmt: skip


STEPS = Float(0.01, 0.1, log=True)  # of the outer optimiser: which one suits is not known, so some are tried
REFINEMENTS = 4


def refine_search(search: Search, params: Mapping[str, Any], which: str) -> Search:
    """The search that refines the trial with these parameters. `which` names the trial, for the record."""
    fixed = {**search.fixed, **params, "refines": which}
    fixed.pop("meta_lr", None)
    return replace(
        search, name=f"{search.name}-refined", target=search.refiner, command=(), objective="loss/held",
        direction="minimize", sampler="random", sampler_options={}, pruner="none", pruner_options={},
        trials=REFINEMENTS, fixed=fixed, finder="", suggested=(),
        space=Space((Hyperparameter("meta_lr", STEPS),)),
    )  # fmt: skip


def space_from_json(records: list[Mapping[str, Any]]) -> Space:
    """The space again, without distributions that only a newer version knows."""
    records = [record for record in records if record["distribution"]["type"] in DISTRIBUTIONS]
    return Space(
        tuple(
            Hyperparameter(
                name=record["name"],
                distribution=distribution_from_json(record["distribution"]),
                group=record.get("group", ""),
                when=tuple(
                    (other, tuple(frozen(value) for value in allowed))
                    for other, allowed in record.get("when", [])
                ),
                role=record.get("role", ""),
            )
            for record in records
        )
    )
