"""The arguments and options that several commands share, each declared once, and what a shell completes them with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

HERE = Path("mlruns")


def studies_here(context: typer.Context, incomplete: str) -> list[str]:
    """Names of studies, for the shell's completion."""
    from ..study.folder import list_studies

    root = context.params.get("root") or os.environ.get("TUNER_MLRUNS") or "mlruns"
    return [folder.name for folder in list_studies(Path(root)) if folder.name.startswith(incomplete)]


def searches_here(incomplete: str) -> list[str]:
    """Built-in searches and search files, for the shell's completion."""
    from ..search.builtin import builtin_searches

    files = [path.name for path in Path.cwd().glob("*.toml") if path.name != "pyproject.toml"]
    return [name for name in (*builtin_searches(), *files) if name.startswith(incomplete)]


Root = Annotated[
    Path,
    typer.Option(
        "--mlruns", envvar="TUNER_MLRUNS", metavar="DIR", help="Folder of the studies and of MLflow's store."
    ),
]
StudyName = Annotated[
    str | None,
    typer.Argument(
        metavar="STUDY",
        autocompletion=studies_here,
        help="A study's name or its beginning; default: the last one.",
    ),
]
StudyHere = Annotated[
    str | None,
    typer.Argument(
        metavar="STUDY",
        autocompletion=studies_here,
        help="A study's name or its beginning, or an address such as optuna:sqlite:///trials.db; "
        "default: the last one.",
    ),
]
StudyInside = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="Which study, where the address has several; default: the newest."),
]
Objective = Annotated[
    str | None,
    typer.Option("--objective", metavar="METRIC", help="In MLflow: which metric is the loss."),
]
Direction = Annotated[
    str | None,
    typer.Option(
        "--direction", metavar="minimize|maximize", help="In MLflow: which way is better; default minimize."
    ),
]
SpaceFile = Annotated[
    Path | None,
    typer.Option(
        "--space",
        metavar="FILE",
        help="In MLflow: a search file whose [space] says what was varied; default: what the values tell.",
    ),
]
Headless = Annotated[
    bool,
    typer.Option("--headless", help="No screen: a progress bar, or plain lines where there is no terminal."),
]
SearchName = Annotated[
    str | None,
    typer.Argument(
        metavar="SEARCH",
        autocompletion=searches_here,
        help="A search file or a built-in search; default: ./tuner.toml, else `caption`.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Over the file: a key of it, or a hyperparameter to fix. Repeatable.",
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Seed of the search.")]
Trials = Annotated[int | None, typer.Option("--trials", min=1, metavar="N", help="How many trials in all.")]
Sampler = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        metavar="NAME",
        help="How trials are drawn: random, qmc (evenly spread), grid; tpe, gp, cmaes, controller learn.",
    ),
]
Parallel = Annotated[
    int | None, typer.Option("--parallel", "-p", min=1, metavar="N", help="How many trials at once.")
]
Gpus = Annotated[
    str | None,
    typer.Option(
        "--gpus", metavar="WHICH", help="auto (all there are), none, or numbers such as 0,1; used in turn."
    ),
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="PATH",
        help="The interpreter of the trials; default: the search file's `python`, else the .venv beside it or "
        "above, else the active environment, else tuner's own.",
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="An MLflow server; default: MLFLOW_TRACKING_URI, else mlruns/mlflow.db.",
    ),
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        metavar="CONDITION",
        help="Exit with 1 when this holds: 'best > 0.5', 'no_start > 20%', 'valid/acc < 0.9', 'seconds > 3600', "
        "'best > baseline * 1.02'. Repeatable.",
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="STUDY",
        help="What `baseline` in --fail-if means: a report of --json, a study, or an address such as "
        "mlflow:EXPERIMENT.",
    ),
]
MlflowWait = Annotated[
    float | None,
    typer.Option(
        "--mlflow-wait",
        min=0,
        metavar="SECONDS",
        help="At the end, after the reports, wait so long for an MLflow that does not answer; default 30.",
    ),
]
Reports = Annotated[
    list[Path] | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a report to this file: .json .xml (JUnit) .md .html .csv .txt .png .svg. Repeatable.",
    ),
]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON to this file.")
]
Junit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit report to this file.")
]
Markdown = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Write a Markdown report to this file.")
]
NoColor = Annotated[bool, typer.Option("--no-color", help="Plain text; NO_COLOR works too.")]


def overrides_of(settings: list[str] | None, **options: object) -> list[str]:
    """What `--set` says, and after it the options that are given, as `load_search` takes them."""
    return [*(settings or ()), *(f"{key}={value}" for key, value in options.items() if value is not None)]
