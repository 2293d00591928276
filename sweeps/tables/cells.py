"""A table's cells are worked out here from the rows of its runs: accuracies, differences, corrections, means."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, sqrt
from typing import Any

from pipeline.storage.ledger import Row
from sweeps.schema.table import MEAN
from sweeps.statistics.estimates import Estimate, estimate, holm, paired_difference, paired_p_value
from sweeps.statistics.rows import accuracies_of
from sweeps.tables.plan import Pair, Place

FIELDS = (
    "backbone",
    "dataset",
    "solver",
    "shot",
    "prompts",
    "episodes",
    "accuracy",
    "ci95",
    "difference",
    "difference_ci95",
    "p_value",
    "p_holm",
    "config_hash",
)


@dataclass(frozen=True)
class Cell:
    """A cell is a solver at a shot on a data set and a backbone, with or without prompts.

    `estimate` is None where an episode failed. `difference` is that to the same cell without prompts, `p_value` that of
    the paired t test that it is 0, `p_holm` the same after Holm's correction for all differences of the table; they are
    None where there is no difference, as is `config_hash` for a mean over data sets.
    """

    backbone: str
    dataset: str
    solver: str
    shot: int
    prompts: bool
    episodes: int
    config_hash: str | None
    estimate: Estimate | None
    difference: Estimate | None
    p_value: float | None = None
    p_holm: float | None = None


def cells_of(place: Place, pair: Pair, rows: Sequence[list[Row]], hashes: Sequence[str]) -> list[Cell]:
    """Returns the cells of a pair, from its runs' rows on the same episodes. `p_holm` is not known yet."""
    accuracies = [accuracies_of(of_run) for of_run in rows]
    without, cells = accuracies[0], []
    step = 1 / rows[0][0]["queries"] if rows[0] else 0.0
    for number, (scores, config_hash) in enumerate(zip(accuracies, hashes, strict=True)):
        cell = Cell(
            backbone=place.backbone,
            dataset=place.dataset,
            solver=pair.label,
            shot=pair.shot,
            prompts=number > 0,
            episodes=len(rows[number]),
            config_hash=config_hash,
            estimate=estimate(scores, step) if scores else None,
            difference=None,
        )
        if number > 0 and scores and without:
            p_value = paired_p_value(scores, without, step) if len(scores) > 1 else None
            cell = replace(cell, difference=paired_difference(scores, without, step), p_value=p_value)
        cells.append(cell)
    return cells


def judged(cells: Sequence[Cell]) -> list[Cell]:
    """Returns all cells of a table, their p-values corrected for how many they are (Holm), and means over data sets."""
    tested = [cell.p_value for cell in cells if cell.p_value is not None]
    corrected = iter(holm(tested))
    whole = [cell if cell.p_value is None else replace(cell, p_holm=next(corrected)) for cell in cells]
    return [*whole, *means_of(whole)]


def means_of(cells: Sequence[Cell]) -> list[Cell]:
    """Returns means over the data sets, for each solver and shot on each backbone, where there are several
    data sets and all have a cell.

    Data sets are independent: half an interval is the root of the sum of their squares, divided by how many they are.
    """
    datasets = len(values_of(cells, "dataset"))
    groups: dict[tuple[str, int, str, bool], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.backbone, cell.shot, cell.solver, cell.prompts), []).append(cell)
    return [
        replace(
            group[0],
            dataset=MEAN,
            episodes=sum(cell.episodes for cell in group),
            config_hash=None,
            estimate=_mean([cell.estimate for cell in group]),
            difference=_mean([cell.difference for cell in group]),
            p_value=None,
            p_holm=None,
        )
        for group in groups.values()
        if len(group) == datasets > 1
    ]


def _mean(estimates: Sequence[Estimate | None]) -> Estimate | None:
    """Returns the mean of independent estimates, None where any of them is missing."""
    known = [single for single in estimates if single is not None]
    if len(known) < len(estimates):
        return None
    half = sqrt(sum(single.ci95**2 for single in known)) / len(known)
    mean = sum(single.mean for single in known) / len(known)
    return Estimate(mean, half, sum(single.episodes for single in known))


def values_of(cells: Sequence[Cell], field: str) -> list[Any]:
    """Returns the values that a field has, as they come."""
    return list(dict.fromkeys(getattr(cell, field) for cell in cells))


def as_records(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Returns the FIELDS of each cell, accuracies as shares of 1; None where there is no number: a single episode
    has no interval.
    """
    return [
        {
            "backbone": cell.backbone,
            "dataset": cell.dataset,
            "solver": cell.solver,
            "shot": cell.shot,
            "prompts": cell.prompts,
            "episodes": cell.episodes,
            "accuracy": cell.estimate.mean if cell.estimate else None,
            "ci95": _finite(cell.estimate),
            "difference": cell.difference.mean if cell.difference else None,
            "difference_ci95": _finite(cell.difference),
            "p_value": cell.p_value,
            "p_holm": cell.p_holm,
            "config_hash": cell.config_hash,
        }
        for cell in cells
    ]


def _finite(judged: Estimate | None) -> float | None:
    return judged.ci95 if judged is not None and isfinite(judged.ci95) else None


def metrics_of(cells: Sequence[Cell]) -> Mapping[str, float | None]:
    """Returns accuracies and differences by names that MLflow takes, like `lora/1-shot/with prompts`; data set and
    backbone come first where there are several.
    """
    several = [field for field in ("backbone", "dataset") if len(values_of(cells, field)) > 1]
    metrics: dict[str, float | None] = {}
    for cell in cells:
        labels = [*(getattr(cell, field) for field in several), cell.solver]
        name = "/".join([*(re.sub(r"[^A-Za-z0-9_. -]", "_", label) for label in labels), f"{cell.shot}-shot"])
        metrics[f"{name}/{'with' if cell.prompts else 'without'} prompts"] = (
            cell.estimate.mean if cell.estimate else None
        )
        if cell.difference is not None:
            metrics[f"{name}/difference"] = cell.difference.mean
            if cell.p_holm is not None:
                metrics[f"{name}/p_holm"] = cell.p_holm
    return metrics
