"""A trial: asks the dispatcher for one rung after another and reports. It computes nothing itself."""

from collections.abc import Mapping
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayTaskError

from pipeline.config import HyperParameters, Run, with_hyper_parameters
from pipeline.dispatch.dispatcher import GenerationOf
from sweeps.statistics.estimates import estimate


def run_trial(config: dict[str, Any], dispatcher: Any, searched: Run, rungs: list[list[int]], rule: str) -> None:
    """Ray Tune's trainable. `config` holds the trial's name, its generation and the settings of all trials in that;
    `rule` is what stops trials.

    What is wrong with a setting is reported, not raised: Tune would try again what fails again.
    """
    generation = generation_of(config["generation"], config["settings"], config["incumbent"], searched, rungs)
    report: dict[str, Any] = {}
    for rung in range(len(rungs)):
        try:
            rows = ray.get(dispatcher.next_rung.remote(generation, config["trial"], rung))
        except RayTaskError as error:
            tune.report({"accuracy": None, **report, "error": " ".join(str(error.cause).split())})
            return
        if rows is None:
            tune.report({**report, "stopped_by": rule})
            return
        report = {"rung": rung + 1, **summary(rows)}
        tune.report(report)


def generation_of(
    number: int,
    settings: Mapping[str, HyperParameters],
    incumbent: HyperParameters | None,
    searched: Run,
    rungs: list[list[int]],
) -> GenerationOf:
    """A generation as the dispatcher takes it, from the hyper-parameters of its trials and of the best one before."""
    return GenerationOf(
        number,
        {name: with_hyper_parameters(searched, own) for name, own in settings.items()},
        rungs,
        None if incumbent is None else with_hyper_parameters(searched, incumbent),
    )


LOCALISATION = ("prompt_precision", "prompt_chance", "attention_on_key_before", "attention_on_key_after")
METRICS = ("episodes", "failed", "accuracy", "ci95", "seconds_per_episode", *LOCALISATION)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """METRICS of a configuration over the episodes it has done; an accuracy of None where one of them failed."""
    failed = sum(row["failed"] for row in rows)
    accuracies = [row["accuracy"] for row in rows]
    judged = None if failed or not rows else estimate(accuracies)
    metrics: dict[str, Any] = {
        "episodes": len(rows),
        "failed": failed,
        "accuracy": judged.mean if judged else None,
        "ci95": judged.ci95 if judged else None,
        "seconds_per_episode": sum(row["seconds"] for row in rows) / max(1, len(rows)),
    }
    for name in LOCALISATION:
        values = [row[name] for row in rows if row[name] is not None]
        metrics[name] = sum(values) / len(values) if values else None
    return metrics
