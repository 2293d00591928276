"""What a sweep has found, as one JSON object."""

from dataclasses import asdict
from typing import Any

from sweeps.report import confidence
from sweeps.report.text import judged_episodes
from sweeps.report.trials import rows_of
from sweeps.schema.naming import in_order, setting_name
from sweeps.search.record import Backbones
from sweeps.statistics.estimates import numbers
from sweeps.verdict.finding import Audit, Compared, Finding


def as_json(finding: Finding, where: dict[str, str]) -> dict[str, Any]:
    """Returns the object that `fpt sweep --json` prints. `where` is the `report` and its place in MLflow."""
    values = {"lambda": None, "alpha": None, "tau": None, "patches": None, **finding.values}
    values = {name: values[name] for name in in_order(values)}
    accuracy, ci95 = numbers(finding.best.estimate)
    difference, difference_ci95 = numbers(finding.best.difference)
    return {
        "best": values,
        "final": {
            "episodes": judged_episodes(finding),
            "accuracy": accuracy,
            "ci95": ci95,
            "yardstick": finding.yardstick,
            "baseline_accuracy": numbers(finding.baseline.estimate)[0],
            "difference": difference,
            "difference_ci95": difference_ci95,
            "p": finding.best.p,
            "p_holm": finding.best.p_holm,
            "other_yardstick": None if finding.other is None else _compared_as_json(finding.other),
            "without_its_prompts": None if finding.twin is None else _compared_as_json(finding.twin),
            "again": None if finding.again is None else _compared_as_json(finding.again),
            "compared": {name: _compared_as_json(compared) for name, compared in finding.compared.items()},
        },
        "backbones": None if finding.record.backbones is None else _backbones_as_json(finding.record.backbones),
        "trials": rows_of(finding.record),
        "whole": finding.whole,
        "may_be_best": finding.may_be_best,
        "best_if_symmetric": finding.best_if_symmetric,
        "importances": None if finding.importances is None else dict(finding.importances),
        "more_looks": None if finding.record.gain is None else asdict(finding.record.gain),
        "audit": None if finding.audit is None else _audit_as_json(finding.audit),
        "episodes_spent": finding.spent,
        "episodes_lost": list(finding.lost),
        "mlflow": {name: place for name, place in where.items() if name != "report"} or None,
        "about": None if finding.about is None else asdict(finding.about),
        "confidence": None if finding.confidence is None else confidence.as_json(finding.confidence),
        "mistakes": None if finding.mistakes is None else asdict(finding.mistakes),
        "report": where.get("report"),
    }


def _backbones_as_json(backbones: Backbones) -> dict[str, Any]:
    """Returns how each backbone of the space did with its best classifier on frozen features, and which stayed."""
    told = {}
    for one in backbones.raced:
        (accuracy, ci95), (behind, behind_ci95) = numbers(one.accuracy), numbers(one.behind)
        figures = {"accuracy": accuracy, "ci95": ci95, "difference": behind, "difference_ci95": behind_ci95}
        told[one.label] = {"stays": one.stays, "classifier": one.classifier or None, **figures}
    return told


def _audit_as_json(audit: Audit) -> dict[str, Any]:
    lead, lead_ci95 = numbers(audit.lead)
    shares = {"episodes_searched": audit.searched, "episodes_full": audit.full}
    return {**shares, "best": setting_name(audit.best), "lead": lead, "lead_ci95": lead_ci95}


def _compared_as_json(compared: Compared) -> dict[str, Any]:
    accuracy, ci95 = numbers(compared.estimate)
    difference, difference_ci95 = numbers(compared.difference)
    return {
        "config_hash": compared.config_hash,
        "accuracy": accuracy,
        "ci95": ci95,
        "difference": difference,
        "difference_ci95": difference_ci95,
        "over_episodes": numbers(compared.over_episodes),
        "over_classes": numbers(compared.over_classes),
        "bounds": compared.bounds,
        "p": compared.p,
        "p_holm": compared.p_holm,
        **compared.localisation,
    }
