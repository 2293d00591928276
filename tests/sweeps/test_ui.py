"""`fpt ui`, most of it with a server of MLflow's own."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from typer.testing import CliRunner

from sweeps import cli
from sweeps import ui as browse
from sweeps.schema.loading import load
from sweeps.schema.sweep import Sweep
from sweeps.tracking.store import tracking_uri
from sweeps.tracking.views import PAGES, TAG
from tests.sweeps.tiny import CONFIG


def typed(*arguments):
    return CliRunner().invoke(cli.app, ["ui", *arguments])


@pytest.fixture
def taken():
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_results_are_needed(here):
    for arguments, home in (([str(CONFIG), "--set=home=home"], "home"), ([], "runs")):
        result = typed(*arguments)
        assert result.exit_code == 2
        sentence = f"fpt: home must hold results but {here}/{home}/mlflow.db is not there; fpt sweep makes it\n"
        assert result.stderr == sentence
    assert list(here.iterdir()) == []


def test_a_port_that_is_taken_is_refused_or_passed_over(here, taken, monkeypatch, capsys):
    Path("runs").mkdir()
    Path("runs/mlflow.db").touch()
    result = typed("--port", str(taken))
    assert result.exit_code == 2
    assert result.stderr == f"fpt: --port must be free but {taken} is taken; leave it out to have a free one chosen\n"
    monkeypatch.setattr(browse, "PORT", taken)
    free = browse.free_port(None)
    assert taken < free < taken + browse.TRIES
    assert f"port {taken} is taken, so it is {free}" in capsys.readouterr().err
    monkeypatch.setattr(browse, "TRIES", 1)
    with pytest.raises(ValueError, match=f"--port must be given, as {taken} to {taken} are all taken"):
        browse.free_port(None)


def test_a_server_that_has_the_results_is_named_without_its_password(here):
    uri = "https://me:secret@host:5000"
    result = typed(str(CONFIG), f"--set=tracking_uri={uri}", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["url"] == "https://me:***@host:5000"
    assert "https://me:***@host:5000" in result.stderr
    assert "secret" not in result.output


@pytest.mark.parametrize(
    ("fields", "uri"),
    [
        ({}, "sqlite:///{here}/runs/mlflow.db"),
        ({"home": "a"}, "sqlite:///{here}/a/mlflow.db"),
        ({"home": "file:///a/b"}, "sqlite:////a/b/mlflow.db"),
        ({"tracking_uri": "http://host"}, "http://host"),
    ],
)
def test_the_store_is_where_sweeps_record(fields, uri, here, monkeypatch):
    monkeypatch.delenv("FPT_HOME", raising=False)
    sweep = load(CONFIG, [f"{name}={value}" for name, value in fields.items()])
    assert tracking_uri(sweep) == uri.format(here=here)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
    assert tracking_uri(sweep) == ("http://host" if "tracking_uri" in fields else "http://other")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ValueError, match=r"tracking_uri .* must be set where home is on an object store"):
        tracking_uri(Sweep.model_construct(home="s3://bucket"))


def recorded(folder, *names):
    """A store with runs of each name. Returns experiment and run of the newest finished sweep of each."""
    folder.mkdir()
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    places = []
    for number, name in enumerate(names):
        experiment = client.create_experiment(name, (folder / "artifacts").as_uri())
        made = {}
        for kind, ends, status in (
            ("sweep", 1, "FINISHED"),
            ("sweep", 2, "FINISHED"),
            ("sweep", 3, "FAILED"),
            ("sweep", 0, None),
            ("trial", 4, "FINISHED"),
        ):
            run = client.create_run(experiment, start_time=1, tags={"fpt.kind": kind})
            made[ends] = run.info.run_id
            if status:
                client.set_terminated(run.info.run_id, status, end_time=10 * number + ends)
        places.append((experiment, made[2]))
    return places


def test_what_is_typed_reaches_the_server(here, monkeypatch):
    asked = []
    monkeypatch.setattr(browse, "browse", lambda *these: asked.append(these) or 0)
    monkeypatch.setenv("FPT_HOME", "elsewhere")
    assert typed().exit_code == 0
    assert typed(str(CONFIG), "--set=home=home", "--port", "5123", "--json", "--open").exit_code == 0
    assert asked == [
        (f"sqlite:///{here}/elsewhere/mlflow.db", None, None, False, False),
        (f"sqlite:///{here}/home/mlflow.db", "glyphs", 5123, True, True),
    ]


def started(here, *arguments):
    """`fpt ui`, and what it has told once its server answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps.cli", "ui", *arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
    )
    return process, json.loads(process.stdout.readline() or "null")


def children_of(pid):
    """All processes below one, by their command lines."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in below] + [deeper for one in below for deeper in children_of(one)]


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def status_of(port, host, origin=None):
    """What the server answers to a search, as a browser at that address asks it."""
    headers = {"Host": f"{host}:{port}", "Content-Type": "application/json"}
    headers |= {"Origin": origin} if origin else {}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as server:
        server.request("POST", "/ajax-api/2.0/mlflow/experiments/search", '{"max_results": 1}', headers)
        return server.getresponse().status


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
def test_the_server_answers_says_where_to_click_and_ends_with_all_its_processes(here):
    places = recorded(here / "runs", "first", "tiny", "last")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for number, arguments, (experiment, run) in (
        (signal.SIGINT, [str(CONFIG), "--set=name=tiny"], places[1]),
        (signal.SIGTERM, [], places[2]),
    ):
        process, told = started(here, *arguments, "--port", str(port))
        url = f"http://127.0.0.1:{port}"
        there = f"{url}/#/experiments/{experiment}"
        assert told == {
            "url": url,
            "experiment_url": f"{there}/runs?{PAGES}",
            "run_url": f"{there}/runs/{run}?{PAGES}",
            "report_url": f"{there}/runs/{run}/artifactPath/report.html?{PAGES}",
            "pid": process.pid,
        }
        with urllib.request.urlopen(url, timeout=60) as page:
            assert b"<html" in page.read()
        for host in ("127.0.0.1", "localhost"):
            assert status_of(port, host, f"http://{host}:{port}") == 200
        assert status_of(port, "elsewhere.example") == 403
        assert status_of(port, "127.0.0.1", "http://elsewhere.example") == 403
        below = children_of(process.pid)
        assert below
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0
        assert not [pid for pid in below if lives(pid)]
        lines = [line for line in said.splitlines() if "invalid Host" not in line and "origin" not in line.lower()]
        assert lines == [
            "fpt: starting MLflow",
            f"fpt: MLflow is at {url} until Ctrl-C here",
            "fpt: the experiment",
            f"  {there}/runs?{PAGES}",
            "fpt: the report of its newest finished sweep",
            f"  {there}/runs/{run}/artifactPath/report.html?{PAGES}",
        ]
    assert [path.name for path in here.iterdir()] == [
        "runs"
    ]  # a server makes no folders of its own where it is started


@pytest.mark.slow
def test_a_store_that_mlflow_cannot_read_is_told_of(here):
    (here / "runs").mkdir()
    (here / "runs" / "mlflow.db").write_text("this is no database, whatever its name is" * 100)
    process, told = started(here)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, told) == (1, None)
    assert "file is not a database" in said
    assert said.splitlines()[-1].startswith("fpt: RuntimeError: MLflow could not be started, status 1")


def test_places_are_asked_of_the_server(monkeypatch):
    answers = {
        "experiments/search": {"experiments": [{"experiment_id": "7", "name": "mine"}]},
        "runs/search": {},
    }
    monkeypatch.setattr(browse, "_asked", lambda url, what, **question: answers[what])
    url = "http://127.0.0.1:5000"
    page = f"{url}/#/experiments/7/runs?workflowType=machine_learning"
    assert browse.find_places(url, "mine") == browse.Places(url, page)
    answers["experiments/search"]["experiments"][0]["tags"] = [{"key": TAG, "value": "a view"}]
    assert browse.find_places(url, "mine") == browse.Places(url, f"{page}&viewStateShareKey=fpt-trials")
    assert browse.find_places(url, None) == browse.Places(url)
    assert browse.find_places(url, "other") == browse.Places(url)
    told = list(browse._as_lines(browse.Places(url), "other"))
    assert told[-1] == "fpt: it has no experiment 'other' yet; fpt sweep makes it"
