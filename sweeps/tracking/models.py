"""A sweep's winner in MLflow: a logged model of the sweep's run, a version in the registry, an alias for the best.

All of it goes through the tracker's outbox, is found again by what identifies it, and is no reason to end a sweep.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline.storage.masking import masked, sentence
from sweeps.tracking.connecting import is_transient
from sweeps.tracking.fields import Data
from sweeps.tracking.model_folder import with_run
from sweeps.tracking.tracker import IDENTITY_TAG, Tracker

BEST = "best"  # the alias of a registered model
VERSIONS_TAG = "mlflow.modelVersions"  # by which MLflow's page of a model finds its versions
WHY_TAG = "fpt.best"  # of a version: why the alias is its own or is not

# Whether a version beats another, of which the tags are given; and why, in words.
Beats = Callable[[Mapping[str, str]], tuple[bool, str]]


@dataclass
class Winner:
    """A winner is a folder that `write_model` has made, and what MLflow is told of it. `identity` tells one model of a
    sweep from another; `model_id` is MLflow's own once it is there.
    """

    identity: str
    name: str
    folder: Path
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    model_id: str = field(default="", init=False)


def log_winner(tracker: Tracker, winner: Winner) -> None:
    """Has the model made, filled and linked to the sweep's run, or found where it is there already."""
    for step in (_make, _fill, _link):
        _put(tracker, partial(step, tracker, winner))


def log_measured(tracker: Tracker, winner: Winner, names: Sequence[str], data: Sequence[Data]) -> None:
    """Has those metrics of the sweep's run told of the model too, on the data of its final episodes."""
    of = next((one for one in data if one.context == "final"), None)
    _put(tracker, partial(_measure, tracker, winner, names, of))


def register_winner(tracker: Tracker, winner: Winner, name: str, beats: Beats) -> None:
    """Has the model registered as a version of `name`, and its alias set where no other has it or `beats` says so."""
    _put(tracker, partial(_register, tracker, winner, name, beats))


def _put(tracker: Tracker, step: Callable[[], None]) -> None:
    """Has a step done. What MLflow refuses is said, and does not end the sweep: its results do not hang on a model.
    Where the sweep's run is deleted, the step waits until that is restored, as all else does.
    """

    def told() -> None:
        try:
            step()
            tracker.deletions.now = None
        except (MlflowException, OSError) as error:
            if is_transient(error):
                raise
            tracker.is_deleted()
            said = f"fpt: MLflow did not take the winner as a model: {sentence(error)[:300]}; all else is recorded"
            print(said, file=sys.stderr, flush=True)

    tracker.outbox.put(told)


def _make(tracker: Tracker, winner: Winner) -> None:
    client, wanted = tracker.client, f"tags.`{IDENTITY_TAG}` = '{winner.identity}'"
    found = client.search_logged_models([tracker.experiment_id], wanted)
    if found:
        winner.model_id = found[0].model_id
        client.set_logged_model_tags(winner.model_id, masked(dict(winner.tags)))
        return
    made = client.create_logged_model(
        tracker.experiment_id,
        winner.name,
        tracker.run_id,
        masked({**winner.tags, IDENTITY_TAG: winner.identity}),
        dict(winner.parameters),
        "few-shot classifier",
    )
    winner.model_id = made.model_id


def _fill(tracker: Tracker, winner: Winner) -> None:
    if not winner.model_id:
        return
    held = tracker.client.get_logged_model(winner.model_id)
    if held.status == LoggedModelStatus.READY:
        return
    with_run(winner.folder, held.model_id, held.artifact_location, tracker.run_id)
    tracker.client.log_model_artifacts(held.model_id, str(winner.folder))
    tracker.client.finalize_logged_model(held.model_id, LoggedModelStatus.READY)


def _link(tracker: Tracker, winner: Winner) -> None:
    outputs = tracker.client.get_run(tracker.run_id).outputs
    linked = {one.model_id for one in outputs.model_outputs} if outputs is not None else set()
    if winner.model_id and winner.model_id not in linked:
        tracker.client.log_outputs(tracker.run_id, [LoggedModelOutput(winner.model_id, step=0)])


def _measure(tracker: Tracker, winner: Winner, names: Sequence[str], of: Data | None) -> None:
    """Logs the run's metrics once more, each as it was stamped: the run, which has them, takes no second one."""
    if not winner.model_id:
        return
    histories = [tracker.client.get_metric_history(tracker.run_id, name) for name in names]
    entries = [
        Metric(
            history[-1].key,
            history[-1].value,
            history[-1].timestamp,
            history[-1].step,
            model_id=winner.model_id,
            dataset_name=None if of is None else of.name,
            dataset_digest=None if of is None else of.digest,
            run_id=tracker.run_id,
        )
        for history in histories
        if history
    ]
    tracker.client.log_batch(tracker.run_id, entries)


def _register(tracker: Tracker, winner: Winner, name: str, beats: Beats) -> None:
    if not winner.model_id:
        return
    version = _version(tracker, winner, name)
    holder = _holder(tracker, name)
    if holder is not None and holder.version == version.version:
        return
    if holder is None:
        better, why = True, "the first"
    elif holder.tags.get(IDENTITY_TAG) == winner.identity:
        better, why = True, "the same model, which was deleted and is made anew"
    else:
        better, why = beats(holder.tags)
    if holder is not None:
        why = f"{why}, against version {holder.version}"
    tracker.client.set_model_version_tag(name, version.version, WHY_TAG, why)
    if better:
        tracker.client.set_registered_model_alias(name, BEST, version.version)
    print(f"fpt: version {version.version} of {name} {'is' if better else 'is not'} its best: {why}", file=sys.stderr)


def _version(tracker: Tracker, winner: Winner, name: str) -> ModelVersion:
    """Returns the model's version, made where it is not there; one of a model that was deleted since is another."""
    client = tracker.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model = client.get_logged_model(winner.model_id)
    for version in client.search_model_versions(f"run_id = '{tracker.run_id}'"):
        own = version.tags.get(IDENTITY_TAG), version.source
        if version.name == name and own == (winner.identity, model.artifact_location):
            return version
    tags = masked({**winner.tags, IDENTITY_TAG: winner.identity})
    # Its address would do as `models:/ID`, which MLflow looks up in the store of the whole process.
    made = client.create_model_version(
        name, model.artifact_location, tracker.run_id, tags, model_id=winner.model_id, await_creation_for=None
    )
    held = model.tags.get(VERSIONS_TAG)
    versions = [*(json.loads(held) if held else []), {"name": made.name, "version": made.version}]
    client.set_logged_model_tags(winner.model_id, {VERSIONS_TAG: json.dumps(versions)})
    return made


def _holder(tracker: Tracker, name: str) -> ModelVersion | None:
    try:
        return tracker.client.get_model_version_by_alias(name, BEST)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
