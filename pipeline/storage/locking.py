"""Locks on files: they go with the process that holds them, however that ends."""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})  # what file systems without locks answer


@contextmanager
def waited_for(path: Path) -> Iterator[None]:
    """Lets one process at a time into the block, and the others wait. `path` is the lock's own file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        _lock(lock, fcntl.LOCK_EX)
        yield


def is_left(path: Path) -> bool:
    """Tells whether nobody holds a lock on a file: not where the disk knows no locks, for somebody may."""
    try:
        with path.open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def held_alone(path: Path, what: str) -> Iterator[None]:
    """Holds a lock for the block, and says in its file who does. Raises ValueError, which names that process, where
    another holds it: `what` runs already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        try:
            _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ValueError(f"{what} runs already: {_holder(lock.read())}; fpt status shows how far it is") from None
        lock.truncate(0)
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": since}, lock)
        lock.flush()
        yield
        lock.truncate(0)


def holder_of(path: Path) -> str | None:
    """Returns in words who holds a lock, None where nobody does."""
    try:
        with path.open("a+", encoding="utf-8") as lock:
            try:
                _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                return _holder(lock.read())
    except OSError:  # somebody else's file
        return None
    return None


def _holder(told: str) -> str:
    try:
        who = json.loads(told)
        return f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (ValueError, KeyError, TypeError):  # it has just begun
        return "a process that has just begun"


def _lock(file: TextIO, how: int) -> None:
    """Locks a file. Where a disk knows no locks the block runs all the same. Raises BlockingIOError where it is not to
    wait and another holds the lock.
    """
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
