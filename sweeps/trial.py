"""A trial: asks the dispatcher for one rung after another and reports. It computes nothing itself."""

from typing import Any

import ray
from ray import tune

from sweeps.statistics import estimate


def run_trial(config: dict[str, Any], dispatcher: Any, rungs: int) -> None:
    """Ray Tune's trainable. `config` holds the trial's name and generation, which the dispatcher has begun already."""
    report: dict[str, Any] = {}
    for rung in range(rungs):
        rows = ray.get(dispatcher.next_rung.remote(config["generation"], config["trial"], rung))
        if rows is None:
            tune.report({**report, "stopped_by": "halving"})
            return
        report = {"rung": rung + 1, **summary(rows)}
        tune.report(report)


LOCALISATION = ("prompt_precision", "prompt_chance", "attention_on_key_before", "attention_on_key_after")
METRICS = ("episodes", "failed", "accuracy", "ci95", "seconds_per_episode", *LOCALISATION)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """METRICS of a configuration over the episodes it has done; an accuracy of None where one of them failed."""
    failed = sum(row["failed"] for row in rows)
    accuracies = [row["accuracy"] for row in rows]
    judged = None if failed else estimate(accuracies)
    metrics: dict[str, Any] = {
        "episodes": len(rows),
        "failed": failed,
        "accuracy": judged.mean if judged else None,
        "ci95": judged.ci95 if judged else None,
        "seconds_per_episode": sum(row["seconds"] for row in rows) / len(rows),
    }
    for name in LOCALISATION:
        values = [row[name] for row in rows if row[name] is not None]
        metrics[name] = sum(values) / len(values) if values else None
    return metrics
