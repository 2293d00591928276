import http.client
import http.server
import threading
from collections.abc import Iterator

import mlflow
import pytest

from sweeps.tracking.outbox import Outbox
from sweeps.tracking.tracker import is_transient, quiet

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
    gate = threading.Event()
    box.put(lambda: gate.wait(10))  # or a mistake might be there before the next call is
    box.put(lambda: {}["no such"])
    box.put(lambda: {}["what follows from it"])
    box.put(lambda: done.append("after"))
    gate.set()
    with pytest.raises(KeyError, match="no such"):
        box.flush(10)
    assert box.flush(10) == 0
    assert done == ["after"]


def test_a_call_that_raises_an_earlier_mistake_is_made_as_well(made):
    box, done, _ = made
    gate, met = threading.Event(), threading.Event()
    box.put(lambda: gate.wait(10))
    box.put(lambda: {}["no such"])
    box.put(met.set)
    gate.set()
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
