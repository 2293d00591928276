import http.client
import http.server
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import mlflow
import pytest

from sweeps.outbox import Outbox
from sweeps.tracking import Tracker, is_transient, quiet

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


@pytest.fixture
def made():
    """An outbox that tries again at once what a ConnectionError ended, and the calls that were carried out."""
    box = Outbox(lambda error: isinstance(error, ConnectionError), lambda: forgotten.append(len(done)), (0.001,))
    done: list[str] = []
    forgotten: list[int] = []
    yield box, done, forgotten
    box.close()


def flaky(done, name, failures):
    left = [failures]

    def call():
        if left[0]:
            left[0] -= 1
            raise ConnectionError("away")
        done.append(name)

    return call


def test_calls_are_made_in_order_however_often_they_fail(made):
    box, done, forgotten = made
    for name, failures in (("a", 0), ("b", 3), ("c", 1), ("d", 0)):
        box.put(flaky(done, name, failures))
    assert box.flush(10) == 0
    assert done == ["a", "b", "c", "d"]
    assert forgotten == [1, 1, 1, 2]
    assert (box.waiting, box.away_since) == (0, None)


def test_a_call_that_was_carried_out_before_it_failed_is_made_again_after_forgetting():
    """A call that looks first does nothing twice, provided that it looks anew."""
    there: list[str] = []
    known: set[str] = set()
    box = Outbox(lambda error: isinstance(error, ConnectionError), known.clear, (0.001,))

    def call(name):
        known.update(there)
        if name not in known:
            there.append(name)
            raise ConnectionError("the answer was lost")

    for name in "abc":
        box.put(lambda name=name: call(name))
    assert box.flush(10) == 0
    assert there == ["a", "b", "c"]
    box.close()


def test_putting_does_not_wait(made):
    box, done, _ = made
    gate = threading.Event()
    box.put(lambda: gate.wait(10) and done.append("slow"))
    box.put(lambda: done.append("next"))
    assert box.flush(0.01) == box.waiting == 2
    assert done == []
    gate.set()
    assert box.flush(10) == 0
    assert done == ["slow", "next"]


def test_a_mistake_is_raised_once_and_the_others_are_carried_out(made):
    box, done, _ = made
    box.put(lambda: {}["no such"])
    box.put(lambda: {}["what follows from it"])
    box.put(lambda: done.append("after"))
    with pytest.raises(KeyError, match="no such"):
        box.flush(10)
    assert box.flush(10) == 0
    assert done == ["after"]


def test_a_call_that_raises_an_earlier_mistake_is_made_as_well(made):
    box, done, _ = made
    met = threading.Event()
    box.put(lambda: {}["no such"])
    box.put(met.set)
    assert met.wait(10)
    with pytest.raises(KeyError, match="no such"):
        box.put(lambda: done.append("later"))
    assert box.flush(10) == 0
    assert done == ["later"]


def test_a_server_that_is_away_is_known_to_be(made):
    box, done, _ = made
    tried, back = threading.Event(), threading.Event()

    def call():
        if not back.is_set():
            tried.set()
            raise ConnectionError("away")
        done.append("told")

    box.put(call)
    assert tried.wait(10)
    assert box.flush(0.05) == 1
    since = box.away_since
    assert since is not None
    assert box.flush(0.05) == 1
    assert box.away_since == since
    back.set()
    assert box.flush(10) == 0
    assert (done, box.away_since) == (["told"], None)


def test_a_server_that_finds_a_mistake_is_not_away(made):
    box, done, _ = made
    call = flaky(done, "never", 1)
    box.put(lambda: call() or {}["no such"])
    with pytest.raises(KeyError):
        box.flush(10)
    assert box.away_since is None


def test_closing_ends_it_whatever_waits(made):
    box, done, _ = made
    box.put(flaky(done, "never", 10**9))
    box.put(lambda: done.append("nor this"))
    box.close()
    assert done == []
    assert box.flush(10) == 2
    assert not box.thread.is_alive()


@pytest.fixture
def answering() -> Iterator[http.server.HTTPServer]:
    """A server that answers everything with its `status`; None: by hanging up."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.server.status is not None:
                self.send_response(self.server.status)
                self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "transient"),
    [(None, True), (500, True), (502, True), (503, True), (504, True), (429, True), (400, False), (403, False)],
)
def test_a_server_that_is_not_well_is_told_from_a_mistake(status, transient, answering):
    answering.status = status
    quiet()
    with pytest.raises(mlflow.exceptions.MlflowException) as raised:
        mlflow.MlflowClient(f"http://127.0.0.1:{answering.server_port}").create_run("0")
    assert is_transient(raised.value) == transient


class Server:
    """MLflow's own, on a database and a port of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.uri = folder, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        store, files = f"sqlite:///{self.folder / 'mlflow.db'}", str(self.folder / "files")
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", store, "--artifacts-destination", files, "--workers", "1"]
        # Jobs take nine processes, which are not needed here.
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        quietly = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        self.process = subprocess.Popen(command, env=environment, **quietly)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return
            time.sleep(0.1)
        raise AssertionError("MLflow's server did not start")

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


def recorded(tracker):
    """Each trial's status, parameters and steps and values by metric; when that was so, in ms; and the parent run.

    Asserts that no run is there twice.
    """
    client = mlflow.MlflowClient(tracking_uri=tracker.tracking_uri)
    runs = {run.data.tags.get("fpt.trial"): run for run in client.search_runs([tracker.experiment_id])}
    assert {trial: run.info.run_id for trial, run in runs.items()} == {None: tracker.run_id, **tracker.children}
    assert len(client.search_runs([tracker.experiment_id])) == len(runs)
    parent, trials, stamps = runs.pop(None), {}, []
    for trial, run in runs.items():
        logged = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
        values = {name: sorted((one.step, one.value) for one in metrics) for name, metrics in logged.items()}
        trials[trial] = (run.info.status, run.data.params, values)
        stamps += [run.info.start_time, run.info.end_time or 0]
        stamps += [one.timestamp for metrics in logged.values() for one in metrics]
    return trials, stamps, parent


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_server_that_was_killed_hears_everything_once_and_in_order(server, capfd):
    tracker = Tracker(server.uri, "killed")
    tracker.start("sweep abc", "glyphs abc", {"search.rungs": [2, 4]}, {"fpt.kind": "sweep"})
    trials = ["0.0", "0.1", "0.2"]

    def reported(step):
        for trial in trials:
            tracker.trial(trial, f"trial {trial}", {"alpha": 0.5}, {"solver": "lora"})
            tracker.report(trial, step, {"episodes": step, "accuracy": step / 8})

    reported(1)
    assert tracker.flush(60) == 0
    for step in (2, 3, 4):
        reported(step)
    server.kill()
    reported(5)
    for trial in trials:
        tracker.finish_trial(trial, "FINISHED", "none")
    report = server.folder / "report.md"
    report.write_text("# so it is")
    tracker.summarise({"episodes": 200, "accuracy": 0.5}, 200, "**won**", [report])
    while tracker.away_since is None:
        time.sleep(0.01)
    said = time.time_ns() // 10**6
    assert tracker.flush(0.01) == tracker.waiting > 0
    server.start()
    assert tracker.flush(120) == 0
    assert tracker.away_since is None
    there, stamps, parent = recorded(tracker)
    steps = range(1, 6)
    logged = {"episodes": [(n, n) for n in steps], "accuracy": [(n, n / 8) for n in steps]}
    assert there == dict.fromkeys(trials, ("FINISHED", {"alpha": "0.5"}, logged))
    assert max(stamps) <= said
    assert (parent.info.status, parent.data.metrics) == ("FINISHED", {"episodes": 200, "accuracy": 0.5})
    assert parent.info.end_time <= said
    assert [file.path for file in tracker.client.list_artifacts(tracker.run_id)] == ["report.md"]
    assert capfd.readouterr().out == ""  # it belongs to the command
    tracker.close()


@contextmanager
def losing_answers(port: int) -> Iterator[http.server.ThreadingHTTPServer]:
    """Passes on what it is asked to a server at a port and, once `losing`, loses every other answer on each path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _pass_on(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as behind:
                behind.request(self.command, self.path, body, {"Content-Type": self.headers.get("Content-Type", "")})
                answer = behind.getresponse()
                content = answer.read()
            path = self.path.partition("?")[0]
            self.server.asked[path] += self.server.losing
            if not self.server.losing or self.server.asked[path] % 2 == 0:
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = _pass_on

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.asked, proxy.losing = Counter(), False
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("retries", ["0", "2"], ids=["ours alone", "MLflow's own as well"])
def test_requests_whose_answers_are_lost_are_recorded_once(retries, server, monkeypatch):
    """What was carried out is sent again: by the outbox, which looks first, or as a user may want it by MLflow."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", retries)
    with losing_answers(server.port) as proxy:
        tracker = Tracker(f"http://127.0.0.1:{proxy.server_port}", f"lost {retries}")
        tracker.start("sweep abc", "glyphs abc", {}, {})
        monkeypatch.setattr(tracker.outbox, "pauses", (0.01,))
        proxy.losing = True
        for trial in ("0.0", "0.1"):
            tracker.trial(trial, f"trial {trial}", {"alpha": 0.5}, {})
            for step in (1, 2):
                tracker.report(trial, step, {"episodes": step, "accuracy": step / 4})
            tracker.finish_trial(trial, "FINISHED", "none")
        assert tracker.flush(120) == 0
        proxy.losing = False
        lost = {path.rpartition("/")[2] for path in proxy.asked if proxy.asked[path]}
        assert {"create", "search", "log-batch", "set-tag", "update"} <= lost
        there, _, _ = recorded(tracker)
        tracker.close()
    logged = {"episodes": [(1, 1), (2, 2)], "accuracy": [(1, 0.25), (2, 0.5)]}
    assert there == dict.fromkeys(("0.0", "0.1"), ("FINISHED", {"alpha": "0.5"}, logged))


@pytest.mark.slow
def test_a_database_that_somebody_else_has_locked_is_waited_for(tmp_path):
    """MLflow itself waits 20 s for it."""
    tracker = Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}", "locked")
    tracker.start("sweep abc", "glyphs abc", {}, {})
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        tracker.trial("0.0", "trial", {}, {})
        tracker.report("0.0", 1, {"episodes": 1})
        while tracker.away_since is None:
            time.sleep(0.01)
        assert tracker.waiting == 2
        other.execute("ROLLBACK")
    assert tracker.flush(60) == 0
    assert tracker.away_since is None
    there, _, _ = recorded(tracker)
    assert there == {"0.0": ("RUNNING", {}, {"episodes": [(1, 1)]})}
    tracker.close()
