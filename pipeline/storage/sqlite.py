"""SQLite databases by their URI, in which a path may hold any characters; several commands may use one at a time."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from pipeline.storage.locking import waited_for
from pipeline.storage.mounts import is_on_network

PREFIX = "sqlite:///"
BY_DRIVER = "sqlite+pysqlite:///"  # the same to SQLAlchemy; of the other, MLflow makes a folder by the quoted name
BUSY_SECONDS = 90  # that a connection waits for another to end what it writes


def sqlite_uri(database: Path) -> str:
    """Returns the URI of a database in a file, there or not. SQLAlchemy takes a path as quoted: `?` would begin its
    options, and `%20` is a space.
    """
    quoted = re.sub(r"[?#%]", lambda letter: quote(letter[0]), str(database))
    return f"{PREFIX if quoted == str(database) else BY_DRIVER}{quoted}"


def database_of(uri: str) -> Path | None:
    """Returns a SQLite database's file, there or not, None for a URI of something else."""
    prefix = next((prefix for prefix in (PREFIX, BY_DRIVER) if uri.startswith(prefix)), None)
    return None if prefix is None else Path(unquote(uri.removeprefix(prefix).partition("?")[0]))


@contextmanager
def first_use(database: Path | None) -> Iterator[None]:
    """Lets one process at a time into the block, which opens a database and makes its tables where they are not there
    yet: two that start together would both make them. Several may read it while one writes (WAL) from then on.

    Does nothing for a database that is no file (None).
    """
    be_patient()
    if database is None:
        yield
        return
    with waited_for(database.with_name(f"{database.name}.lock")):
        _write_ahead(database)
        yield


def _write_ahead(database: Path) -> None:
    """Has a database note what is written beside it first, but on a disk that machines share, where that does not
    work; what else is wrong with it says whoever uses it.
    """
    if is_on_network(database.parent):
        return
    try:
        with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error:
        return


def be_patient() -> None:
    """Has every connection to a SQLite database that SQLAlchemy makes in this process, whoever asks for it, wait for
    others that write.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _patient):
        event.listen(Engine, "connect", _patient)


def _patient(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS}")
