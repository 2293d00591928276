"""What MLflow's store holds, read: whether it answers, and what a trial's run was. Nothing is written."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.exceptions import MlflowException

from pipeline.storage.masking import without_secrets
from pipeline.storage.sqlite import BUSY_SECONDS, database_of
from sweeps.tracking.connecting import quiet, unreachable
from sweeps.tracking.deleted import EXPERIMENT, Deleted
from sweeps.tracking.fields import hyper_parameters_of, of_its_own


def check_tracking(tracking_uri: str, experiment: str) -> None:
    """Raises ValueError for a tracking URI that is none, a server that does not answer, and an experiment of that name
    that somebody has deleted, with what brings it back. Writes nothing.
    """
    quiet()
    if (database := database_of(tracking_uri)) is not None:
        existing = next(parent for parent in database.parents if parent.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise unreachable(tracking_uri, f"cannot write in {existing}")
    try:
        deleted = _deleted_here(database, experiment) if database else _deleted_there(tracking_uri, experiment)
    except Exception as error:
        raise unreachable(tracking_uri, error) from None
    if deleted is not None:
        restored = Deleted(EXPERIMENT, deleted, purged=False).restored(tracking_uri)
        raise ValueError(
            f"name must be one that MLflow can record under, but experiment {experiment!r} was deleted in its pages: "
            f"{restored} brings it back with its runs, another name makes another"
        )


def _deleted_here(database: Path, experiment: str) -> str | None:
    """Returns the id of an experiment that was deleted, None where it was not. MLflow itself takes seconds to look."""
    if not database.is_file():
        return None
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection:
        made = connection.execute("select 1 from sqlite_master where name = 'experiments'").fetchone()
        asked = "select experiment_id from experiments where name = ? and lifecycle_stage = 'deleted'"
        found = connection.execute(asked, (experiment,)).fetchone() if made else None
    return None if found is None else str(found[0])


def _deleted_there(tracking_uri: str, experiment: str) -> str | None:
    found = mlflow.MlflowClient(tracking_uri=tracking_uri).get_experiment_by_name(experiment)
    return found.experiment_id if found is not None and found.lifecycle_stage == "deleted" else None


def recorded_trial(tracking_uri: str, run_id: str) -> tuple[dict[str, str], dict[str, str]]:
    """Returns hyper-parameters of a trial's run, as text, and parameters of its sweep's, with the trial's own backbone
    and inputs. Writes nothing.

    Raises ValueError for a store that is not there or cannot be reached, and a run that is not there or no trial's.
    """
    quiet()
    if (database := database_of(tracking_uri)) is not None and not database.is_file():  # MLflow would make one
        raise ValueError(f"run {run_id} must be in MLflow's store but there is no {database}")
    try:
        client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        trial = client.get_run(run_id)
        parent = trial.data.tags.get("mlflow.parentRunId")
        sweep = client.get_run(parent) if parent else None
    except Exception as error:
        if isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise ValueError(f"run {run_id} must be in {without_secrets(tracking_uri)} but is not") from None
        raise unreachable(tracking_uri, error) from None
    if sweep is None or trial.data.tags.get("fpt.kind") != "trial":
        kind = trial.data.tags.get("fpt.kind", "run of something else")
        raise ValueError(f"run {run_id} must be a trial's but is a {kind}, which is no single configuration")
    return hyper_parameters_of(trial.data.params), {**sweep.data.params, **of_its_own(trial.data.params)}


def recorded_winner(tracking_uri: str, run_id: str, file: str, optional: bool = False) -> str | None:
    """Returns the file in which a finished sweep's run keeps its winner, None for a run that is no sweep's, and for an
    `optional` file that is not there.

    Raises ValueError for a store that is not there or cannot be reached, a run that is not there, and a sweep that has
    not finished.
    """
    quiet()
    if (database := database_of(tracking_uri)) is not None and not database.is_file():  # MLflow would make one
        raise ValueError(f"run {run_id} must be in MLflow's store but there is no {database}")
    try:
        client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        if client.get_run(run_id).data.tags.get("fpt.kind") != "sweep":
            return None
        if file not in {artifact.path for artifact in client.list_artifacts(run_id)}:
            if optional:
                return None
            raise ValueError(f"run {run_id} must be that of a finished sweep but has no {file} yet")
        with TemporaryDirectory() as folder:
            return Path(client.download_artifacts(run_id, file, folder)).read_text(encoding="utf-8")
    except ValueError:
        raise
    except Exception as error:
        if isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise ValueError(f"run {run_id} must be in {without_secrets(tracking_uri)} but is not") from None
        raise unreachable(tracking_uri, error) from None
