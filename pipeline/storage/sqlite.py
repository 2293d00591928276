"""SQLite databases by their URI, in which a path may hold any characters."""

import re
from pathlib import Path
from urllib.parse import quote, unquote

PREFIX = "sqlite:///"
BY_DRIVER = "sqlite+pysqlite:///"  # the same to SQLAlchemy; of the other, MLflow makes a folder by the quoted name


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
