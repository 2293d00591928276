"""MLflow: one experiment for each sweep name, a parent run for each sweep, a child for each trial.

Runs are found again by tags that follow from the configuration, so the same command again goes on with the same runs.
A server that goes away in the meantime hears later, in order and once, what there was to record.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from pipeline.storage.masking import masked, without_secrets
from pipeline.storage.sqlite import database_of, first_use
from sweeps.schema.lines import on_a_line
from sweeps.tracking.connecting import experiment_of, is_transient, quiet, refused, unreachable
from sweeps.tracking.deleted import DeletedError, Deletions
from sweeps.tracking.fields import Data, cut
from sweeps.tracking.outbox import Outbox

BATCH, METRICS_BATCH = 100, 1000  # the most parameters or tags, and metrics, that one call takes
LONGEST_PARAMETER, LONGEST_TAG = 6000, 8000  # characters
IDENTITY_TAG, NOTE_TAG = "fpt.id", "mlflow.note.content"
Values = Mapping[str, Any]
EPISODES, BEST, SCORE, LOOK = "episodes", "best_so_far", "score", "look"
STEPPED = (EPISODES, BEST, SCORE, LOOK)  # metrics whose steps tell which are there already


class Tracker:
    """A tracker is the only writer of a sweep's runs. It raises ValueError where the tracking server cannot be reached
    at the start.

    After `start`, what there is to record is only put down and sent by a thread, in order; `flush` waits for that. What
    no further try mends is raised as RuntimeError by the next call, which is carried out nevertheless. Where somebody
    deletes the experiment or the parent, that is said and all waits until it is restored; what is of a trial whose run
    is deleted is left out.
    """

    def __init__(self, tracking_uri: str, experiment: str) -> None:
        quiet()
        self.tracking_uri = tracking_uri
        try:
            with first_use(database_of(tracking_uri)):
                self.client = mlflow.MlflowClient(tracking_uri=tracking_uri)
                self.experiment_id = experiment_of(self.client, experiment, tracking_uri)
        except Exception as error:
            raise unreachable(tracking_uri, error) from None
        self.experiment = experiment
        self.parent: Run | None = None
        self.new = False  # the parent, below which there is nothing then
        self.children: dict[str, str] = {}
        self.running: set[str] = set()  # trials that have begun and not ended
        self.logged: dict[tuple[str, str], set[int]] = {}  # steps by run and metric
        self.looked = -1  # seconds after the parent's start
        self.deletions = Deletions(self.client, tracking_uri, self.experiment_id)
        self.outbox = Outbox(lambda error: isinstance(error, DeletedError) or is_transient(error), self.logged.clear)

    @property
    def run_id(self) -> str:
        assert self.parent is not None, "start() comes first"
        return str(self.parent.info.run_id)

    @property
    def waiting(self) -> int:
        """Returns how many calls are not recorded yet."""
        return self.outbox.waiting

    @property
    def away_since(self) -> float | None:
        """Returns when the server was first found not to answer, by time.monotonic(); None where it
        did the last time.
        """
        return self.outbox.away_since if self.deletions.now is None else None

    def start(
        self,
        identity: str,
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        data: Sequence[Data] = (),
    ) -> None:
        """Opens the parent run, or finds the run that an earlier start of the same sweep left: its parameters stay,
        tags are put as given.

        Raises ValueError where the tracking server cannot be reached, RuntimeError for what it refuses.
        """
        try:
            self.new = self._find(identity) is None
            self.parent = self._open(identity, name, parameters, tags, data, _now())
        except (MlflowException, OSError) as error:
            raise unreachable(self.tracking_uri, error) if is_transient(error) else refused(error) from None

    def trial(
        self, trial: str, name: str, parameters: Values, tags: Mapping[str, str], data: Sequence[Data] = ()
    ) -> None:
        """Opens a trial's run under the parent, once."""
        identity, begun = f"{self.run_id}/{trial}", _now()
        nested = {**tags, "mlflow.parentRunId": self.run_id, "fpt.trial": trial}

        self.running.add(trial)
        tried: list[bool] = []

        def open_it() -> None:
            if trial not in self.children:
                new = self.new and not tried
                tried.append(True)
                self.children[trial] = self._open(identity, name, parameters, nested, data, begun, new).info.run_id

        self._put(open_it)

    def report(self, trial: str, step: int, metrics: Mapping[str, float | None]) -> None:
        """Logs a trial's metrics at a step (episodes done); a step that is there already is left as it is."""
        entries = _entries(metrics, step)
        self._put(lambda: self._log(self.children[trial], EPISODES, step, entries), trial)

    def look(self, trial: str, generation: int, accuracy: float | None) -> None:
        """Logs what a trial had on the episode of a generation, which is the step."""
        entries = _entries({LOOK: accuracy}, generation)
        self._put(lambda: self._log(self.children[trial], LOOK, generation, entries), trial)

    def so_far(self, ended: int, best: float | None, note: str) -> None:
        """Logs how the search stands, on the parent: the best accuracy by how many looks there were, and a
        description.
        """
        entries, tag = _entries({BEST: best}, ended), _tags({NOTE_TAG: note})
        self._put(lambda: self._log(self.run_id, BEST, ended, entries, tag))

    def score(self, trial: str, episodes: int, metrics: Mapping[str, float | None]) -> None:
        """Logs what is known of a trial once all have ended: its `score` and what goes with it."""
        entries = _entries(metrics, episodes)
        self._put(lambda: self._log(self.children[trial], SCORE, episodes, entries), trial)

    def arrange(self, tags: Mapping[str, str]) -> None:
        """Puts tags of the experiment, by which MLflow's pages know how to show it."""
        for name, value in tags.items():
            self._put(partial(self.client.set_experiment_tag, self.experiment_id, name, value))

    def reads(self, data: Sequence[Data]) -> None:
        """Adds data sets to what the parent reads."""
        self._put(lambda: self.client.log_inputs(self.run_id, list(map(_input, data))))

    def describe(self, note: str) -> None:
        """Puts the parent's description, in Markdown."""
        self._put(lambda: self.client.log_batch(self.run_id, tags=_tags({NOTE_TAG: note})))

    def node_metrics(self, metrics: Mapping[str, float]) -> None:
        """Logs how nodes are, on the parent; steps are seconds since its first start, so that they rise over restarts.

        A separate thread calls this: what went wrong before is left for the others to raise.
        """
        assert self.parent is not None, "start() comes first"
        seconds = (_now() - self.parent.info.start_time) // 1000
        if not metrics or seconds <= self.looked:
            return
        self.looked, entries = seconds, _entries(metrics, seconds)
        for first in range(0, len(entries), METRICS_BATCH):
            try:
                self._put(partial(self.client.log_batch, self.run_id, entries[first : first + METRICS_BATCH]))
            except RuntimeError as mistake:
                self.outbox.mistake = mistake

    def finish_trial(self, trial: str, status: str, stopped_by: str) -> None:
        """Closes a trial's run: status FINISHED or FAILED, and what stopped it (`none` where it did all episodes)."""
        ended = _now()
        self.running.discard(trial)
        self._put(lambda: self.client.set_tag(self.children[trial], "stopped_by", stopped_by), trial)
        self._put(lambda: self.client.set_terminated(self.children[trial], status, ended), trial)

    def summarise(
        self,
        metrics: Mapping[str, float | None],
        step: int,
        note: str,
        artifacts: list[Path],
        tags: Mapping[str, str] | None = None,
        winner: str | None = None,
    ) -> None:
        """Logs the sweep's own metrics, a description in Markdown, tags and files, marks the winning trial, and closes
        the parent run.
        """
        entries, ended, last = _entries(metrics, step), _now(), _tags({NOTE_TAG: note, **(tags or {})})
        self._put(lambda: self._log(self.run_id, EPISODES, step, entries))
        self._put(lambda: self.client.log_batch(self.run_id, tags=last))
        if winner is not None:
            self._put(lambda: self.client.set_tag(self.children[winner], "winner", "yes"), winner)
        for artifact in map(str, artifacts):
            self._put(partial(self.client.log_artifact, self.run_id, artifact))
        self._put(lambda: self.client.set_terminated(self.run_id, "FINISHED", ended))

    def end(self, status: str) -> None:
        """Closes the parent run and those of trials that have not ended as FAILED or KILLED (the command was told to
        end); the same command again goes on with them.
        """
        if self.parent is None:
            return
        ended = _now()
        for trial in (*sorted(self.running), None):
            with suppress(Exception):  # what failed before is not news any more
                self._put(partial(self._terminate, trial, status, ended), trial)

    def _terminate(self, trial: str | None, status: str, ended: int) -> None:
        run_id = self.run_id if trial is None else self.children[trial]
        self.client.set_terminated(run_id, status, ended)

    def flush(self, seconds: float) -> int:
        """Waits until all is recorded, but no longer than that. Returns how many calls are left."""
        return self.outbox.flush(seconds)

    def close(self) -> None:
        """Sends no more, whatever waits; `flush` comes first."""
        self.outbox.close()

    def is_deleted(self, trial: str | None = None) -> bool:
        """Returns whether a trial's run is deleted, by which an entry was refused. Raises DeletedError where the
        experiment or the parent is: the entry waits then.
        """
        return self.deletions.explain(self.run_id, self.children.get(trial) if trial else None)

    def _put(self, call: Callable[[], None], trial: str | None = None) -> None:
        def told() -> None:
            try:
                call()
            except (MlflowException, OSError) as error:
                if is_transient(error):
                    raise
                if not self.is_deleted(trial):
                    raise refused(error) from None
            self.deletions.now = None

        self.outbox.put(told)

    def _open(
        self,
        identity: str,
        name: str,
        parameters: Values,
        tags: Mapping[str, str],
        data: Sequence[Data],
        begun: int,
        fresh: bool = False,
    ) -> Run:
        """Returns the run of an identity, made where it is not there: `fresh` says that it cannot be."""
        run = None if fresh else self._find(identity)
        if run is None:
            named = masked({**tags, IDENTITY_TAG: identity})
            self.client.create_run(self.experiment_id, begun, named, on_a_line(without_secrets(name)))
            run = self._find(identity)
            assert run is not None, f"the run of {identity} was made and is not there"
        else:
            self.client.update_run(run.info.run_id, status="RUNNING")
        # Whoever made the run may have ended before its parameters were there, or was another version of this.
        missing = {key: value for key, value in parameters.items() if key not in run.data.params}
        entries = [Param(key, cut(without_secrets(str(value)), LONGEST_PARAMETER)) for key, value in missing.items()]
        changed = [tag for tag in _tags(tags) if run.data.tags.get(tag.key) != tag.value]
        for first in range(0, max(len(entries), len(changed)), BATCH):
            part = slice(first, first + BATCH)
            self.client.log_batch(run.info.run_id, params=entries[part], tags=changed[part])
        inputs = run.inputs.dataset_inputs if run.inputs else []  # an old server tells none
        there = {(one.dataset.name, one.dataset.digest) for one in inputs}
        if new := [_input(one) for one in data if (one.name, one.digest) not in there]:
            self.client.log_inputs(run.info.run_id, new)
        self.logged |= {(run.info.run_id, by): set() for by in STEPPED if by not in run.data.metrics}
        return run

    def _find(self, identity: str) -> Run | None:
        """Returns the run of an identity, None where there is none. A request to make a run may be carried out long
        after nobody waits for its answer any more, when another run has been made: of such doubles the run that holds
        most is taken, and empty runs are deleted.
        """
        found = self.client.search_runs([self.experiment_id], f"tags.`{IDENTITY_TAG}` = '{identity}'")
        found.sort(key=lambda run: (-len(run.data.metrics), -len(run.data.params), run.info.run_id))
        for double in found[1:]:
            if not double.data.metrics:
                with suppress(MlflowException):  # it takes a permission of its own, and an empty run does no harm
                    self.client.delete_run(double.info.run_id)
        return found[0] if found else None

    def _log(self, run_id: str, by: str, step: int, entries: list[Metric], tags: Sequence[RunTag] = ()) -> None:
        """Logs metrics, but for those of a step at which the run has the metric called `by`."""
        if (run_id, by) not in self.logged:
            history = self.client.get_metric_history(run_id, by)
            self.logged[run_id, by] = {metric.step for metric in history}
        new = [] if step in self.logged[run_id, by] else entries
        if new or tags:
            self.client.log_batch(run_id, new, tags=tags)
        if new:
            self.logged[run_id, by].add(step)


def _now() -> int:
    """Returns milliseconds since 1970, taken when something happened, which may be long before it can be sent."""
    return time.time_ns() // 10**6


def _entries(metrics: Mapping[str, float | None], step: int) -> list[Metric]:
    """Returns metrics that are stamped once: MLflow leaves out a metric that is sent again and is the same to the
    millisecond.

    What is not known is left out: the interval of a single episode is infinite, and MLflow makes 1.8e308 of that.
    """
    now, known = _now(), {key: float(value) for key, value in metrics.items() if value is not None}
    return [Metric(key, value, now, step) for key, value in known.items() if isfinite(value)]


def _tags(tags: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(key, cut(without_secrets(value), LONGEST_TAG)) for key, value in tags.items()]


def _input(data: Data) -> DatasetInput:
    source, profile = json.dumps({"uri": without_secrets(data.uri)}), json.dumps(data.profile)
    dataset = Dataset(data.name, data.digest, data.source_type, source, profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", data.context)])
