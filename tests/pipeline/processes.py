"""Finds the processes of a Ray that a test has started, and no other's."""

import os
import signal
import time
from pathlib import Path

# What a command sets in its environment for Ray.
SETTINGS = (
    "RAY_AIR_NEW_OUTPUT",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS",
    "TUNE_DISABLE_SIGINT_HANDLER",
)


def parents() -> dict[int, int]:
    """Every process, with its parent."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(status.parent.name)] = int(after_name[1])
    return found


def command_of(pid: int) -> str:
    """What a process was started with, NUL between its words; nothing where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descendants(pid: int, named: str = "") -> list[int]:
    """Processes below `pid` whose title begins with `named`."""
    tree, found = parents(), []
    for process in tree:
        ancestor = process
        while ancestor in tree and ancestor != pid:
            ancestor = tree[ancestor]
        if ancestor == pid != process and command_of(process).startswith(named):
            found.append(process)
    return found


def kill_one(pid: int, named: str, seconds: float = 200) -> int:
    """Waits for a process below `pid` whose title begins with `named` and kills it the hard way."""
    return send(pid, named, signal.SIGKILL, seconds)


def send(pid: int, named: str, what: signal.Signals, seconds: float = 200) -> int:
    """Waits for a process below `pid` whose title begins with `named` and sends it a signal."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for process in descendants(pid, named):
            os.kill(process, what)
            return process
        time.sleep(0.05)
    raise AssertionError(f"no process {named!r} below {pid} within {seconds:g} s")


def alive(pid: int) -> bool:
    """Whether a process is there and more than a name."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
