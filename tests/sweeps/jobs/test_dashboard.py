"""Where a cluster's dashboard is, and with which token it is asked."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from threading import Thread

import pytest

from sweeps.jobs.dashboard import ADDRESSES, connect, dashboard_address, find_token, python_of_ray


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    """Whatever else this process has done, Ray has no token here but for what a test says."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def test_the_address_may_come_from_the_environment(monkeypatch):
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="but is missing"):
        dashboard_address(None)
    monkeypatch.setenv("RAY_ADDRESS", "ray://host:10001")
    with pytest.raises(ValueError, match="but is missing"):
        dashboard_address(None)
    monkeypatch.setenv("RAY_ADDRESS", "http://second:8265")
    assert dashboard_address(None) == "http://second:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "https://first/ray/")
    assert dashboard_address(None) == "https://first/ray"
    assert dashboard_address("http://third") == "http://third"


def test_a_server_that_does_not_answer_is_bad_input(unreachable):
    with pytest.raises(ValueError, match="address must be a Ray dashboard that answers but"):
        connect(unreachable)


@pytest.fixture
def serving(monkeypatch, tmp_path):
    """Serves an answer to everything on this machine, and returns where."""
    monkeypatch.setenv("HOME", str(tmp_path))
    servers = []

    def serve(body, status=200):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *arguments):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("body", "status"), [("<html>", 200), ("[]", 200), ('{"version": 4}', 200), ("", 404)])
def test_a_server_of_something_else_is_told_from_one_that_does_not_answer(serving, body, status):
    url = serving(body, status)
    with pytest.raises(ValueError, match=f"^address must be a Ray dashboard but {url} is a server of something else$"):
        connect(url)


def test_another_ray_is_refused_before_anything_is_sent(serving):
    url = serving(json.dumps({"version": "4", "ray_version": "2.9.0"}))
    said = (
        rf"^address must be that of a cluster with the Ray that is here, {version('ray')}, but {url} has 2\.9\.0; pip "
    )
    with pytest.raises(ValueError, match=said):
        connect(url)


def test_the_token_is_found_where_ray_finds_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("third\n")
    assert find_token() == "third"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match="RAY_AUTH_TOKEN_PATH must be a file"):
        find_token()
    (tmp_path / "elsewhere").write_text("second")
    assert find_token() == "second"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "first")
    assert find_token() == "first"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert find_token() is None
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "sec\nret")
    with pytest.raises(ValueError, match="one word") as refused:
        find_token()
    assert "ret" not in str(refused.value)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    (tmp_path / ".ray" / "auth_token").unlink()
    with pytest.raises(ValueError, match="none was found here: `ray exec"):
        find_token()


WORKERS = "--python_worker_command='/of ray/bin/python' /of ray/setup_worker.py /of ray/default_worker.py --x"


def nodes(*commands):
    summary = [{"cmdline": command, "raylet": {"isHeadNode": i == 1}} for i, command in enumerate(commands)]
    return json.dumps({"result": True, "data": {"summary": summary}})


def test_the_python_is_the_one_that_ray_starts_on_the_head_node(serving):
    url = serving(nodes(["raylet", "--python_worker_command=/of/worker/python x"], ["raylet", WORKERS]))
    assert python_of_ray(url) == "/of ray/bin/python"


@pytest.mark.parametrize(
    "body", ["<html>", "[]", "{}", nodes([], ["raylet"]), nodes([], None), nodes(["raylet", WORKERS])]
)
def test_where_it_is_not_told_nothing_is_assumed(serving, body):
    assert python_of_ray(serving(body), pause=0.0) is None
