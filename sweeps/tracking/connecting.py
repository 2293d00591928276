"""How MLflow's client is set up, where it puts files, and which of its errors are whose fault."""

import logging
import os
from typing import Any

from requests import RequestException

from pipeline.storage.masking import sentence, without_secrets
from pipeline.storage.sqlite import database_of

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


def quiet() -> None:
    """Silences notes on migrations, and has an unreachable server said to be so within seconds, not minutes."""
    logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # MLflow's own tries again send what may have been carried out; the outbox looks first.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    # A line for each run that ends, with the password of the tracking URI.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # A model would get the lock file of whatever project the command was typed in.
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")


def artifacts_beside(tracking_uri: str) -> str | None:
    """Returns where files lie, beside a SQLite database; returns None for a server, which knows that itself."""
    database = database_of(tracking_uri)
    return None if database is None else (database.resolve().parent / "artifacts").as_uri()


def experiment_of(client: Any, name: str, tracking_uri: str) -> str:
    """Returns the id of an experiment, made where it is not there; another command may make it at the same time."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifacts_beside(tracking_uri)))
        except Exception as error:  # an MlflowException
            found = client.get_experiment_by_name(name)
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS" or found is None:
                raise
    return str(found.experiment_id)


def is_transient(error: Exception) -> bool:
    """Returns whether a later try may succeed: the server or the way to it is at fault, not what was asked."""
    if isinstance(error, RequestException):
        return error.response is None or error.response.status_code >= 500
    if (code := getattr(error, "error_code", None)) is not None:  # an MlflowException
        return code in TRANSIENT
    return isinstance(error, ConnectionError | TimeoutError)  # other OSErrors are about files


def unreachable(tracking_uri: str, why: object) -> ValueError:
    """Returns an error to be raised without the error that it comes from, which may quote the password."""
    uri = without_secrets(tracking_uri)
    return ValueError(f"tracking_uri must be one that MLflow can reach but {uri!r} failed: {sentence(why)[:160]}")


def refused(why: object) -> RuntimeError:
    """Returns an error to be raised without the error that it comes from, which may quote the password."""
    return RuntimeError(f"MLflow did not take what there was to record: {sentence(why)[:1000]}")
