import platform
import socket
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from threading import Thread

import grpc
import pytest

from pipeline.cluster import addresses
from pipeline.cluster.addresses import NO_HEAD, Answer, address_of, ask, check_ray, differing, versions_here


@pytest.fixture(autouse=True)
def _without_token(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


@pytest.fixture
def nothing():
    """An address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.fixture
def silent():
    """An address that takes connections and says nothing."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        yield f"127.0.0.1:{deaf.getsockname()[1]}"


@pytest.fixture
def pages():
    """A plain HTTP server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def stranger():
    """A server of grpc's that knows none of what a head node is asked."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.mark.parametrize("given", [None, "local"])
def test_ray_on_this_machine_is_not_asked(given, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert address_of(given) is None
    check_ray(given)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    check_ray(given)


def test_an_address_of_nothing_is_said_to_be_one(nothing, monkeypatch):
    said = f"must be that of a Ray cluster that answers but '{nothing}' refuses connections: nothing listens there"
    with pytest.raises(ValueError, match=f"^--address {said}$"):
        check_ray(nothing)
    monkeypatch.setenv("RAY_ADDRESS", nothing)
    with pytest.raises(ValueError, match=f"^RAY_ADDRESS {said}; where it is not set, Ray starts on this machine$"):
        check_ray(None)
    with pytest.raises(ValueError, match="refuses connections"):
        check_ray(f"ray://{nothing}")


def test_what_answers_and_is_no_head_is_told_apart(pages, stranger, silent):
    for other in (pages, stranger):
        with pytest.raises(ValueError, match=r"is a server, but no head node of Ray's: that is like 10\.0\.0\.1:6379"):
            check_ray(other)
    assert ask(silent, 0.2) == Answer("has not answered for 0 seconds", silent=True)
    check_ray(f"ray://{stranger}")  # the server of Ray's clients is no head node


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "http://127.0.0.1:8265",
            r"must be like 10\.0\.0\.1:6379.*, but got 'http://.*'; a dashboard's is for fpt subm",
        ),
        ("head", r"must be like 10\.0\.0\.1:6379, the port of a cluster's head node, or auto, but got 'head'$"),
        ("head:port", "but got 'head:port'$"),
        (":6379", "but got ':6379'$"),
        ("head:70000", "but got 'head:70000'$"),
        ("nowhere.invalid:6379", "'nowhere.invalid:6379' is a host that is not known here$"),
    ],
)
def test_what_is_no_address_is_refused(given, said):
    with pytest.raises(ValueError, match=f"^--address .*{said}"):
        check_ray(given)


def test_auto_wants_a_cluster_here(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", lambda: set())
    with pytest.raises(ValueError, match=r"^--address must be like .* but got 'auto' and none does; ray start --head"):
        check_ray("auto")


def test_versions_are_compared_before_anything_starts(monkeypatch):
    here = versions_here()
    assert here == (version("ray"), platform.python_version())
    monkeypatch.setattr(addresses, "ask", lambda head: Answer(versions=here))
    check_ray("10.0.0.1:6379")
    monkeypatch.setattr(addresses, "ask", lambda head: Answer(versions=("2.9.0", here[1])))
    with pytest.raises(ValueError, match=rf"'10\.0\.0\.1:6379' has Ray 2\.9\.0, and here is {here[0]}$"):
        check_ray("10.0.0.1:6379")
    ours = here[1].split(".")
    other = ".".join([*ours[:2], str(int(ours[2]) + 1)])
    assert differing((here[0], other)) == f"has Python {other}, and here is {here[1]}"
    monkeypatch.setenv("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "minor")  # as Ray itself has it
    assert differing((here[0], other)) is None


def test_a_token_that_is_missing_is_named():
    class Refused(Exception):
        def code(self):
            return grpc.StatusCode.UNAUTHENTICATED

    said = addresses._understood(Refused(), 1.0).said
    assert said.startswith("wants the cluster's token")
    with pytest.raises(KeyError):
        addresses._understood(KeyError("a mistake of ours"), 1.0)
    assert NO_HEAD not in said
