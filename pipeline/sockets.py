"""Whether Ray's sockets can be made: systems cap the length of their paths, below the folder for temporary files."""

import os
import sys
from pathlib import Path

MOST_BYTES = 103 if sys.platform == "darwin" else 107
# What Ray makes below that folder, with the date and the process.
SESSION = "/ray/session_2000-01-01_00-00-00_000000_{pid}/sockets/plasma_store"


def check_sockets(address: str | None = None) -> None:
    """Raises ValueError where Ray, which is to start on this machine, could not make its sockets: its folder for
    temporary files has too long a path, or is not there. `address` is that of a cluster, where there is one.
    """
    if address or os.environ.get("RAY_ADDRESS") or sys.platform == "win32":
        return
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    folder = os.environ[name] if name is not None else "/tmp"
    if name == "TMPDIR" and sys.platform == "darwin":  # Ray does not read it there
        return
    most = MOST_BYTES - len(SESSION.format(pid=os.getpid()))
    taken = len(os.fsencode(folder.rstrip("/")))
    if taken > most:
        raise ValueError(
            f"{name} must have at most {most} bytes, as Ray makes sockets below it, but {folder!r} has {taken}; "
            "with RAY_TMPDIR=/tmp Ray makes them there"
        )
    if name is not None and Path(folder).exists() and not Path(folder).is_dir():
        raise ValueError(f"{name} must be a folder, as Ray makes sockets below it, but is {folder!r}")
