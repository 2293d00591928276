"""The table of a data set, as in the paper: solvers x shots, without and with prompts. What `fpt table` does."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from pipeline.checks import check_run
from pipeline.config import FROZEN, STEERED, Run, plain_run
from pipeline.session import Session, open_session
from pipeline.storage import Home
from sweeps.config import Sweep, Table
from sweeps.layouts import Cell, as_markdown, write_files
from sweeps.progress import Progress, shown
from sweeps.statistics import estimate, paired_difference
from sweeps.sweep import parameters, recorded, sweep_identity, tracking_uri
from sweeps.tracking import Tracker, check_tracking

BESIDE = frozenset({"search", "final"})  # sections that say nothing about a table


@dataclass(frozen=True)
class Pair:
    """One solver at one shot: its run without prompts and, where it takes any, the one with them."""

    label: str
    runs: tuple[Run, ...]
    episodes: int

    @property
    def shot(self) -> int:
        return self.runs[0].episodes.shot


def pairs_of(sweep: Sweep, table: Table) -> list[Pair]:
    """What a table asks for, shot by shot."""
    pairs = []
    for shot in table.shots:
        for label in table.solvers:
            without, prompted = (table.run(plain_run(sweep), label, shot, prompts) for prompts in (False, True))
            frozen, steered = without.solver.name in FROZEN, without.solver.name in STEERED
            runs = (without, prompted) if steered and prompted.prompts.alpha > 0 else (without,)
            episodes = table.episodes.closed_form if frozen else table.episodes.fine_tuned
            pairs.append(Pair(label, runs, episodes))
    return pairs


def check_table(sweep: Sweep) -> Table:
    """Everything that can be known to be wrong before anything is written. Raises ValueError in one sentence."""
    if sweep.table is None:
        raise ValueError("table must be in CONFIG for a table but is missing")
    for pair in pairs_of(sweep, sweep.table):
        for run in pair.runs:
            try:
                check_run(run)
            except ValueError as error:
                raise ValueError(f"table.solvers.{pair.label}, {pair.shot}-shot: {error}") from error
    check_tracking(tracking_uri(sweep))
    return sweep.table


def make_table(sweep: Sweep, address: str | None) -> tuple[list[Cell], list[Path]]:
    """The cells of a table and the files that hold them. Only what the ledger lacks is computed.

    Raises ValueError for bad input, before anything is written.
    """
    pairs = pairs_of(sweep, check_table(sweep))
    home = Home(sweep.home)
    with open_session(plain_run(sweep), home, address) as session:
        identity = sweep_identity(sweep, session.limits, BESIDE)
        tracker = Tracker(tracking_uri(sweep), sweep.name)
        tracker.start(
            f"table {identity}",
            f"{sweep.name} table {identity}",
            parameters(sweep, session.limits, BESIDE),
            {"fpt.kind": "table"},
        )
        with recorded(tracker):
            cells = _solved(session, pairs)
            files = write_files(cells, plain_run(sweep), home.local / "tables" / sweep.name)
            home.keep(files)
            most = max(pair.episodes for pair in pairs)
            tracker.summarise(
                {"episodes": most, **metrics_of(cells)}, most, as_markdown(cells, plain_run(sweep)), files
            )
    return cells, files


def _solved(session: Session, pairs: Sequence[Pair]) -> list[Cell]:
    dispatcher = session.dispatcher
    progress = Progress(sum(len(pair.runs) * pair.episodes for pair in pairs))
    with shown(progress, dispatcher):
        asked = [dispatcher.solve.remote(list(pair.runs), list(range(pair.episodes))) for pair in pairs]
        rows = ray.get(asked)
    hashes = ray.get([dispatcher.hashes_of.remote(list(pair.runs)) for pair in pairs])
    return [cell for pair, own, named in zip(pairs, rows, hashes, strict=True) for cell in cells_of(pair, own, named)]


def cells_of(pair: Pair, rows: Sequence[list[dict[str, Any]]], hashes: Sequence[str]) -> list[Cell]:
    """The cells of a pair, from its runs' rows on the same episodes."""
    accuracies = [None if any(row["failed"] for row in own) else [row["accuracy"] for row in own] for own in rows]
    without, cells = accuracies[0], []
    for number, (own, config_hash) in enumerate(zip(accuracies, hashes, strict=True)):
        paired = number > 0 and own is not None and without is not None
        cells.append(
            Cell(
                solver=pair.label,
                shot=pair.shot,
                prompts=number > 0,
                episodes=len(rows[number]),
                config_hash=config_hash,
                estimate=estimate(own) if own else None,
                difference=paired_difference(own or [], without or []) if paired else None,
            )
        )
    return cells


def metrics_of(cells: Sequence[Cell]) -> Mapping[str, float | None]:
    """Accuracies and differences by names that MLflow takes, like `lora/1-shot/with prompts`."""
    metrics: dict[str, float | None] = {}
    for cell in cells:
        name = f"{re.sub(r'[^A-Za-z0-9_. -]', '_', cell.solver)}/{cell.shot}-shot"
        metrics[f"{name}/{'with' if cell.prompts else 'without'} prompts"] = (
            cell.estimate.mean if cell.estimate else None
        )
        if cell.difference is not None:
            metrics[f"{name}/difference"] = cell.difference.mean
    return metrics
