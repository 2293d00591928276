"""Where a sweep's results are recorded. Known without Ray, torch and MLflow, which take seconds to import."""

import os

from fpt.paths import whole_database
from pipeline.storage.folder import Home
from pipeline.storage.sqlite import sqlite_uri
from sweeps.schema.sweep import Sweep


def tracking_uri(sweep: Sweep) -> str:
    """Returns where MLflow records: as configured or as MLFLOW_TRACKING_URI says, or a SQLite database in the sweep's
    home.

    Raises ValueError where the home is not on a disk and nothing else is said.
    """
    if named := sweep.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"):
        return whole_database(named)
    if "://" in sweep.home and not sweep.home.startswith("file://"):
        raise ValueError(
            f"tracking_uri (or MLFLOW_TRACKING_URI) must be set where home is on an object store, but home is "
            f"{sweep.home!r} and neither is"
        )
    return sqlite_uri(Home(sweep.home).local / "mlflow.db")
