import os
import platform
import socket

import pytest

from pipeline.storage.folder import Home
from pipeline.workers import node_report
from pipeline.workers.node_report import listening, report_here, shared_memory, token_kept, versions


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_node_tells_what_it_has(tmp_path):
    home = Home(str(tmp_path / "home"))
    home.write("_probe", b"_probe")
    told = report_here(home.uri, "_probe")
    assert told.host == socket.gethostname()
    assert told.versions == versions()
    assert told.versions["Python"] == platform.python_version()
    assert (told.reads, told.writes) == (None, None)
    assert set(told.free) == {"cache", "temporary"}
    assert min(told.free.values()) > 0
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["_probe"]


def test_a_home_that_is_another_folder_on_that_node_is_found_out(tmp_path):
    told = report_here(str(tmp_path / "own disk"), "_probe")
    assert told.reads == "it does not see what was written there from here: it is another folder"
    assert not (tmp_path / "own disk").exists()


def test_a_home_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    home = Home(str(tmp_path / "home"))
    home.write("_probe", b"_probe")

    def refused(self, name, content):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Home, "write", refused)
    told = report_here(home.uri, "_probe")
    assert (told.reads, told.writes) == (None, "[Errno 13] Permission denied")


def test_how_a_token_is_kept(user, monkeypatch):
    assert token_kept() == "none yet"
    (user / ".ray").mkdir()
    file = user / ".ray" / "auth_token"
    file.write_text("secret")
    file.chmod(0o600)
    assert token_kept() == f"in {file} (0600)"
    file.chmod(0o640)
    assert token_kept() == f"in {file} (0640, which others can read)"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert token_kept() == "in RAY_AUTH_TOKEN"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert token_kept() == "RAY_AUTH_MODE is disabled: whoever reaches Ray's ports runs code"


def test_what_listens_beyond_this_machine_is_told(monkeypatch):
    with socket.socket() as wide, socket.socket() as narrow:
        for one, host in ((wide, "0.0.0.0"), (narrow, "127.0.0.1")):
            one.bind((host, 0))
            one.listen()
        import psutil
        import ray  # noqa: F401

        monkeypatch.setattr(node_report, "RAYS", (psutil.Process().name(),))
        told = [one.rpartition(" ")[2] for one in listening()]
        assert f"0.0.0.0:{wide.getsockname()[1]}" in told
        assert f"127.0.0.1:{narrow.getsockname()[1]}" not in told


def test_what_is_not_installed_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr(node_report, "PACKAGES", ("fpt", "no-such-package"))
    assert versions()["no-such-package"] == "not installed"


def test_shared_memory_is_that_of_its_disk():
    if not os.path.isdir("/dev/shm"):
        assert shared_memory() is None
        return
    disk = os.statvfs("/dev/shm")
    assert shared_memory() == disk.f_frsize * disk.f_blocks
