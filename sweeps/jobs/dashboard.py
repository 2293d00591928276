"""A cluster's dashboard takes jobs: here are its address, the token that it may ask for, and Ray's client of it."""

import logging
import os
import shlex
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
CONNECT_SECONDS, ANSWER_SECONDS = 4, 6
PYTHON_TRIES, PYTHON_PAUSE = 6, 2.0  # a head node that has just begun tells of itself some seconds later
WORKERS_COMMAND = "--python_worker_command="  # with which Ray's own process on a node is told to start Pythons
CHATTY = ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env.packaging")
GET_TOKEN = (
    "`ray exec cluster.yaml 'ray get-auth-token'` prints it (or copy ~/.ray/auth_token from the head node); "
    "then set RAY_AUTH_TOKEN"
)


def dashboard_address(given: str | None) -> str:
    """Returns the URL of a cluster's dashboard, given or from the environment. Raises ValueError for anything else."""
    from_environment = (os.environ.get(name, "") for name in ADDRESSES)
    address = given or next((one for one in from_environment if one.startswith(("http://", "https://"))), "")
    allowed = "address must be the URL of a Ray dashboard, e.g. http://127.0.0.1:8265,"
    if not address:
        raise ValueError(f"{allowed} by --address or {ADDRESSES[0]}, but is missing")
    if "@" in address:
        raise ValueError(f"{allowed} without a user or password")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{allowed} but got {address!r}")
    return address.rstrip("/")


def find_token() -> str | None:
    """Returns the token from where Ray looks for it: RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token;
    None where there is none, or where the mode is off. Raises ValueError for a token that cannot be meant.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return None
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    if not token:
        named = os.environ.get("RAY_AUTH_TOKEN_PATH")
        path = Path(named) if named else Path.home() / ".ray" / "auth_token"
        if named and not path.is_file():
            raise ValueError(f"RAY_AUTH_TOKEN_PATH must be a file that holds a token but {named!r} is none")
        token = path.read_text(encoding="utf-8") if path.is_file() else ""
    if len(token.split()) > 1:
        raise ValueError("the token must be one word but holds spaces or several lines")
    if not token.strip() and os.environ.get("RAY_AUTH_MODE"):
        raise ValueError(f"RAY_AUTH_MODE=token must come with a token but none was found here: {GET_TOKEN}")
    return token.strip() or None


def connect(address: str) -> Any:
    """Returns Ray's client of a cluster's job server. Raises ValueError within seconds where that does not answer, or
    refuses.
    """
    import requests

    headers = _headers()
    try:
        timeouts = (CONNECT_SECONDS, ANSWER_SECONDS)
        answer = requests.get(f"{address}/api/version", headers=headers, timeout=timeouts)
    except requests.RequestException as error:
        raise ValueError(f"address must be a Ray dashboard that answers but {address} does not") from error
    if answer.status_code in (401, 403):
        refused = "the one that was sent is another" if headers else "none was found here"
        raise ValueError(f"{address} must be given the cluster's token but {refused}: {GET_TOKEN}")
    theirs = _ray_version(answer)
    if theirs is None:
        raise ValueError(f"address must be a Ray dashboard but {address} is a server of something else")
    if theirs != (ours := version("ray")):
        raise ValueError(
            f"address must be that of a cluster with the Ray that is here, {ours}, but {address} has {theirs}; "
            f"pip install ray=={theirs} here, or the other there, makes them the same"
        )
    os.environ[ADDRESSES[0]] = address  # or what the environment says would win over the argument
    from ray.job_submission import JobSubmissionClient

    for module in CHATTY:
        logging.getLogger(f"ray.{module}").setLevel(logging.WARNING)
    return JobSubmissionClient(address, headers=headers)


def python_of_ray(address: str, pause: float = PYTHON_PAUSE) -> str | None:
    """Returns the Python that Ray itself runs on a cluster's head node, None where the dashboard does not tell."""
    import requests

    for tried in range(PYTHON_TRIES):
        if tried:
            time.sleep(pause)
        try:
            timeouts = (CONNECT_SECONDS, ANSWER_SECONDS)
            answer = requests.get(f"{address}/nodes?view=summary", headers=_headers(), timeout=timeouts)
            nodes = answer.json()["data"]["summary"] if answer.ok else []
        except (requests.RequestException, ValueError, KeyError, TypeError):
            nodes = []
        for node in nodes:
            if node.get("raylet", {}).get("isHeadNode") and (found := _python_in(node.get("cmdline") or [])):
                return found
    return None


def _python_in(command: list[str]) -> str | None:
    """Returns the Python that Ray's process on a node starts, by the command that started that process itself."""
    told = next((part.removeprefix(WORKERS_COMMAND) for part in command if part.startswith(WORKERS_COMMAND)), "")
    return next(iter(shlex.split(told)), None)


def _headers() -> dict[str, str]:
    token = find_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _ray_version(answer: Any) -> str | None:
    """Returns the version of Ray that a server tells, None where it is none of Ray's."""
    try:
        told = answer.json() if answer.ok else None
    except ValueError:  # a page
        return None
    return str(told["ray_version"]) if isinstance(told, dict) and "ray_version" in told else None
