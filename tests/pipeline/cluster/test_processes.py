import os
import signal
import subprocess
import sys
import time

from pipeline.cluster.processes import OWNER, dismiss_keeper, leave_nothing_behind
from tests.pipeline.processes import alive

LEAVES = """
import os, subprocess, sys, time
from pipeline.cluster.processes import leave_nothing_behind
before = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
leave_nothing_behind()
marked = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
folder = f"{sys.argv[1]}/session_2026-01-01_00-00-00_123456_{os.getpid()}"
os.mkdir(folder)
environment = {name: value for name, value in os.environ.items() if name != "FPT_OWNER"}
with open(f"{folder}/agent.log", "w") as log:
    agent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=log, env=environment)
print(before.pid, marked.pid, agent.pid, flush=True)
time.sleep(600)
"""


def gone(pid, seconds=60.0):
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.1)
    return not alive(pid)


def test_what_a_killed_command_has_started_ends_and_nothing_else(tmp_path):
    with subprocess.Popen([sys.executable, "-c", LEAVES, tmp_path], stdout=subprocess.PIPE, text=True) as command:
        before, marked, agent = map(int, command.stdout.readline().split())
        command.kill()
    try:
        assert gone(marked), "it has the mark in its environment"
        assert gone(agent), "it has a file of that command's Ray open"
        assert alive(before)
    finally:
        os.kill(before, signal.SIGKILL)


def test_a_command_that_ends_itself_dismisses_its_keeper():
    keeper = leave_nothing_behind()
    assert os.environ[OWNER]
    dismiss_keeper(keeper)
    assert OWNER not in os.environ
    assert keeper.returncode == -signal.SIGKILL
    dismiss_keeper(None)
