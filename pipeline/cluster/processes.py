"""What a command has started ends with it, however it ends: by itself, by a signal, or killed the hard way."""

import os
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from uuid import uuid4

OWNER = "FPT_OWNER"  # in the environment of all that a command starts, and of nothing else
GRACE_SECONDS = 3.0  # that Ray's own way of ending has, once the command is gone
KEPT: list["subprocess.Popen[bytes] | None"] = []  # keepers that are to stay until this process ends

# Reads until the command is gone, then ends what it has left: processes with its mark, and those that have a file open
# in the folder of its Ray, which is called after it; some of Ray's overwrite the environment that they came with.
KEEPER = r"""
import os, re, signal, sys, time
mark, me, folder = sys.argv[1].encode(), str(os.getpid()), re.compile(r"/session_[\d_-]+_%s/" % sys.argv[2])
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
while os.read(0, 1):
    pass
time.sleep(float(sys.argv[3]))

def left(process):
    with open(f"/proc/{process}/environ", "rb") as file:
        if mark in file.read().split(b"\0"):
            return True
    files = (f"/proc/{process}/fd/{name}" for name in os.listdir(f"/proc/{process}/fd"))
    return any(folder.search(os.readlink(name)) for name in files)

for process in os.listdir("/proc"):
    if process.isdigit() and process != me:
        try:
            if left(process):
                os.kill(int(process), signal.SIGKILL)
        except OSError:
            pass
"""


def end_at_once(status: int) -> None:
    """Ends this process and all that it has started, without another word."""
    with suppress(Exception):
        import ray  # noqa: F401  # it brings its own psutil where none is installed

        psutil = import_module("psutil")
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                process.kill()
    os._exit(status)


def leave_nothing_behind() -> "subprocess.Popen[bytes] | None":
    """Starts a keeper, a small process that outlives this one by seconds and ends what this one has started from now
    on, should it be there still: Ray's agents stay for minutes where their command is killed. Returns the keeper, None
    where there is no /proc to find such processes in.

    The keeper hears of this process's end by its standard input, which it alone has the other end of.
    """
    if not Path("/proc/self/environ").exists():
        return None
    mark = f"{OWNER}={uuid4().hex}"
    command = [sys.executable, "-I", "-S", "-c", KEEPER, mark, str(os.getpid()), str(GRACE_SECONDS)]
    without_mark = {name: value for name, value in os.environ.items() if name != OWNER}
    keeper = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=without_mark,
        start_new_session=True,
    )
    os.environ[OWNER] = mark.partition("=")[2]
    return keeper


def dismiss_keeper(keeper: "subprocess.Popen[bytes] | None") -> None:
    """Ends a keeper whose command has ended all itself."""
    os.environ.pop(OWNER, None)
    if keeper is not None:
        keeper.kill()
        if keeper.stdin is not None:
            keeper.stdin.close()
        keeper.wait()
