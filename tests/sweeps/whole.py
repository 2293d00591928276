"""Whole sweeps, started as they are typed, and what they leave behind, read by other means."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pyarrow.parquet

from pipeline.storage.ledger import CIRCUMSTANCES, Ledger
from tests.sweeps.tiny import CONFIG, TINY

FPT = Path(sys.executable).with_name("fpt")


def started(home, *overrides):
    """`fpt sweep --json`, in a process group of its own, typed in the folder above its home."""
    sets = [f"--set={override}" for override in (*TINY, f"home={home}", *overrides)]
    return subprocess.Popen(
        [FPT, "sweep", CONFIG, "--json", *sets],
        cwd=home.parent,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process):
    """The object that a sweep has printed last."""
    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def files(home):
    """The ledger's files with the time of their last change."""
    return {path.name: path.stat().st_mtime_ns for path in (home / "ledger" / "rows").glob("*.parquet")}


def rows(home):
    """What the ledger says, without the circumstances."""
    table = Ledger(str(home / "ledger")).read().drop_columns(CIRCUMSTANCES)
    written = sum(pyarrow.parquet.read_metadata(home / "ledger" / "rows" / name).num_rows for name in files(home))
    assert written == len(table), "a row was written twice"
    return table.to_pylist()


def queried(home, query):
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        return database.execute(query).fetchall()


def runs(home):
    """MLflow's runs: (parents, children), each (id, status)."""
    of_kind = (
        "select runs.run_uuid, status from runs join tags using (run_uuid) where key = 'fpt.kind' and value = '{}'"
    )
    return queried(home, of_kind.format("sweep")), queried(home, of_kind.format("trial"))
