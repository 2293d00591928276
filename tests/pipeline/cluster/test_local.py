import os
import re
import stat
import subprocess
import sys
import time

import pytest
from ray._private import ray_constants

from pipeline.cluster.local import ON_LOOPBACK, for_this_command_alone, keep_token_private, token_file
from pipeline.cluster.processes import GRACE_SECONDS, OWNER
from tests.pipeline.cluster.test_processes import gone
from tests.pipeline.processes import alive

GONE = """
import subprocess, sys
from pipeline.cluster.head_watch import RayGoneError
from pipeline.cluster.local import for_this_command_alone
try:
    with for_this_command_alone():
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        print(left.pid, flush=True)
        raise RayGoneError
except RayGoneError:
    print("said", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch):
    """A user who has no token yet."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", ON_LOOPBACK):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_for_its_owner_alone(user, capsys):
    keep_token_private()
    assert token_file() == user / ".ray" / "auth_token"
    assert (mode(token_file()), mode(token_file().parent)) == (0o600, 0o700)
    made = token_file().read_text()
    assert len(made) == 64
    keep_token_private()
    assert token_file().read_text() == made
    assert capsys.readouterr().err == ""


def test_a_token_that_others_can_read_is_taken_from_them(user, capsys):
    token_file().parent.mkdir()
    token_file().write_text("mine")
    token_file().chmod(0o644)
    keep_token_private()
    assert mode(token_file()) == 0o600
    assert token_file().read_text() == "mine"
    assert capsys.readouterr().err == (
        f"fpt: {token_file()}, Ray's token, could be read by others (0644); now it is yours alone\n"
    )


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "given")])
def test_where_no_file_is_asked_for_none_is_made(user, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    keep_token_private()
    assert list(user.iterdir()) == []


def test_a_named_file_that_is_not_there_is_rays_to_complain_of(user, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(user / "elsewhere"))
    keep_token_private()
    assert list(user.iterdir()) == []


LISTENS = """
import ray
from pipeline.opening import connected
from pipeline.workers.node_report import listening
with connected():
    ours = ray.get_runtime_context().gcs_address
    print(ours, *(one for one in listening() if one.endswith(ours.rpartition(":")[2])), sep="\\n")
"""


@pytest.mark.slow
def test_a_ray_of_a_command_can_be_reached_from_this_machine_alone(tmp_path):
    ran = subprocess.run([sys.executable, "-c", LISTENS], capture_output=True, text=True, timeout=280)
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(r"127\.0\.0\.1:\d+\n", ran.stdout)  # that head listens nowhere else


def test_ray_listens_here_alone_and_only_in_the_block(monkeypatch):
    before = ray_constants.ENABLE_RAY_CLUSTER
    with for_this_command_alone():
        assert os.environ[ON_LOOPBACK] == "0"
        assert ray_constants.ENABLE_RAY_CLUSTER is False
        assert OWNER in os.environ
    assert ON_LOOPBACK not in os.environ
    assert before == ray_constants.ENABLE_RAY_CLUSTER
    assert OWNER not in os.environ
    monkeypatch.setenv(ON_LOOPBACK, "1")  # whoever has set it wants it so
    with for_this_command_alone():
        assert os.environ[ON_LOOPBACK] == "1"
        assert before == ray_constants.ENABLE_RAY_CLUSTER


def test_what_a_ray_that_is_gone_has_left_ends_with_the_command():
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", GONE], **piped) as command:
        left, said = int(command.stdout.readline()), command.stdout.readline()
        time.sleep(GRACE_SECONDS + 1)
        assert (said, command.poll(), alive(left)) == ("said\n", None, True)  # while the command has things to say
        command.communicate("")
    assert gone(left)
