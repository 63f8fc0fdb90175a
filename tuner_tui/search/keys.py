"""The keys of a search file, each with what it takes and what it means, in one list.

The reader (file.py) takes values by it, `--set` knows the names by it, and the JSON Schema (schema.py) is made from
it. A key's default is that of the field of `Search` or `Limits` of the same name.
"""

from __future__ import annotations

from .options import Named
from .pruning import PRUNERS
from .sampling import SAMPLERS
from .search import ARTIFACTS_GB, GRACE_SECONDS, LOG_MB, SILENT_SECONDS, TRIAL_SECONDS, Search
from .space import Space
from .values import Amount, Boolean, Command, Count, File, Function, Key, OneOf, Text, Whole

DEFAULTS = Search(name="", target="", objective="loss", space=Space())  # "": none, or said by the file's name

# Above the tables, in the order of docs/search-files.md.
KEYS = (
    Key("name", Text(), "Name of the study; a number is added. Default: the file's name."),
    Key(
        "target", Function(),
        "What runs a trial: module:function, looked up beside this file first; or optuna:module:objective.",
    ),
    Key(
        "command", Command(),
        "Instead of a target: a script to run, as a list of arguments. {name} is a hyperparameter, {rest} all others "
        "as --name=value; {seed} {out} {device} {trial} {slot} {folder} {params_file} are filled in. No shell reads "
        "it.",
    ),
    Key(
        "cwd", File(),
        "Where the command runs. {out} gives each trial a folder of its own; {folder} is that of this file. "
        "Default: {folder}.",
    ),
    Key("objective", Text(), "The measurement that is the loss."),
    Key("direction", OneOf(("minimize", "maximize")), "Which way the objective is better."),
    Key(
        "sampler", Named(SAMPLERS),
        "How trials are drawn; a table [sampler] sets the options of one. tpe, gp and cmaes learn from the trials "
        "that have ended.",
    ),
    Key(
        "pruner", Named(PRUNERS),
        "What ends a trial early whose loss is worse than that of others at the same step.",
    ),
    Key("trials", Whole(1), "How many trials in all."),
    Key("parallel", Whole(1), "How many trials run at once."),
    Key("seed", Whole(0), "Of the draws, and of each trial's own seed."),
    Key(
        "isolation", OneOf(("fork", "spawn")),
        "How a trial's process starts: from a warm fork server, or as a fresh interpreter, for libraries that can't "
        "be forked.",
    ),
    Key(
        "python", Text(empty=True),
        "The interpreter of the trials. Default: the .venv beside this file or above it, else the active "
        "environment, else tuner's own.",
    ),
    Key("gpus_per_trial", Whole(1), "How many GPUs a trial has; it sees these only."),
    Key(
        "trials_per_gpu", Whole(0),
        "How many trials share a GPU. `parallel` is then as many as all GPUs take, unless it is given. 0: as many as "
        "`parallel` asks for.",
    ),
    Key("retries", Whole(0), "How often a trial is tried again that something outside of it has ended."),
    Key(
        "experiment", Text(empty=True),
        "Of MLflow, for several studies. Default: MLFLOW_EXPERIMENT_NAME, else the study's own name.",
    ),
    Key("share_run", Boolean(), "Trials log to MLflow into their own run of the study."),
    Key(
        "system_metrics", Boolean(),
        "Memory, processor and GPU use of each trial are recorded as MLflow's system metrics, every ten seconds.",
    ),
    Key(
        "finder", Function(empty=True), "module:function that `tuner find-lr` runs before a sweep. Default: none."
    ),
    Key(
        "refiner",
        Function(empty=True),
        "module:function that `tuner refine` runs: it improves the best trial by hypergradients. Default: none.",
    ),
)  # fmt: skip

# Of the table [limits].
LIMITS = (
    Key(
        "trial_seconds", Amount("seconds"),
        f"A trial is ended after so long. Default: {TRIAL_SECONDS:g}, one day.",
    ),
    Key(
        "silent_seconds", Amount("seconds"),
        f"A trial is ended after so long without a measurement. Default: {SILENT_SECONDS:g} for a generator, none "
        "for a plain function, which reports only at its end.",
    ),
    Key(
        "grace_seconds", Amount("seconds"),
        f"Time a trial has to stop before it is killed. Default: {GRACE_SECONDS:g}.",
    ),
    Key(
        "same_failures", Count(),
        "The study stops when so many trials in a row never start for the same reason.",
    ),
    Key(
        "memory_gb", Amount("gigabytes"),
        "Resident memory (GiB) of a trial and its child processes. Default: no limit.",
    ),
    Key(
        "log_mb", Amount("megabytes"),
        f"Size (MiB) of a trial's log; what is more is left out of its middle. Default: {LOG_MB:g}.",
    ),
    Key(
        "artifacts_gb", Amount("gigabytes"),
        f"How much (GiB) of a trial's `out` is copied to MLflow; all stays in its folder. Default: {ARTIFACTS_GB:g}.",
    ),
)  # fmt: skip

SCALAR_KEYS = tuple(key.name for key in KEYS)
LIMIT_KEYS = tuple(key.name for key in LIMITS)
