"""What a sweep has found, for machines."""

import json
from dataclasses import replace

from sweeps.report.json_object import as_json
from sweeps.report.trials import rows_of
from sweeps.statistics.estimates import Estimate
from tests.sweeps.findings import LOCATED, SWEEP, WON, finding, p_of
from tests.sweeps.report.test_backbones import FOUND

AGAIN = finding().best.run.model_copy(update={"episodes": SWEEP.episodes.model_copy(update={"seed": 1})})
FROZEN = {"alpha": 0.0, "lr": 0.01}


def test_the_object_for_machines():
    tracking = {"tracking_uri": "sqlite:///here", "experiment": "glyphs", "run_id": "abc"}
    found = as_json(finding(), {**tracking, "report": "/here/report.html"})
    json.dumps(found, allow_nan=False)
    p = p_of(finding().best.difference)
    unknown = {"over_episodes": (None, None), "over_classes": (None, None), "bounds": None}
    of_best = {"accuracy": 0.723, "ci95": 0.015, "difference": 0.021, "difference_ci95": 0.009, "p": p, "p_holm": 2 * p}
    assert found == {
        "best": WON,
        "final": {
            "episodes": 200,
            "yardstick": "no prompts",
            "baseline_accuracy": 0.702,
            **of_best,
            "other_yardstick": None,
            "without_its_prompts": None,
            "again": None,
            "compared": {
                "best": {"config_hash": "hash of best", **of_best, **unknown, **LOCATED},
                "no prompts": {
                    "config_hash": "hash of no prompts",
                    "accuracy": 0.702,
                    "ci95": 0.015,
                    "difference": None,
                    "difference_ci95": None,
                    "p": None,
                    "p_holm": None,
                    **unknown,
                    **dict.fromkeys(LOCATED),
                },
            },
        },
        "backbones": None,
        "trials": rows_of(finding().record),
        "whole": 1,
        "may_be_best": 1,
        "more_looks": None,
        "best_if_symmetric": 1,
        "importances": None,
        "audit": None,
        "episodes_spent": 1234,
        "episodes_lost": [],
        "mlflow": tracking,
        "about": None,
        "confidence": None,
        "mistakes": None,
        "report": "/here/report.html",
    }


def test_what_the_winner_does_not_have_is_null():
    assert as_json(finding(values=FROZEN), {})["best"] == {
        "lambda": None,
        "alpha": 0.0,
        "tau": None,
        "patches": None,
        "lr": 0.01,
    }
    failed = as_json(finding(mean=None, gain=None), {})["final"]
    assert (failed["episodes"], failed["accuracy"], failed["ci95"], failed["difference"]) == (0, None, None, None)
    assert failed["baseline_accuracy"] == 0.702


def test_the_object_for_machines_is_json_whatever_the_numbers():
    found = as_json(finding(gain=Estimate(0.5, float("inf"), 1)), {})
    json.dumps(found, allow_nan=False)


def test_backbones_are_told_with_their_best_frozen_classifiers():
    found = finding()
    raced = as_json(replace(found, record=replace(found.record, backbones=FOUND)), {})["backbones"]
    assert raced["near"] == {
        "stays": True,
        "classifier": "ridge",
        "accuracy": 0.69,
        "ci95": 0.02,
        "difference": -0.01,
        "difference_ci95": 0.02,
    }
    assert [label for label, one in raced.items() if not one["stays"]] == ["far", "broken"]
    assert raced["broken"]["classifier"] is raced["broken"]["accuracy"] is None
