"""All trials of a search as rows of a table, for other programs: columns as scikit-learn's `cv_results_` has them."""

import csv
import io
from collections.abc import Mapping, Sequence
from math import isfinite

from sweeps.search.record import SearchRecord, Trial, names_of

NAME = "trials.csv"

Cell = float | int | str | bool | None


def rows_of(record: SearchRecord) -> list[dict[str, Cell]]:
    """Returns a row for each trial, in their order; None stands for what a trial does not have, like a hyper-parameter
    without effect beside its others.

    `episodes` are so many `looks` and as many as it `raced`; `stopped_at` is the number of the last rung of a trial
    that raced and did not do all of them; `rank` is by score, 1 for the highest, and equal scores share the better
    rank; `seconds` are those of workers.
    """
    names, scores = names_of(trial.values for trial in record.trials), [trial.score for trial in record.trials]
    return [
        {
            "trial": trial.name,
            "generation": trial.generation,
            **{f"param_{name}": trial.values.get(name) for name in names},
            "score": trial.score,
            "accuracy": trial.accuracy,
            "ci95": _ci95(trial),
            "episodes": trial.episodes,
            "looks": len(trial.looks),
            "raced": trial.raced,
            "stopped_at": _stopped_at(trial, len(record.rungs)),
            "stopped_by": trial.stopped_by,
            "rank": _rank(trial.score, scores),
            "seconds": trial.seconds,
        }
        for trial in record.trials
    ]


def as_csv(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Returns rows as CSV with a head; what a trial does not have is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _ci95(trial: Trial) -> float | None:
    """Returns half the interval of a trial's accuracy; a single episode has none."""
    half = trial.reports[-1].ci95 if trial.reports else None
    return half if half is not None and isfinite(half) else None


def _stopped_at(trial: Trial, rungs: int) -> int | None:
    """Returns how many rungs a trial did that raced, or began to, and did not do all."""
    raced = trial.reports or trial.stopped_by is not None
    return len(trial.reports) if raced and len(trial.reports) < rungs else None


def _rank(score: float | None, scores: Sequence[float | None]) -> int | None:
    if score is None:
        return None
    return 1 + sum(other is not None and other > score for other in scores)
