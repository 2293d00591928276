"""The tracker and real servers that are killed, lose their answers or are kept waiting."""

import http.client
import http.server
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import mlflow
import pytest

from sweeps.tracking.tracker import Tracker
from tests.sweeps.mlflow_server import Server

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
    pytest.mark.slow,
]


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
