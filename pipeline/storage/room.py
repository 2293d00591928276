"""Whether a home can be written and has room, tried before anything costs."""

import os
import shutil
from pathlib import Path
from uuid import uuid4

from pipeline.storage.folder import NO_ROOM, Home, NoRoomError
from pipeline.storage.masking import sentence, without_secrets

MIB = 2**20
LEAST_MIB = 100  # free, for ledger, database and report of a sweep of usual size


def check_home(home: Home) -> None:
    """Raises ValueError for a home in which nothing can be written, or whose disk is all but full: a file is written
    there, read and removed again.
    """
    name = f"_probe-{uuid4().hex[:8]}"  # readers pass over what begins with _
    try:
        home.write(name, name.encode())
        read = home.read(name)
        home.delete(name)
    except NoRoomError as error:
        raise ValueError(str(error.strerror)) from error
    except OSError as error:
        raise ValueError(
            f"home must be where files can be written but {without_secrets(home.uri)!r} is not: {sentence(error)}"
        ) from error
    if read != name.encode():
        raise ValueError(f"home must keep what is written but {without_secrets(home.uri)!r} gives other bytes back")
    check_room(home.local, 0, "home")


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raises ValueError where the disk of a folder has not so many bytes, and some to spare, free. `what` is the field
    or variable that says where it is.
    """
    free, least = free_bytes(folder), needed + LEAST_MIB * MIB
    if free < least:
        raise ValueError(
            f"{what} must have {least / MIB:.0f} MiB free but {existing(folder)} has {free / MIB:.0f}; make room, or "
            f"choose another disk"
        )


def free_bytes(folder: Path) -> int:
    """Returns how many bytes are free, for this user, on the disk that a folder lies on, there or not yet."""
    return shutil.disk_usage(existing(folder)).free


def existing(folder: Path) -> Path:
    """Returns the folder, or the nearest above it that is there."""
    return next(one for one in (folder, *folder.resolve().parents) if one.exists())


def is_full(error: OSError) -> bool:
    """Returns whether an error says that a disk is full, or a quota spent."""
    return error.errno in NO_ROOM


def writable(folder: Path) -> bool:
    """Returns whether files can be made in a folder, or the folder in the nearest above it that is there."""
    return os.access(existing(folder), os.W_OK | os.X_OK)
