"""Ray on this machine, as a command starts it: for its own use alone, and gone with it."""

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.cluster.head_watch import RayGoneError
from pipeline.cluster.processes import KEPT, dismiss_keeper, leave_nothing_behind

ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # false, Ray's processes listen on 127.0.0.1 and nowhere else
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@contextmanager
def for_this_command_alone() -> Iterator[None]:
    """Has Ray that is started in the block listen on this machine alone, with a token that nobody else can read, and
    leave no process behind. The block ends once Ray has.
    """
    keep_token_private()
    with _on_loopback():
        keeper = leave_nothing_behind()
        try:
            yield
        except RayGoneError:  # its agents stay, which the keeper ends once this process is gone
            KEPT.append(keeper)
            keeper = None
            raise
        finally:
            dismiss_keeper(keeper)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Has Ray take 127.0.0.1 for this node: what it knows for that is meant for systems whose firewalls would ask."""
    from ray._private import ray_constants

    before, there = os.environ.get(ON_LOOPBACK), getattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    if before is None:  # whoever has set it wants it so
        os.environ[ON_LOOPBACK] = "0"
        ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(ON_LOOPBACK, None)
            ray_constants.ENABLE_RAY_CLUSTER = there


def token_file() -> Path:
    """Returns the file in which Ray looks for its token."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token"


def keep_token_private() -> None:
    """Makes Ray's token, where it would make one that all can read, and takes away what others may do with one that is
    there. Says so where that was something.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    file = token_file()
    if not file.exists() and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        with suppress(OSError):  # then Ray says what is wrong
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
                made.write(secrets.token_hex(32))
        return
    with suppress(OSError):  # another's, or a disk without permissions
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & OTHERS:
            file.chmod(mode & ~OTHERS)
            said = f"fpt: {file}, Ray's token, could be read by others ({mode:04o}); now it is yours alone"
            print(said, file=sys.stderr, flush=True)
