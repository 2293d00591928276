"""A session: Ray, the packed images and the dispatcher, opened for one command and closed after it."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from fpt.phases import phase
from pipeline.config import Run
from pipeline.data.packed import on_this_node, packed_images
from pipeline.dispatch.actors import ON_HEAD, Wanted, wanted_workers
from pipeline.dispatch.dispatcher import Dispatcher, Halve
from pipeline.orders import WorkerProcess
from pipeline.storage.folder import Home

IN_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it for a job's own process
SAY_AFTER, SAY_AGAIN = 20.0, 120.0  # seconds without a worker


@dataclass(frozen=True)
class Session:
    """`dispatcher` is an actor handle; `limits` is what its workers' backbone and images can tell. `store` holds the
    images, on this node.
    """

    dispatcher: Any
    limits: dict[str, Any]
    store: Path


@contextmanager
def open_session(
    run: Run, home: Home, address: str | None = None, halve: Halve | None = None, worker: type = WorkerProcess
) -> Iterator[Session]:
    """Connects to the cluster at `address`, or the one that RAY_ADDRESS names, or starts Ray on this machine.

    `worker` is what becomes an actor. Raises ValueError for what only a worker can tell to be wrong, and for a home
    that a job would take with it when it ends.
    """
    _check_outlives_job(home)
    with phase("images"):
        packed = packed_images(run, home)
        store = on_this_node(packed)
    with connected(address) as elsewhere:
        with phase("workers"):
            wanted = wanted_workers(run.compute, grows=elsewhere)
            dispatcher = start_dispatcher(run, packed, home.uri_of("ledger"), wanted, halve, worker)
            limits = _first_worker(dispatcher, wanted, run.backbone.name)
        try:
            yield Session(dispatcher, limits, store)
        finally:
            ray.kill(dispatcher)  # its workers end with it


def start_dispatcher(*arguments: Any) -> Any:
    """A handle of a dispatcher, which is made with these arguments. Ray starts it again when it dies, and asks it once
    more what had no answer yet.
    """
    options = {"max_restarts": -1, "max_task_retries": -1, "max_concurrency": 1000, "resources": ON_HEAD}
    return ray.remote(Dispatcher).options(num_cpus=0, **options).remote(*arguments)


def _check_outlives_job(home: Home) -> None:
    if IN_JOB in os.environ and home.here and home.here.is_relative_to(Path.cwd()):
        raise ValueError(
            f"home must be a folder that all nodes reach, or like s3://bucket/path, in a job, whose own folder is "
            f"removed when it ends, but is {str(home.here)!r}; FPT_HOME on the cluster's nodes is its default"
        )


def _first_worker(dispatcher: Any, wanted: Wanted, backbone: str) -> dict[str, Any]:
    """Waits for it; what it may be waiting for is said, room or the backbone's weights: either takes minutes, or for
    ever.
    """
    asked, seconds = dispatcher.start.remote(), SAY_AFTER
    while not ray.wait([asked], timeout=seconds)[0]:
        has = ray.cluster_resources()
        needs = f"{wanted.gpus:g} GPU" if wanted.gpus else "a core"
        print(
            f"fpt: waiting for the first worker, which needs {needs} (the cluster has {has.get('GPU', 0):g} GPUs and "
            f"{has.get('CPU', 0):g} cores) and loads {backbone}, whose weights may have to be downloaded",
            file=sys.stderr,
            flush=True,
        )
        seconds = SAY_AGAIN
    try:
        limits: dict[str, Any] = ray.get(asked)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    return limits


@contextmanager
def connected(address: str | None = None) -> Iterator[bool]:
    """Ray, quiet: what its processes print stays in its own log files. Yields whether it was there before."""
    # Tune and Ray say on standard error what the progress display says better.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    address = address or os.environ.get("RAY_ADDRESS")
    local: dict[str, Any] = {} if address else {"include_dashboard": False}
    with phase("Ray"):
        ray.init(address=address or "local", logging_level=logging.ERROR, log_to_driver=False, **local)
    try:
        yield address is not None
    finally:
        ray.shutdown()
