"""A session: Ray, the packed images and the dispatcher, opened for one command and closed after it."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from fpt.glyphs import scenes
from fpt.phases import phase
from pipeline.config import Compute, Run
from pipeline.dispatcher import Dispatcher, Halve
from pipeline.images import pack
from pipeline.sources import glyph_scenes


@dataclass(frozen=True)
class Session:
    """`dispatcher` is an actor handle; `limits` is what its workers' backbone and images can tell."""

    dispatcher: Any
    limits: dict[str, Any]
    store: Path


def packed_images(run: Run, home: Path) -> Path:
    """The image store of a run's data set, packed where it is not there yet."""
    described = {**run.dataset.model_dump(), "version": scenes.VERSION}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8]
    path = home / "images" / f"{run.dataset.source}-{digest}.arrow"
    if path.exists():
        return path
    return pack(glyph_scenes(run.dataset.images_per_class, run.dataset.distractors), path)


@contextmanager
def open_session(run: Run, home: Path, address: str | None = None, halve: Halve | None = None) -> Iterator[Session]:
    """Connects to the cluster at `address`, or the one that RAY_ADDRESS names, or starts Ray on this machine."""
    with phase("images"):
        store = packed_images(run, home)
    with connected(address):
        with phase("workers"):
            workers, gpus = worker_count(run.compute)
            actor = ray.remote(Dispatcher).options(num_cpus=0, max_concurrency=1000)
            dispatcher = actor.remote(run, store, str(home / "ledger"), workers, gpus, halve)
            limits = ray.get(dispatcher.start.remote())
        try:
            yield Session(dispatcher, limits, store)
        finally:
            ray.kill(dispatcher)  # its workers end with it


@contextmanager
def connected(address: str | None = None) -> Iterator[None]:
    """Ray, quiet: what its processes print stays in its own log files."""
    # Tune and Ray say on standard error what the progress display says better.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    address = address or os.environ.get("RAY_ADDRESS")
    local: dict[str, Any] = {} if address else {"include_dashboard": False}
    with phase("Ray"):
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)
    try:
        yield
    finally:
        ray.shutdown()


def worker_count(compute: Compute) -> tuple[int, float]:
    """How many workers, and of how many GPUs each: one for each GPU (or slice), or for each core without GPUs."""
    resources = ray.cluster_resources()
    gpus = compute.gpus_per_worker if resources.get("GPU", 0) > 0 else 0.0
    if compute.workers:
        return compute.workers, gpus
    if gpus:
        return max(1, int(resources["GPU"] / gpus)), gpus
    return max(1, int(resources.get("CPU", 1))), 0.0
