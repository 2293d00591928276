"""The folder below which Ray makes its sockets."""

import datetime
import os

import pytest
from ray._private.utils import validate_socket_filepath

from pipeline.sockets import MOST_BYTES, SESSION, check_sockets


def sockets_in(folder):
    """What Ray itself would make, in its own words."""
    date = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
    return f"{folder}/ray/session_{date}_{os.getpid()}/sockets/plasma_store"


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_it_is_refused_exactly_where_ray_would_fail(name, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    longest = MOST_BYTES - len(SESSION.format(pid=os.getpid()))
    monkeypatch.setenv(name, "/" + "x" * (longest - 1))
    check_sockets()
    validate_socket_filepath(sockets_in(os.environ[name]))
    monkeypatch.setenv(name, "/" + "x" * (longest - 3) + "ß/")
    check_sockets()
    monkeypatch.setenv(name, "/" + "x" * longest)
    said = (
        rf"^{name} must have at most {longest} bytes, .* has {longest + 1}; with RAY_TMPDIR=/tmp Ray makes them there$"
    )
    with pytest.raises(ValueError, match=said):
        check_sockets()
    with pytest.raises(OSError, match="AF_UNIX path length"):
        validate_socket_filepath(sockets_in(os.environ[name]))
    check_sockets("auto")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    check_sockets()


def test_ray_s_own_folder_comes_first(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/" + "x" * 200)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    check_sockets()


def test_a_file_is_no_folder(monkeypatch, tmp_path):
    path = tmp_path / "f"
    path.touch()
    monkeypatch.setattr("pipeline.sockets.MOST_BYTES", 1000)
    monkeypatch.setenv("RAY_TMPDIR", str(path))
    with pytest.raises(ValueError, match=r"^RAY_TMPDIR must be a folder, .* but is '/"):
        check_sockets()
