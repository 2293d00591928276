"""URIs of databases whose paths hold any characters."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from pipeline.storage import sqlite
from pipeline.storage.sqlite import BUSY_SECONDS, be_patient, database_of, first_use, sqlite_uri

ODD = ["plain", "a b", "a?b=c", "100%20x", "a #2", "ä→ß", "a:b@c", "x%3Fy", "a&b;c", "[1]", "'q'"]


@pytest.mark.parametrize("name", ODD)
def test_a_database_is_where_it_is_said_to_be(name, tmp_path):
    (tmp_path / name).mkdir()
    database = tmp_path / name / "mlflow.db"
    uri = sqlite_uri(database)
    assert database_of(uri) == Path(make_url(uri).database) == database
    engine = create_engine(uri)
    with engine.begin() as connection:
        connection.exec_driver_sql("create table t (a)")
    engine.dispose()
    told = sqlite3.connect(database)
    assert told.execute("select name from sqlite_master").fetchall() == [("t",)]
    told.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_usual_paths_stay_as_they_are():
    assert sqlite_uri(Path("/home/me/my runs/mlflow.db")) == "sqlite:////home/me/my runs/mlflow.db"
    assert database_of("sqlite:///runs/mlflow.db?timeout=3") == Path("runs/mlflow.db")
    assert database_of("postgresql://host/db") is None


def journal(database):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


def test_a_database_is_written_ahead_from_its_first_use_on(tmp_path):
    database = tmp_path / "home" / "mlflow.db"
    with first_use(database):
        pass
    assert journal(database) == "wal"
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("create table t (a)")
    assert journal(old) == "delete"
    with first_use(old):
        pass
    assert journal(old) == "wal"


def test_a_disk_that_machines_share_and_what_is_no_database_stay_as_they_are(tmp_path, monkeypatch):
    (tmp_path / "no.db").write_text("this is no database at all, but text that is long enough to be taken for one" * 9)
    before = (tmp_path / "no.db").read_bytes()
    with first_use(tmp_path / "no.db"), first_use(None):
        pass
    assert (tmp_path / "no.db").read_bytes() == before
    monkeypatch.setattr(sqlite, "is_on_network", lambda path: True)
    with first_use(tmp_path / "shared.db"):
        pass
    assert not (tmp_path / "shared.db").exists()


def test_every_connection_waits_for_others(tmp_path):
    be_patient()
    be_patient()
    engine = create_engine(sqlite_uri(tmp_path / "any.db"))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 1000 * BUSY_SECONDS
    engine.dispose()
