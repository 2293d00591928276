"""Paths as people type them."""

from pathlib import Path

import pytest

from fpt.paths import whole_database, whole_path

ODD = [
    "photos #2",
    "a?b",
    "100%20x",
    "a b",
    "ä→ß",
    "2024",
    "on",
    "@x",
    "[old] x",
    "12:30:45",
    "a: b",
    "'q'",
    "x$",
    "$5",
    "~x",
]


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("around", ["{}", "/abs/{}/more", "../{}"])
def test_any_other_name_is_left_as_it_is(name, around):
    assert whole_path(around.format(name)) == around.format(name)


@pytest.mark.parametrize("name", ["", *ODD])
def test_home_and_variables_are_replaced_beside_any_name(name, tmp_path):
    assert whole_path(f"~/{name}") == f"{tmp_path}/{name}"
    assert whole_path(f"$SCRATCH/{name}") == whole_path(f"${{SCRATCH}}/{name}") == f"/scratch/me/{name}"
    assert whole_path(whole_path(f"~/$SCRATCH/{name}")) == f"{tmp_path}//scratch/me/{name}"


def test_a_uri_has_variables_too():
    assert whole_path("s3://bucket/$SCRATCH") == "s3://bucket//scratch/me"


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(ValueError, match=r"^must name environment variables that are set, but UNSET in '\$UNSET/x' is"):
        whole_path("$UNSET/x")


def test_a_path_that_is_there_is_meant():
    Path("price$UNSET").mkdir()
    assert whole_path("price$UNSET") == "price$UNSET"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sqlite:///~/a.db", "sqlite:///{home}/a.db"),
        ("sqlite:////$SCRATCH/a.db", "sqlite://///scratch/me/a.db"),
        ("~/mlruns", "{home}/mlruns"),
        ("postgresql://me:pa$SCRATCH~@host/db", "postgresql://me:pa$SCRATCH~@host/db"),
        ("http://host:5000", "http://host:5000"),
        ("databricks", "databricks"),
    ],
)
def test_databases_are_files_and_servers_are_left_alone(typed, meant, tmp_path):
    assert whole_database(typed) == meant.format(home=tmp_path)
