"""Has a command's story written: the events of its session, when it began and how it ended. `fpt status` reads it."""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipeline.events import BEGAN, ENDED, FILE, FINISHED
from pipeline.session import DispatcherGoneError, Session
from pipeline.storage.folder import Home

INTERRUPTED, FAILED = "interrupted", "failed"


@contextmanager
def story_written(
    session: Session, home: Home, folder: str, name: str, planned: int, kind: str | None = None
) -> Iterator[Session]:
    """Writes what happens in the block into `folder` of the home; it is for the session that is yielded. `planned`
    problems are what the command foresees; those of commands of a `kind` take as long.
    """
    session = session.with_story(home.uri, f"{folder}/{FILE}")
    who = {"pid": os.getpid(), "host": socket.gethostname(), "user": _user()}
    session.note(BEGAN, name=name, planned=planned, **({} if kind is None else {"kind": kind}), **who)
    try:
        yield session
    except BaseException as error:
        how = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        with suppress(DispatcherGoneError, TimeoutError):
            session.note(ENDED, how=how, why=" ".join(str(error).split()) or type(error).__name__)
        raise
    with suppress(TimeoutError):
        session.note(ENDED, how=FINISHED)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return str(os.getuid())
