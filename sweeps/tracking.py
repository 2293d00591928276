"""MLflow: one experiment for each sweep name, a parent run for each sweep, a child for each trial.

Runs are found again by tags that follow from the configuration, so the same command again goes on with the same runs.
A server that goes away in the meantime hears later, in order and once, what there was to record.
"""

import logging
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException

from sweeps.outbox import Outbox

BATCH = 100  # the most parameters or tags that one call takes
WHO = "fpt.id"
# What a server says that is not well, or a database that somebody else is writing to. A mistake has other codes.
TRANSIENT = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "ABORTED", "REQUEST_LIMIT_EXCEEDED"})


class Tracker:
    """The only writer of a sweep's runs. Raises ValueError where the tracking server cannot be reached at the start.

    Later calls return at once and are carried out by a thread, in order; `flush` waits for them. What no further try
    mends is raised by the next call.
    """

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
        self.outbox = Outbox(_is_transient, self.logged.clear)

    @property
    def run_id(self) -> str:
        assert self.parent is not None, "start() comes first"
        return str(self.parent.info.run_id)

    def start(self, identity: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Opens the parent run, or finds the one that an earlier start of the same sweep left."""
        self.parent = self._open(identity, name, parameters, tags)

    def trial(self, trial: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Opens a trial's run under the parent, once."""
        identity = f"{self.run_id}/{trial}"
        nested = {**tags, "mlflow.parentRunId": self.run_id, "fpt.trial": trial}

        def open_it() -> None:
            if trial not in self.children:
                self.children[trial] = self._open(identity, name, parameters, nested).info.run_id

        self.outbox.put(open_it)

    def report(self, trial: str, step: int, metrics: Mapping[str, float | None]) -> None:
        """Logs a trial's metrics at a step (episodes done); a step that is there already is left as it is."""
        entries = _entries(metrics, step)
        self.outbox.put(lambda: self._log(self.children[trial], step, entries))

    def finish_trial(self, trial: str, status: str, stopped_by: str) -> None:
        """Closes a trial's run: status FINISHED or FAILED, and what stopped it (`none` where it did all episodes)."""

        def finish() -> None:
            self.client.set_tag(self.children[trial], "stopped_by", stopped_by)
            self.client.set_terminated(self.children[trial], status)

        self.outbox.put(finish)

    def summarise(self, metrics: Mapping[str, float | None], step: int, note: str, artifacts: list[Path]) -> None:
        """Logs the sweep's own metrics, a description in Markdown and files, and closes the parent run."""
        entries = _entries(metrics, step)
        self.outbox.put(lambda: self._log(self.run_id, step, entries))
        self.outbox.put(lambda: self.client.set_tag(self.run_id, "mlflow.note.content", note))
        for artifact in map(str, artifacts):
            self.outbox.put(partial(self.client.log_artifact, self.run_id, artifact))
        self.outbox.put(lambda: self.client.set_terminated(self.run_id, "FINISHED"))

    def fail(self) -> None:
        """Marks the parent run as failed; the same command again goes on with it."""
        if self.parent is not None:
            with suppress(Exception):  # what failed before is not news any more
                self.outbox.flush(0)
            self.outbox.put(lambda: self.client.set_terminated(self.run_id, "FAILED"))

    def flush(self, seconds: float) -> int:
        """Waits until all is recorded, but no longer than that. Returns how many calls are left."""
        return self.outbox.flush(seconds)

    def _open(self, identity: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> Run:
        found = self.client.search_runs([self.experiment_id], f"tags.`{WHO}` = '{identity}'", max_results=1)
        if found:
            run = found[0]
            self.client.update_run(run.info.run_id, status="RUNNING")
        else:
            run = self.client.create_run(self.experiment_id, tags={**tags, WHO: identity}, run_name=name)
        # Whoever made the run may have ended before its parameters were there.
        entries = [Param(key, str(value)) for key, value in parameters.items() if key not in run.data.params]
        for first in range(0, len(entries), BATCH):
            self.client.log_batch(run.info.run_id, params=entries[first : first + BATCH])
        return run

    def _log(self, run_id: str, step: int, entries: list[Metric]) -> None:
        if run_id not in self.logged:
            history = self.client.get_metric_history(run_id, "episodes")
            self.logged[run_id] = {metric.step for metric in history}
        if step in self.logged[run_id] or not entries:
            return
        self.client.log_batch(run_id, entries)
        self.logged[run_id].add(step)


def _entries(metrics: Mapping[str, float | None], step: int) -> list[Metric]:
    """Stamped with the time at which they were found, whenever they are sent."""
    now = int(mlflow.utils.time.get_current_time_millis())
    return [Metric(key, float(value), now, step) for key, value in metrics.items() if value is not None]


def _is_transient(error: Exception) -> bool:
    """Whether a later try may succeed: the server or the way to it is at fault, not what was asked."""
    return isinstance(error, OSError) or (isinstance(error, MlflowException) and error.error_code in TRANSIENT)


def without_secrets(text: str) -> str:
    """A URI, or a sentence that quotes one, without its password."""
    return re.sub(r"(://[^\s/:@]*):[^\s/@]*@", r"\1:***@", text)


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
    return without_secrets(
        f"tracking_uri must be one that MLflow can reach but {tracking_uri!r} failed: {reason[:160]}"
    )
