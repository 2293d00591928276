"""URIs of databases whose paths hold any characters."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from pipeline.storage.sqlite import database_of, sqlite_uri

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
