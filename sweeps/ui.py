"""`fpt ui`: MLflow's own server on a sweep's store, on this machine only, for as long as somebody looks at it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from pipeline.storage.masking import without_secrets
from pipeline.storage.sqlite import database_of
from sweeps.terminal.messages import say
from sweeps.tracking.views import PAGES, TAG, VIEW

HOST, PORT, TRIES = "127.0.0.1", 5000, 20  # ports looked at from the first on, where none is asked for
START_SECONDS, STOP_SECONDS, PAUSE = 180.0, 5.0, 0.2
REPORT = "report.html"  # among the artifacts of a sweep's run
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last is a terminal that is closed


@dataclass(frozen=True)
class Places:
    """These places are where to click: MLflow itself, the experiment, the newest sweep in it that has finished, if
    there is one, and that sweep's report, as MLflow shows it.
    """

    url: str
    experiment: str | None = None
    run: str | None = None
    report: str | None = None

    def as_json(self, pid: int | None) -> dict[str, Any]:
        urls = {"url": self.url, "experiment_url": self.experiment, "run_url": self.run, "report_url": self.report}
        return {**urls, "pid": pid}


def browse(uri: str, experiment: str | None, port: int | None, as_json: bool, opens: bool) -> int:
    """Serves a store until it is stopped, or says which server has the results. Returns the exit status.

    `experiment` is the sweeps' name, None for the newest sweep of any. Raises ValueError for a store that is not there
    and a port that is taken.
    """
    if uri.partition(":")[0].partition("+")[0] not in DATABASES:
        there = Places(without_secrets(uri))
        say(f"fpt: the results are on a server already: {there.url}")
        _hand_out(there, None, as_json, opens)
        return 0
    database = database_of(uri)
    if database is not None and not database.is_file():  # MLflow would make one
        raise ValueError(f"home must hold results but {database} is not there; fpt sweep makes it")
    port = free_port(port)
    say("fpt: starting MLflow")
    with _told_to_stop() as stop, _server(uri, port) as server:
        _wait_for(server, port, stop)
        if not stop.is_set():
            places = find_places(f"http://{HOST}:{port}", experiment)
            for line in _as_lines(places, experiment):
                say(line)
            _hand_out(places, os.getpid(), as_json, opens)
        while not stop.wait(PAUSE):
            if server.poll() is not None:
                say(f"fpt: MLflow ended by itself, status {server.returncode}")
                return 1
    return 0


def free_port(port: int | None) -> int:
    """Returns the port that is asked for, or 5000 or else the next that is free. Raises ValueError
    where there is none.
    """
    if port is not None:
        if not _is_free(port):
            raise ValueError(f"--port must be free but {port} is taken; leave it out to have a free one chosen")
        return port
    for candidate in range(PORT, PORT + TRIES):
        if _is_free(candidate):
            if candidate != PORT:
                say(f"fpt: port {PORT} is taken, so it is {candidate}")
            return candidate
    raise ValueError(f"--port must be given, as {PORT} to {PORT + TRIES - 1} are all taken, but is not")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """Yields an event that a signal sets. No signal raises anything, so that none comes between a
    process and its end.
    """
    stop = threading.Event()

    def told(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {each: signal.signal(each, told) for each in STOPS}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _server(uri: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Yields the first of MLflow's processes, which all have ended when the block has."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning --timeout-graceful-shutdown 1"]
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,  # not an argument: it may hold a password, and those are seen by all
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # nine processes that nothing here uses
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "PYTHONWARNINGS": "ignore",  # of what MLflow should import otherwise
    }
    # A session of its own: Ctrl-C is for this process alone, which then ends all of that group.
    server = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    telling = threading.Thread(target=_tell_problems, args=(server,), daemon=True)
    telling.start()
    try:
        yield server
    finally:
        _end(server)
        telling.join(STOP_SECONDS)


def _tell_problems(server: "subprocess.Popen[bytes]") -> None:
    """Passes on what MLflow says, but for its word that it is as safe as it is meant to be."""
    assert server.stderr is not None
    with server.stderr as lines:
        for line in lines:
            if not line.startswith(b"[MLflow] Security middleware enabled"):
                say(line.decode(errors="replace").rstrip())


def _end(server: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        until = time.monotonic() + STOP_SECONDS
        while _group_lives(server) and time.monotonic() < until:
            time.sleep(PAUSE)


def _group_lives(server: "subprocess.Popen[bytes]") -> bool:
    server.poll()  # or it would be a zombie, which counts as alive
    try:
        os.killpg(server.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_for(server: "subprocess.Popen[bytes]", port: int, stop: threading.Event) -> None:
    """Waits until the server answers, or `stop` is set. Raises RuntimeError where it ends first or never answers."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError(f"MLflow could not be started, status {server.returncode}; its own words are above")
        with suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5):
            return
        if stop.wait(PAUSE):
            return
    raise RuntimeError(f"MLflow has not answered for {START_SECONDS:.0f} seconds")


def find_places(url: str, experiment: str | None) -> Places:
    """Returns the experiment of that name and its newest finished sweep, as a running server has them; of all, where it
    is None.
    """
    found = _asked(url, "experiments/search", max_results=1000).get("experiments", [])
    known = {one["experiment_id"]: one for one in found if experiment in (None, one["name"])}
    if not known:
        return Places(url)
    newest = _asked(
        url,
        "runs/search",
        experiment_ids=sorted(known),
        filter="tags.`fpt.kind` = 'sweep' and attributes.status = 'FINISHED'",
        order_by=["attributes.end_time DESC"],
        max_results=1,
    ).get("runs", [])
    if newest:
        info = newest[0]["info"]
        run = f"{url}/#/experiments/{info['experiment_id']}/runs/{info['run_id']}"
        report = f"{run}/artifactPath/{REPORT}?{PAGES}"
        return Places(url, _page(url, known[info["experiment_id"]]), f"{run}?{PAGES}", report)
    return Places(url, _page(url, known.popitem()[1]) if experiment is not None else None)


def _page(url: str, experiment: dict[str, Any]) -> str:
    """Returns the address of an experiment, with the view that a sweep has saved, if there is any."""
    saved = TAG in {tag["key"] for tag in experiment.get("tags", [])}
    view = f"&viewStateShareKey={VIEW}" if saved else ""
    return f"{url}/#/experiments/{experiment['experiment_id']}/runs?{PAGES}{view}"


def _asked(url: str, what: str, **question: Any) -> dict[str, Any]:
    body = json.dumps(question).encode()
    request = urllib.request.Request(f"{url}/api/2.0/mlflow/{what}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def _as_lines(places: Places, experiment: str | None) -> Iterator[str]:
    yield f"fpt: MLflow is at {places.url} until Ctrl-C here"
    if experiment is not None and places.experiment is None:
        yield f"fpt: it has no experiment {experiment!r} yet; fpt sweep makes it"
    if places.experiment is not None:
        yield f"fpt: the experiment\n  {places.experiment}"
    if places.report is not None:
        yield f"fpt: the report of its newest finished sweep\n  {places.report}"


def _hand_out(places: Places, pid: int | None, as_json: bool, opens: bool) -> None:
    if as_json:
        print(json.dumps(places.as_json(pid)), flush=True)
    best = places.report or places.experiment or places.url
    if opens and re.match("https?:", best) and not webbrowser.open(best):
        say("fpt: no browser could be opened")
