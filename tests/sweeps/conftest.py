import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.config import plain_run
from sweeps import cli
from sweeps.jobs import dashboard
from sweeps.jobs import ray_job as jobs
from sweeps.tracking.tracker import Tracker
from tests.sweeps.jobs.job_server import URL, Cluster
from tests.sweeps.ledgers import WITH
from tests.sweeps.tiny import CONFIG, TINY
from tests.sweeps.whole import ended, started


@pytest.fixture
def unreachable() -> str:
    """The URI of a server that does not answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder in which a command is typed; what commands set in the environment is put back."""
    for name in (
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        "MLFLOW_HTTP_REQUEST_TIMEOUT",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
        "RAY_AIR_NEW_OUTPUT",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS",
        "TUNE_DISABLE_SIGINT_HANDLER",
    ):
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def fpt(here, monkeypatch):
    """Types a command of a tiny sweep in an empty folder, with a home below it."""
    monkeypatch.delenv("FPT_TRACEBACK", raising=False)

    def typed(*arguments, overrides=()):
        sets = [f"--set={override}" for override in (*TINY, "home=home", *overrides)]
        return CliRunner().invoke(cli.app, [*arguments, *sets])

    return typed


@pytest.fixture
def compare(here):
    """Types the command in an empty folder."""
    return lambda *arguments: CliRunner().invoke(cli.app, ["compare", *arguments])


@pytest.fixture
def config(here):
    """A file that holds WITH."""
    described = plain_run(WITH).model_dump(by_alias=True, mode="json")
    (here / "tiny.yaml").write_text(yaml.safe_dump(described))
    return "tiny.yaml"


@pytest.fixture(scope="session")
def uri(tmp_path_factory) -> str:
    """A SQLite store; making one takes MLflow seconds, so tests share it, under experiments of their own."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def tracker(uri, request) -> Iterator[Tracker]:
    tracker = Tracker(uri, request.node.name)
    yield tracker
    tracker.close()


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def submit(here, cluster, monkeypatch):
    """Types `fpt submit` in a folder that holds a configuration, for a cluster in memory."""
    for name in (*dashboard.ADDRESSES, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "FPT_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(here.parent))
    monkeypatch.setattr(dashboard, "connect", lambda address: cluster)
    monkeypatch.setattr(dashboard, "python_of_ray", lambda address: "/of/ray/bin/python")
    monkeypatch.setattr(jobs, "PAUSE", 0.0)
    shutil.copy(CONFIG, here / "one.yaml")

    def typed(*arguments, options=("--address", URL)):
        return CliRunner().invoke(cli.app, ["submit", *options, "--", *arguments])

    return typed


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A sweep that nothing has happened to: its home, and what it printed."""
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    return home, ended(started(home))


@pytest.fixture
def home(undisturbed, tmp_path):
    """Another home, with the same images."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "images").symlink_to(undisturbed[0] / "images")
    return tmp_path / "home"
