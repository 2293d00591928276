import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys

import pytest

from pipeline.storage.locking import held_alone, holder_of, is_left, waited_for

HOLDS = """
import sys, time
from pathlib import Path
from pipeline.storage.locking import held_alone
with held_alone(Path(sys.argv[1]), "this sweep"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def another(tmp_path):
    """A process that holds the lock."""
    path = tmp_path / "locks" / "sweep.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDS, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield path, process
        process.kill()


def test_a_file_is_left_by_all_where_a_lock_can_be_had(another, tmp_path, monkeypatch):
    assert not is_left(another[0])
    mine = tmp_path / "mine"
    assert not is_left(mine)
    assert not mine.exists()
    mine.touch()
    assert is_left(mine)

    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert not is_left(mine)


def test_who_comes_second_hears_who_was_first(another):
    path, process = another
    said = rf"^this sweep runs already: process {process.pid} on {socket.gethostname()}, since 20\d\d-\d\d-\d\d \d\d:"
    with pytest.raises(ValueError, match=said), held_alone(path, "this sweep"):
        pass
    assert holder_of(path).startswith(f"process {process.pid} on")


def test_a_lock_goes_with_its_process_however_that_ends(another):
    path, process = another
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert holder_of(path) is None
    with held_alone(path, "this sweep"):
        assert holder_of(path).startswith(f"process {os.getpid()} on")
    assert path.read_text() == ""
    assert holder_of(path) is None


def test_who_has_just_begun_is_not_named(tmp_path):
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="runs already: a process that has just begun"):
            held_alone(tmp_path / "lock", "it").__enter__()


def test_others_wait(tmp_path):
    order = tmp_path / "order"
    waits = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.storage.locking import waited_for\n"
        "print('begun', flush=True)\n"
        "with waited_for(Path(sys.argv[1])), open(sys.argv[2], 'a') as order:\n    order.write('second ')\n"
    )
    with waited_for(tmp_path / "lock"):
        process = subprocess.Popen(
            [sys.executable, "-c", waits, tmp_path / "lock", order], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "begun\n"
        with order.open("a") as file:
            file.write("first ")
    process.communicate()
    assert process.returncode == 0
    assert order.read_text() == "first second "


def test_a_disk_without_locks_is_used_without(tmp_path, monkeypatch):
    def refused(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with waited_for(tmp_path / "a"), held_alone(tmp_path / "b", "it"):
        pass
    monkeypatch.setattr(fcntl, "flock", lambda file, how: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"), waited_for(tmp_path / "a"):
        pass
