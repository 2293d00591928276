"""Why a job on a cluster could not even begin: its Python is not there, or lacks this package or one of its needs."""

import re
from typing import Any
from urllib.parse import urlsplit

NO_MODULE = re.compile(r"No module named '?([\w.]+)")
NOT_STARTED = re.compile(r"exit code 12[67]\b")  # what shells end with where there is no such program
WAY_ON = "--python names another Python there, which must be the same on every node"


def what_is_missing(job: Any) -> str | None:
    """Returns in words what the Python of a Ray job that has ended lacks, and where; None where it ended of something
    else.
    """
    said, python = str(job.message or ""), str(getattr(job, "entrypoint", "")).partition(" -m ")[0]
    where = urlsplit(getattr(job, "driver_agent_http_address", "") or "").hostname or "the cluster's head node"
    return lacking(said, python, where)


def lacking(said: str, python: str, where: str) -> str | None:
    """Returns the same for what was said by a Python that was started somewhere."""
    if NOT_STARTED.search(said):
        return f"there is no {python} on {where} that can be run; {WAY_ON}"
    if found := NO_MODULE.search(said):
        return f"{python} on {where} has no {found[1]}; install this package and its constraints.txt there, or {WAY_ON}"
    return None
