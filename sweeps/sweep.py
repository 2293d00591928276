"""A sweep from end to end: checks, search, final evaluation, report."""

import os
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
import torch

from fpt.phases import phase
from pipeline.checks import check_run
from pipeline.config import FOUND, configuration_hash, plain_run, with_hyper_parameters
from pipeline.ledger import Ledger
from pipeline.session import open_session
from pipeline.storage import Home
from sweeps.config import Search, Sweep
from sweeps.final import Finding, judge, problems_to_judge
from sweeps.halving import halving
from sweeps.progress import Progress, shown
from sweeps.racing import Rule, racing
from sweeps.report import as_markdown, write_report
from sweeps.search import generation_sizes, search_settings
from sweeps.space import check_space, corners
from sweeps.tracking import Tracker, check_tracking, without_secrets

AT_ONCE, MINUTES = 10.0, 10  # seconds and minutes that the end of a sweep waits for MLflow
BESIDE = frozenset({"table"})  # sections that say nothing about a sweep


def check_sweep(sweep: Sweep) -> Search:
    """Everything that can be known to be wrong before anything is written. Raises ValueError in one sentence."""
    search = sweep.search
    if search is None:
        raise ValueError("search must be in CONFIG for a sweep but is missing")
    if search.split == sweep.episodes.split:
        raise ValueError(
            f"search.split must differ from episodes.split, or the winner is judged on classes it was chosen by, "
            f"but both are {search.split!r}"
        )
    check_space(search.space, sweep.solver.name)
    searched = plain_run(sweep, search.split)
    check_run(searched, "search.split")
    check_run(plain_run(sweep))
    for values in (*corners(search.space, sweep.solver.name), *search.first.values()):
        check_run(with_hyper_parameters(searched, values))
    check_tracking(tracking_uri(sweep))
    return search


def tracking_uri(sweep: Sweep) -> str:
    """Where MLflow records: as configured or as MLFLOW_TRACKING_URI says, or a SQLite database in the sweep's home.

    Raises ValueError where the home is not on a disk and nothing else is said.
    """
    if named := sweep.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"):
        return named
    if "://" in sweep.home and not sweep.home.startswith("file://"):
        raise ValueError(
            f"tracking_uri (or MLFLOW_TRACKING_URI) must be set where home is on an object store, but home is "
            f"{sweep.home!r} and neither is"
        )
    return f"sqlite:///{Home(sweep.home).local / 'mlflow.db'}"


def stopping(search: Search) -> Rule:
    """Which trials go on after a rung, as the search wants it."""
    if search.stop == "racing":
        return racing(search.trials, max(1, len(search.rungs) - 1), search.delta)
    return halving(search.keep)


def planned_problems(sweep: Sweep, search: Search) -> int:
    """How many (setting, episode) problems a sweep has, as far as is known before it runs; a race stops some more."""
    keep, total = halving(search.keep) if search.stop == "halving" else lambda rung, left: set(left), 0
    for size in generation_sizes(search):
        left: dict[str, list[float | None]] = {f"0.{i}": [0.0] for i in range(size)}
        for rung, (start, stop) in enumerate(zip((0, *search.rungs), search.rungs, strict=False)):
            if rung > 0:
                left = {trial: left[trial] for trial in keep(rung, left)}
            total += len(left) * (stop - start)
    return total + problems_to_judge(sweep, search)


def sweep_identity(sweep: Sweep, limits: dict[str, Any], beside: Set[str] = BESIDE) -> str:
    """Tells one sweep or table from another: all that can change its course, and nothing else, so no `beside`."""
    described = sweep.model_dump(by_alias=True, exclude={"compute", "home", "tracking_uri", *beside}, mode="json")
    return configuration_hash({**described, **{key: limits[key] for key in FOUND}})


def run_sweep(sweep: Sweep, address: str | None) -> tuple[Finding, dict[str, str], dict[str, Any]]:
    """Runs a sweep, or goes on with it where the same command stopped. Also returns where MLflow has it, and what the
    dispatcher says of the work.

    Raises ValueError for bad input, before anything is written.
    """
    with phase("checks"):
        search = check_sweep(sweep)
    home = Home(sweep.home)
    with open_session(plain_run(sweep), home, address, stopping(search)) as session:
        identity = sweep_identity(sweep, session.limits)
        with phase("MLflow"):
            tracker = Tracker(tracking_uri(sweep), sweep.name)
            described = parameters(sweep, session.limits)
            tracker.start(f"sweep {identity}", f"{sweep.name} {identity}", described, {"fpt.kind": "sweep"})
        with recorded(tracker):
            progress = Progress(planned_problems(sweep, search))
            with shown(progress, session.dispatcher):
                proposals = search_settings(sweep, search, session, tracker, progress, home, identity)
                finding = judge(sweep, search, session, proposals, progress)
            ledger = Ledger(home.uri_of("ledger"))
            files = write_report(finding, sweep, session, ledger, home.local / "sweeps" / identity)
            home.keep(files)
            _summarise(tracker, finding, sweep, files)
            work = ray.get(session.dispatcher.status.remote())
    where = {
        "tracking_uri": without_secrets(tracker.tracking_uri),
        "experiment": tracker.experiment,
        "run_id": tracker.run_id,
    }
    return finding, where, work


@contextmanager
def recorded(tracker: Tracker) -> Iterator[None]:
    """Has all of the block recorded when it ends, also where it fails: what ended it is then what is told."""
    try:
        yield
    except BaseException:
        tracker.fail()
        with suppress(Exception):
            wait_for(tracker)
        raise
    wait_for(tracker)


def wait_for(tracker: Tracker) -> None:
    """A server that is away may be back within minutes; what it has not been told, the same command tells it again."""
    if tracker.flush(AT_ONCE) == 0:
        return
    print(f"fpt: MLflow does not answer; waiting {MINUTES} minutes for it", file=sys.stderr, flush=True)
    if left := tracker.flush(60 * MINUTES):
        uri = without_secrets(tracker.tracking_uri)
        print(
            f"fpt: {left} entries are not in MLflow ({uri}), which has been away; the results are in the ledger, and "
            "the same command records them once it is back",
            file=sys.stderr,
            flush=True,
        )


def _summarise(tracker: Tracker, finding: Finding, sweep: Sweep, files: list[Path]) -> None:
    best, baseline = finding.best, finding.baseline
    metrics = {
        "episodes": best.estimate.episodes if best.estimate else None,
        "accuracy": best.estimate.mean if best.estimate else None,
        "ci95": best.estimate.ci95 if best.estimate else None,
        "baseline_accuracy": baseline.estimate.mean if baseline.estimate else None,
        "difference": best.difference.mean if best.difference else None,
        "difference_ci95": best.difference.ci95 if best.difference else None,
        "p": best.p,
        "p_holm": best.p_holm,
        "again_difference": finding.again.difference.mean if finding.again and finding.again.difference else None,
        **best.localisation,
    }
    tracker.summarise(
        metrics, best.estimate.episodes if best.estimate else sweep.final.episodes, as_markdown(finding, sweep), files
    )


def parameters(sweep: Sweep, limits: dict[str, Any], beside: Set[str] = BESIDE) -> dict[str, Any]:
    """The configuration, flat and without `beside`, and what the workers found."""
    flat: dict[str, Any] = {"torch": torch.__version__}
    for key, value in sweep.model_dump(by_alias=True, mode="json", exclude={"home", "tracking_uri", *beside}).items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    return flat | {key: limits[key] for key in FOUND}
