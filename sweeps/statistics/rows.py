"""Figures of a configuration, from its rows of the ledger."""

from collections.abc import Sequence
from typing import Any

from pipeline.storage.ledger import Row
from sweeps.statistics.estimates import estimate

LOCALISATION = ("prompt_precision", "prompt_chance", "attention_on_key_before", "attention_on_key_after")
METRICS = ("episodes", "failed", "accuracy", "ci95", "seconds_per_episode", *LOCALISATION)


def accuracies_of(rows: Sequence[Row]) -> list[float] | None:
    """Returns the accuracy of each row; None where one of them failed."""
    accuracies = [row["accuracy"] for row in rows if row["accuracy"] is not None]
    return accuracies if len(accuracies) == len(rows) else None


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Returns METRICS of a configuration over the episodes it has done; accuracy is None where an episode failed."""
    failed = sum(row["failed"] for row in rows)
    accuracies = accuracies_of(rows)
    judged = estimate(accuracies, 1 / rows[0]["queries"]) if accuracies else None
    metrics: dict[str, Any] = {
        "episodes": len(rows),
        "failed": failed,
        "accuracy": judged.mean if judged else None,
        "ci95": judged.ci95 if judged else None,
        "seconds_per_episode": sum(row["seconds"] for row in rows) / max(1, len(rows)),
    }
    for name in LOCALISATION:
        values = [value for row in rows if (value := row[name]) is not None]  # type: ignore[literal-required]
        metrics[name] = sum(values) / len(values) if values else None
    return metrics
