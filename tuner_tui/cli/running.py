"""Verbs that run trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, has_terminal, open_screen
from .options import (
    HERE,
    Baseline,
    FailIf,
    Gpus,
    Headless,
    Json,
    Junit,
    Markdown,
    MlflowWait,
    NoColor,
    Parallel,
    Python,
    Reports,
    Root,
    Sampler,
    SearchName,
    Seed,
    Settings,
    StudyName,
    TrackingUri,
    Trials,
    overrides_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..report.fail_if import Condition
    from ..report.formats import Writer
    from ..search.search import Search
    from ..study.folder import StudyFolder
    from ..study.snapshot import Snapshot


@app.command()
def sweep(
    search: SearchName = None,
    settings: Settings = None,
    trials: Trials = None,
    parallel: Parallel = None,
    seed: Seed = None,
    sampler: Sampler = None,
    gpus: Gpus = None,
    python: Python = None,
    tracking_uri: TrackingUri = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the study; a number is added.")
    ] = None,
    past: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STUDY",
            help="Begin with the trials of another study: optuna:sqlite:///trials.db/NAME, mlflow:EXPERIMENT, or one "
            "of tuner's own. They are shown and counted apart, never run again; a sampler that learns is told them.",
        ),
    ] = None,
    headless: Headless = False,
    report: Reports = None,
    json: Json = None,
    junit: Junit = None,
    markdown: Markdown = None,
    fail_if: FailIf = None,
    baseline: Baseline = None,
    mlflow_wait: MlflowWait = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """Start a study: draw trials from a search file and run them.

    On a terminal its screen opens. With --headless, with any report option, or without a terminal it runs
    here, to its end: Ctrl-C lets the running trials end, a second Ctrl-C stops them.
    """
    from ..headless import check_baseline, parse_conditions, report_writers
    from ..launch import Resources, new_study, settled, spread
    from ..search.builtin import find_search
    from ..search.file import load_search
    from ..sources import find_past

    overrides = overrides_of(settings, trials=trials, parallel=parallel, seed=seed, sampler=sampler)
    conditions = parse_conditions(fail_if or [])
    reports = report_writers(report or [], json, junit, markdown)
    source = find_search(search, Path.cwd())
    loaded = spread(load_search(source, overrides), gpus or "auto")
    before = check_baseline(baseline, conditions, loaded, root, tracking_uri)
    resources = settled(loaded, Resources(gpus or "auto", tracking_uri, python))
    history = find_past(root, past, loaded, tracking_uri) if past else None
    folder = new_study(root, loaded, resources, source, name, history)
    _run(
        folder, root, headless=headless, conditions=conditions, reports=reports, no_color=no_color, baseline=before,
        mlflow_wait=mlflow_wait,
    )  # fmt: skip


@app.command("find-lr")
def find_lr(
    search: SearchName = None,
    settings: Settings = None,
    seed: Seed = None,
    gpus: Gpus = None,
    python: Python = None,
    tracking_uri: TrackingUri = None,
    json: Json = None,
    mlflow_wait: MlflowWait = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """Before a sweep: raise the learning rate once, draw the loss against it, suggest a rate and a range.

    Runs the search's `finder` as the one trial of a study <name>-lr. Hyperparameters that the search varies
    are left at their defaults unless --set fixes them.
    """
    from ..headless import run_finder
    from ..launch import Resources, finder_of, new_study, settled
    from ..search.builtin import find_search
    from ..search.file import load_search

    overrides = overrides_of(settings, seed=seed)
    source = find_search(search, Path.cwd())
    finder = finder_of(load_search(source, overrides), source)
    resources = settled(finder, Resources(gpus or "auto", tracking_uri, python))
    folder = new_study(root, finder, resources, source)
    raise typer.Exit(run_finder(folder, result=json, no_color=no_color, mlflow_wait=mlflow_wait))


@app.command()
def refine(
    study: StudyName = None,
    trial: Annotated[
        int | None,
        typer.Option("--trial", min=0, metavar="N", help="Refine this trial; default: the best one."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Fix meta_lr=0.03 instead of trying several, or fixed.meta_iterations=60. Repeatable.",
        ),
    ] = None,
    trials: Trials = None,
    parallel: Parallel = None,
    seed: Seed = None,
    gpus: Gpus = None,
    python: Python = None,
    tracking_uri: TrackingUri = None,
    headless: Headless = False,
    report: Reports = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """After a sweep: improve its best trial's continuous hyperparameters by hypergradients.

    Runs the search's `refiner` as a study <name>-refined. Each of its trials is one descent from the best trial, with
    another step (meta_lr); its loss, loss/held, is that of trainings on seeds that were not learned on.

    \b
      tuner sweep plain                a random search that comes with the tuner
      tuner refine plain               ... and what hypergradients add to its best trial
    """
    from ..followup import refinement_of
    from ..headless import report_writers
    from ..launch import Resources, find_study, new_study, settled

    overrides = overrides_of(settings, trials=trials, parallel=parallel, seed=seed)
    reports = report_writers(report or [], None, None, None)
    made = refinement_of(find_study(root, study), trial, overrides)
    folder = new_study(root, made, settled(made, Resources(gpus or "auto", tracking_uri, python)), None)
    _run(folder, root, headless=headless, reports=reports, no_color=no_color)


@app.command()
def confirm(
    study: StudyName = None,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="So many of the best trials.")] = 3,
    seeds: Annotated[int, typer.Option("--seeds", min=2, metavar="N", help="How often each is run.")] = 5,
    parallel: Parallel = None,
    seed: Seed = None,
    gpus: Gpus = None,
    python: Python = None,
    tracking_uri: TrackingUri = None,
    headless: Headless = False,
    report: Reports = None,
    mlflow_wait: MlflowWait = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """Run the best trials of a study, and its median trial, again with new seeds: does their order stand?

    The runs are a study of their own, NAME-confirm. It tells the mean of each trial with an interval, which
    differences are more than the noise between seeds, and what the chosen trial is worth, corrected for having been
    chosen.
    """
    from ..followup import confirmation_of
    from ..launch import find_study

    folder = find_study(root, study)
    search = confirmation_of(folder, top, seeds, seed)
    _run_again(
        folder, search, parallel, gpus, python, tracking_uri, headless, report, mlflow_wait, no_color, root
    )


@app.command()
def ablate(
    study: StudyName = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=2, metavar="N", help="How often each point is run.")
    ] = 3,
    start: Annotated[
        int | None,
        typer.Option(
            "--from", min=0, metavar="TRIAL", help="Begin at this trial; default: the target's defaults."
        ),
    ] = None,
    parallel: Parallel = None,
    seed: Seed = None,
    gpus: Gpus = None,
    python: Python = None,
    tracking_uri: TrackingUri = None,
    headless: Headless = False,
    report: Reports = None,
    mlflow_wait: MlflowWait = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """Which hyperparameters make the best trial good? Go from the defaults to it, one step at a time.

    One hyperparameter after the other takes its best value, the most important first. Each point is run with new
    seeds, in a study of its own, NAME-ablate, which tells what each step brings, and which bring nothing.
    """
    from ..followup import ablation_of
    from ..launch import find_study

    folder = find_study(root, study)
    search = ablation_of(folder, start, seeds, seed)
    _run_again(
        folder, search, parallel, gpus, python, tracking_uri, headless, report, mlflow_wait, no_color, root
    )


def _run_again(
    folder: StudyFolder,
    search: Search,
    parallel: int | None,
    gpus: str | None,
    python: str | None,
    tracking_uri: str | None,
    headless: bool,
    report: list[Path] | None,
    mlflow_wait: float | None,
    no_color: bool,
    root: Path,
) -> None:
    """Run trials of a study again, on what that study ran on unless an option says otherwise."""
    from dataclasses import replace

    from ..headless import report_writers
    from ..launch import Resources, new_study, settled

    before = Resources.load(folder)
    search = replace(search, parallel=parallel or search.parallel)
    wanted = Resources(gpus or before.gpus, tracking_uri or before.tracking_uri, python or before.python)
    reports = report_writers(report or [], None, None, None)
    made = new_study(root, search, settled(search, wanted), None)
    _run(made, root, headless=headless, reports=reports, no_color=no_color, mlflow_wait=mlflow_wait)


@app.command()
def resume(
    study: StudyName = None,
    trials: Trials = None,
    parallel: Parallel = None,
    gpus: Gpus = None,
    python: Python = None,
    tracking_uri: TrackingUri = None,
    headless: Headless = False,
    report: Reports = None,
    json: Json = None,
    junit: Junit = None,
    markdown: Markdown = None,
    fail_if: FailIf = None,
    baseline: Baseline = None,
    mlflow_wait: MlflowWait = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """Go on with a study that was stopped, whose engine was killed, or that should get more trials.

    Trials that were running are counted as interrupted; the rest of the plan runs with the parameters it
    would have had.
    """
    from ..headless import check_baseline, parse_conditions, report_writers
    from ..launch import find_study, prepare_resume

    folder = find_study(root, study)
    conditions = parse_conditions(fail_if or [])
    reports = report_writers(report or [], json, junit, markdown)
    before = check_baseline(baseline, conditions, folder.snapshot().search, root, tracking_uri)
    prepare_resume(
        folder, trials=trials, parallel=parallel, gpus=gpus, tracking_uri=tracking_uri, python=python
    )
    _run(
        folder, root, headless=headless, conditions=conditions, reports=reports, no_color=no_color, baseline=before,
        mlflow_wait=mlflow_wait,
    )  # fmt: skip


def _run(
    folder: StudyFolder,
    root: Path,
    *,
    headless: bool,
    reports: Sequence[tuple[Writer, Path]],
    no_color: bool,
    conditions: Sequence[Condition] = (),
    baseline: Snapshot | None = None,
    mlflow_wait: float | None = None,
) -> None:
    """Run a study here to its end, or detached with its screen open where nothing speaks against one."""
    from ..headless import run_headless
    from ..launch import run_detached
    from ..sources.journal import JournalSource

    if headless or reports or conditions or not has_terminal():
        code = run_headless(
            folder, conditions, reports=reports, no_color=no_color, baseline=baseline, mlflow_wait=mlflow_wait
        )
        raise typer.Exit(code)
    run_detached(folder)
    open_screen(root, JournalSource(folder))
