"""Runs that a tracker has begun, and what the store holds of them."""

import mlflow
from requests import HTTPError, Response


def started(tracker):
    tracker.start("sweep abc", "glyphs abc", {"solver.lr": 0.01, "search.rungs": [2, 4]}, {"fpt.kind": "sweep"})
    return tracker


def with_trial(tracker):
    started(tracker).trial("0.1", "lora · no prompts", {"alpha": 0.0}, {"solver": "lora"})
    return tracker


def runs(tracker):
    assert tracker.flush(60) == 0
    client = mlflow.MlflowClient(tracking_uri=tracker.tracking_uri)
    return list(client.search_runs([tracker.experiment_id], order_by=["attributes.start_time"]))


def history(tracker, trial, metric):
    assert tracker.flush(60) == 0
    found = tracker.client.get_metric_history(tracker.children[trial], metric)
    return sorted((one.step, one.value) for one in found)


def answered(status: int) -> HTTPError:
    """As `raise_for_status` raises it for a file's upload."""
    response = Response()
    response.status_code, response.url = status, "http://me:secret@host/x"
    return HTTPError(f"{status} Client Error: for url: {response.url}", response=response)
