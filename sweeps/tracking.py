"""MLflow: one experiment for each sweep name, a parent run for each sweep, a child for each trial.

Runs are found again by tags that follow from the configuration, so the same command again goes on with the same runs.
A server that goes away in the meantime hears later, in order and once, what there was to record.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from requests import RequestException

from sweeps.outbox import Outbox

BATCH = 100  # the most parameters or tags that one call takes
WHO = "fpt.id"
# What MLflow calls a server that does not answer or is not well, too many requests and a database that is locked. The
# first is also what its client makes of every connection that failed. A mistake has other codes.
TRANSIENT = frozenset(
    {
        "INTERNAL_ERROR",
        "TEMPORARILY_UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "REQUEST_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
    }
)


class Tracker:
    """The only writer of a sweep's runs. Raises ValueError where the tracking server cannot be reached at the start.

    After `start`, what there is to record is only put down and sent by a thread, in order; `flush` waits for that.
    What no further try mends is raised as RuntimeError by the next call, which is carried out nevertheless.
    """

    def __init__(self, tracking_uri: str, experiment: str) -> None:
        quiet()
        self.tracking_uri = tracking_uri
        try:
            self.client = mlflow.MlflowClient(tracking_uri=tracking_uri)
            found = self.client.get_experiment_by_name(experiment)
            self.experiment_id = (
                found.experiment_id if found else self.client.create_experiment(experiment, _artifacts(tracking_uri))
            )
        except Exception as error:
            raise _unreachable(tracking_uri, error) from None
        self.experiment = experiment
        self.parent: Run | None = None
        self.children: dict[str, str] = {}
        self.logged: dict[str, set[int]] = {}
        self.outbox = Outbox(is_transient, self.logged.clear)

    @property
    def run_id(self) -> str:
        assert self.parent is not None, "start() comes first"
        return str(self.parent.info.run_id)

    @property
    def waiting(self) -> int:
        """How many calls are not recorded yet."""
        return self.outbox.waiting

    @property
    def away_since(self) -> float | None:
        """When the server was first found not to answer, by time.monotonic(); None where it did the last time."""
        return self.outbox.away_since

    def start(self, identity: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Opens the parent run, or finds the one that an earlier start of the same sweep left.

        Raises ValueError where the tracking server cannot be reached, RuntimeError for what it refuses.
        """
        try:
            self.parent = self._open(identity, name, parameters, tags, _now())
        except (MlflowException, OSError) as error:
            raise _unreachable(self.tracking_uri, error) if is_transient(error) else _refused(error) from None

    def trial(self, trial: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Opens a trial's run under the parent, once."""
        identity, begun = f"{self.run_id}/{trial}", _now()
        nested = {**tags, "mlflow.parentRunId": self.run_id, "fpt.trial": trial}

        def open_it() -> None:
            if trial not in self.children:
                self.children[trial] = self._open(identity, name, parameters, nested, begun).info.run_id

        self._put(open_it)

    def report(self, trial: str, step: int, metrics: Mapping[str, float | None]) -> None:
        """Logs a trial's metrics at a step (episodes done); a step that is there already is left as it is."""
        entries = _entries(metrics, step)
        self._put(lambda: self._log(self.children[trial], step, entries))

    def finish_trial(self, trial: str, status: str, stopped_by: str) -> None:
        """Closes a trial's run: status FINISHED or FAILED, and what stopped it (`none` where it did all episodes)."""
        ended = _now()

        def finish() -> None:
            self.client.set_tag(self.children[trial], "stopped_by", stopped_by)
            self.client.set_terminated(self.children[trial], status, ended)

        self._put(finish)

    def summarise(self, metrics: Mapping[str, float | None], step: int, note: str, artifacts: list[Path]) -> None:
        """Logs the sweep's own metrics, a description in Markdown and files, and closes the parent run."""
        entries, ended = _entries(metrics, step), _now()
        self._put(lambda: self._log(self.run_id, step, entries))
        self._put(lambda: self.client.set_tag(self.run_id, "mlflow.note.content", note))
        for artifact in map(str, artifacts):
            self._put(partial(self.client.log_artifact, self.run_id, artifact))
        self._put(lambda: self.client.set_terminated(self.run_id, "FINISHED", ended))

    def fail(self) -> None:
        """Marks the parent run as failed; the same command again goes on with it."""
        if self.parent is not None:
            ended = _now()
            with suppress(Exception):  # what failed before is not news any more
                self._put(lambda: self.client.set_terminated(self.run_id, "FAILED", ended))

    def flush(self, seconds: float) -> int:
        """Waits until all is recorded, but no longer than that. Returns how many calls are left."""
        return self.outbox.flush(seconds)

    def close(self) -> None:
        """Sends no more, whatever waits; `flush` comes first."""
        self.outbox.close()

    def _put(self, call: Callable[[], None]) -> None:
        def told() -> None:
            try:
                call()
            except (MlflowException, OSError) as error:
                if is_transient(error):
                    raise
                raise _refused(error) from None

        self.outbox.put(told)

    def _open(
        self, identity: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str], begun: int
    ) -> Run:
        run = self._find(identity)
        if run is None:
            self.client.create_run(self.experiment_id, begun, {**tags, WHO: identity}, name)
            run = self._find(identity)
            assert run is not None, f"the run of {identity} was made and is not there"
        else:
            self.client.update_run(run.info.run_id, status="RUNNING")
        # Whoever made the run may have ended before its parameters were there.
        entries = [Param(key, str(value)) for key, value in parameters.items() if key not in run.data.params]
        for first in range(0, len(entries), BATCH):
            self.client.log_batch(run.info.run_id, params=entries[first : first + BATCH])
        return run

    def _find(self, identity: str) -> Run | None:
        """A request to make a run may be carried out long after nobody waits for its answer any more, when another has
        been made: of such doubles the one that holds most is it, and empty ones are deleted.
        """
        found = self.client.search_runs([self.experiment_id], f"tags.`{WHO}` = '{identity}'")
        found.sort(key=lambda run: (-len(run.data.metrics), -len(run.data.params), run.info.run_id))
        for double in found[1:]:
            if not double.data.metrics:
                with suppress(MlflowException):  # it takes a permission of its own, and an empty run does no harm
                    self.client.delete_run(double.info.run_id)
        return found[0] if found else None

    def _log(self, run_id: str, step: int, entries: list[Metric]) -> None:
        if run_id not in self.logged:
            history = self.client.get_metric_history(run_id, "episodes")
            self.logged[run_id] = {metric.step for metric in history}
        if step in self.logged[run_id] or not entries:
            return
        self.client.log_batch(run_id, entries)
        self.logged[run_id].add(step)


def _now() -> int:
    """Milliseconds since 1970. Taken when something happened, which may be long before it can be sent."""
    return time.time_ns() // 10**6


def _entries(metrics: Mapping[str, float | None], step: int) -> list[Metric]:
    """Stamped once: MLflow leaves out a metric that is sent again and is the same to the millisecond."""
    now = _now()
    return [Metric(key, float(value), now, step) for key, value in metrics.items() if value is not None]


def is_transient(error: Exception) -> bool:
    """Whether a later try may succeed: the server or the way to it is at fault, not what was asked."""
    if isinstance(error, MlflowException):
        return error.error_code in TRANSIENT
    if isinstance(error, RequestException):
        return error.response is None or error.response.status_code >= 500
    return isinstance(error, ConnectionError | TimeoutError)  # other OSErrors are about files


def without_secrets(uri: str) -> str:
    """A URI, or a text that quotes one, with *** for its password.

    Rather masks too much than too little: a password may hold characters that should have been escaped.
    """
    masked = re.sub(r"(://[^\s/:@]*):(?!\d{1,5}/)\S*@", r"\1:***@", uri)
    return re.sub(r"(?i)\b(\w*password|pwd)=[^\s&'\"]+", r"\1=***", masked)


def _artifacts(tracking_uri: str) -> str | None:
    """Files lie beside a SQLite database; a server knows itself where."""
    if not tracking_uri.startswith("sqlite:///"):
        return None
    return (Path(tracking_uri.removeprefix("sqlite:///")).resolve().parent / "artifacts").as_uri()


def quiet() -> None:
    """No notes on migrations, and an unreachable server is said to be so within seconds, not minutes."""
    logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # MLflow's own tries again send what may have been carried out; the outbox looks first.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    # A line for each run that ends, with the password of the tracking URI.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def check_tracking(tracking_uri: str) -> None:
    """Raises ValueError for a tracking URI that is none, or a server that does not answer. Writes nothing."""
    quiet()
    if tracking_uri.startswith("sqlite:///"):
        folder = Path(tracking_uri.removeprefix("sqlite:///")).parent
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise _unreachable(tracking_uri, f"cannot write in {existing}")
        return
    try:
        mlflow.MlflowClient(tracking_uri=tracking_uri).search_experiments(max_results=1)
    except Exception as error:
        raise _unreachable(tracking_uri, error) from None


def recorded_trial(tracking_uri: str, run_id: str) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters of a trial's run and of its sweep's, as text. Writes nothing.

    Raises ValueError for a store that is not there or cannot be reached, and a run that is not there or no trial's.
    """
    quiet()
    database = tracking_uri.removeprefix("sqlite:///")
    if database != tracking_uri and not Path(database).is_file():  # MLflow would make one
        raise ValueError(f"run {run_id} must be in MLflow's store but there is no {database}")
    try:
        client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        trial = client.get_run(run_id)
        parent = trial.data.tags.get("mlflow.parentRunId")
        sweep = client.get_run(parent) if parent else None
    except Exception as error:
        if isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise ValueError(f"run {run_id} must be in {without_secrets(tracking_uri)} but is not") from None
        raise _unreachable(tracking_uri, error) from None
    if sweep is None or trial.data.tags.get("fpt.kind") != "trial":
        kind = trial.data.tags.get("fpt.kind", "run of something else")
        raise ValueError(f"run {run_id} must be a trial's but is a {kind}, which is no single configuration")
    return dict(trial.data.params), dict(sweep.data.params)


def _unreachable(tracking_uri: str, why: object) -> ValueError:
    """To be raised without the error that it comes from, which may quote the password."""
    uri = without_secrets(tracking_uri)
    return ValueError(f"tracking_uri must be one that MLflow can reach but {uri!r} failed: {_sentence(why)[:160]}")


def _refused(why: object) -> RuntimeError:
    """To be raised without the error that it comes from, which may quote the password."""
    return RuntimeError(f"MLflow did not take what there was to record: {_sentence(why)[:1000]}")


def _sentence(why: object) -> str:
    return without_secrets(" ".join(str(why).split()))
