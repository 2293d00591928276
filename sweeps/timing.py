"""A sweep is timed from its imports on, for `fpt sweep` and `fpt bench --sweep`; so nothing heavy is imported here."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.storage.sqlite import sqlite_uri
from sweeps.schema.sweep import Sweep
from sweeps.terminal.times import PARTS, Times, times_of

if TYPE_CHECKING:
    from sweeps.verdict.finding import Finding


def timed_sweep(sweep: Sweep, address: str | None) -> tuple["Finding", dict[str, str], Times]:
    """Runs `sweeps.sweep.run_sweep`, and returns what it returns and where the time went, importing it included."""
    began = time.time()
    from fpt.phases import measured
    from sweeps.sweep import run_sweep

    imported = time.time()
    with measured(PARTS) as phases:
        finding, tracking, work = run_sweep(sweep, address)
    phases["imports"] = imported - began
    return finding, tracking, times_of(phases, work, began, time.time())


def times_of_new_sweep(sweep: Sweep) -> Times:
    """Runs a sweep in a new home, where nothing has been computed yet, and leaves nothing behind. Returns its times."""
    with TemporaryDirectory(prefix="fpt-bench-") as home:
        own = {"home": home, "tracking_uri": sqlite_uri(Path(home) / "mlflow.db")}
        return timed_sweep(sweep.model_copy(update=own), None)[2]
