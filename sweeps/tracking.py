"""MLflow: one experiment for each sweep name, a parent run for each sweep, a child for each trial.

Runs are found again by tags that follow from the configuration, so the same command again goes on with the same runs.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException

BATCH = 100  # the most parameters or tags that one call takes
WHO = "fpt.id"


class Tracker:
    """The only writer of a sweep's runs. Raises ValueError where the tracking server cannot be reached."""

    def __init__(self, tracking_uri: str, experiment: str) -> None:
        quiet()
        self.tracking_uri = tracking_uri
        self.client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        try:
            found = self.client.get_experiment_by_name(experiment)
            self.experiment_id = (
                found.experiment_id if found else self.client.create_experiment(experiment, _artifacts(tracking_uri))
            )
        except (MlflowException, OSError) as error:
            raise ValueError(_unreachable(tracking_uri, error)) from error
        self.experiment = experiment
        self.parent: Run | None = None
        self.children: dict[str, str] = {}
        self.logged: dict[str, set[int]] = {}

    @property
    def run_id(self) -> str:
        assert self.parent is not None, "start() comes first"
        return str(self.parent.info.run_id)

    def start(self, identity: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Opens the parent run, or finds the one that an earlier start of the same sweep left."""
        self.parent = self._open(identity, name, parameters, tags)

    def trial(self, trial: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Opens a trial's run under the parent, once."""
        if trial not in self.children:
            identity = f"{self.run_id}/{trial}"
            run = self._open(
                identity, name, parameters, {**tags, "mlflow.parentRunId": self.run_id, "fpt.trial": trial}
            )
            self.children[trial] = run.info.run_id

    def report(self, trial: str, step: int, metrics: Mapping[str, float | None]) -> None:
        """Logs a trial's metrics at a step (episodes done); a step that is there already is left as it is."""
        self._log(self.children[trial], step, metrics)

    def finish_trial(self, trial: str, status: str, stopped_by: str) -> None:
        """Closes a trial's run: status FINISHED or FAILED, and what stopped it (`none` where it did all episodes)."""
        self.client.set_tag(self.children[trial], "stopped_by", stopped_by)
        self.client.set_terminated(self.children[trial], status)

    def summarise(self, metrics: Mapping[str, float | None], step: int, note: str, artifacts: list[Path]) -> None:
        """Logs the sweep's own metrics, a description in Markdown and files, and closes the parent run."""
        self._log(self.run_id, step, metrics)
        self.client.set_tag(self.run_id, "mlflow.note.content", note)
        for artifact in artifacts:
            self.client.log_artifact(self.run_id, str(artifact))
        self.client.set_terminated(self.run_id, "FINISHED")

    def fail(self) -> None:
        """Marks the parent run as failed; the same command again goes on with it."""
        if self.parent is not None:
            self.client.set_terminated(self.run_id, "FAILED")

    def _open(self, identity: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> Run:
        found = self.client.search_runs([self.experiment_id], f"tags.`{WHO}` = '{identity}'", max_results=1)
        if found:
            self.client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0]
        run = self.client.create_run(self.experiment_id, tags={**tags, WHO: identity}, run_name=name)
        entries = [Param(key, str(value)) for key, value in parameters.items()]
        for first in range(0, len(entries), BATCH):
            self.client.log_batch(run.info.run_id, params=entries[first : first + BATCH])
        return run

    def _log(self, run_id: str, step: int, metrics: Mapping[str, float | None]) -> None:
        known = {key: value for key, value in metrics.items() if value is not None}
        if run_id not in self.logged:
            history = self.client.get_metric_history(run_id, "episodes")
            self.logged[run_id] = {metric.step for metric in history}
        if step in self.logged[run_id] or not known:
            return
        now = int(mlflow.utils.time.get_current_time_millis())
        self.client.log_batch(run_id, [Metric(key, float(value), now, step) for key, value in known.items()])
        self.logged[run_id].add(step)


def _artifacts(tracking_uri: str) -> str | None:
    """Files lie beside a SQLite database; a server knows itself where."""
    if not tracking_uri.startswith("sqlite:///"):
        return None
    return (Path(tracking_uri.removeprefix("sqlite:///")).resolve().parent / "artifacts").as_uri()


def quiet() -> None:
    """No notes on migrations, and an unreachable server is said to be so within seconds, not minutes."""
    logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")


def check_tracking(tracking_uri: str) -> None:
    """Raises ValueError for a tracking URI that is none, or a server that does not answer. Writes nothing."""
    quiet()
    if tracking_uri.startswith("sqlite:///"):
        folder = Path(tracking_uri.removeprefix("sqlite:///")).parent
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise ValueError(_unreachable(tracking_uri, f"cannot write in {existing}"))
        return
    try:
        mlflow.MlflowClient(tracking_uri=tracking_uri).search_experiments(max_results=1)
    except Exception as error:
        raise ValueError(_unreachable(tracking_uri, error)) from error


def _unreachable(tracking_uri: str, why: object) -> str:
    reason = " ".join(str(why).split())
    return f"tracking_uri must be one that MLflow can reach but {tracking_uri!r} failed: {reason[:160]}"
