"""Opens a session for one command, and closes it: Ray, the packed images, the dispatcher and its first worker."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError

from fpt.phases import phase
from pipeline.backbones import BackboneName
from pipeline.checks import check_packed
from pipeline.cluster.addresses import CLIENT, address_of, check_ray
from pipeline.cluster.head_watch import RayGoneError, head_watched
from pipeline.cluster.local import for_this_command_alone
from pipeline.cluster.raylet import keep_errors_quiet
from pipeline.config import Run
from pipeline.data.packed import on_this_node, packed_images
from pipeline.data.store import ImageStore
from pipeline.dispatch.actors import ON_HEAD, Wanted, wanted_workers
from pipeline.dispatch.dispatcher import Dispatcher
from pipeline.dispatch.generations import StoppingRule
from pipeline.identity import Found
from pipeline.session import Session
from pipeline.sockets import check_sockets
from pipeline.storage.folder import Home
from pipeline.storage.room import check_home
from pipeline.workers.process import WorkerProcess

IN_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it for a job's own process
SAY_AFTER_SECONDS, SAY_AGAIN_SECONDS = 20.0, 120.0  # without a worker
CLOSING_SECONDS = 15.0  # that the dispatcher has to end its workers and the story


@contextmanager
def open_session(
    run: Run,
    home: Home,
    address: str | None = None,
    stopping: StoppingRule | None = None,
    worker: type = WorkerProcess,
    parallel: int = 1,
    gate: Callable[[ImageStore], None] = lambda store: None,
    backbones: Sequence[BackboneName] = (),
) -> Iterator[Session]:
    """Connects to the cluster at `address`, or at what RAY_ADDRESS names, or starts Ray on this machine. Yields the
    session.

    `worker` is the class that becomes an actor, `parallel` how many orders a question makes at least. `gate` is passed
    once images are packed and before anything costs; it raises what is in the way. With `backbones` every worker holds
    these instead of the run's own, and questions are about runs on any of them. Raises ValueError for what can only be
    told then, or by a worker, to be wrong, and for a home that a job would take with it when it ends.
    """
    _check_outlives_job(home)
    check_sockets(address)
    check_ray(address)
    check_home(home)
    with phase("images"):
        packed = {one: packed_images(_on(run, one), home) for one in backbones or (run.backbone,)}
        stores = {one: on_this_node(images) for one, images in packed.items()}
        _check_same_pictures(stores)
        images = ImageStore(next(iter(stores.values())))
        check_packed(run, images)
        gate(images)
    with connected(address) as elsewhere:
        with phase("workers"):
            wanted = wanted_workers(run.compute, grows=elsewhere)
            dispatcher = start_dispatcher(run, packed, home.uri_of("ledger"), wanted, stopping, worker, parallel)
            try:
                found = _first_worker(dispatcher, wanted, ", ".join(one.name for one in packed))
            except BaseException:
                _close(dispatcher)
                raise
        try:
            yield Session(found, next(iter(stores.values())), dispatcher, stores=stores)
        except RayGoneError:
            raise  # nobody is there who could close it
        except BaseException:
            _close(dispatcher)
            raise
        _close(dispatcher)


def _on(run: Run, backbone: BackboneName) -> Run:
    return run.model_copy(update={"backbone": backbone})


def _check_same_pictures(stores: Mapping[BackboneName, Path]) -> None:
    """Raises ValueError where images that were packed for several backbones are not the same pictures in the same
    order: episodes of one would not be those of another.
    """
    first, *others = dict.fromkeys(stores.values())
    for path in others:
        ours, theirs = ImageStore(first), ImageStore(path)
        if ours.splits != theirs.splits or any(not _same(ours, theirs, split) for split in ours.splits):
            raise ValueError(
                f"dataset.path must hold the same pictures for all backbones, whose images are packed one after the "
                f"other, but {first.name} and {path.name} have different ones: some could not be read once, or were "
                "changed; where one of these and its .json are removed, it is packed again"
            )


def _same(ours: ImageStore, theirs: ImageStore, split: str) -> bool:
    own, other = ours.classes(split), theirs.classes(split)
    return list(own) == list(other) and all(np.array_equal(own[name], other[name]) for name in own)


def _close(dispatcher: Any) -> None:
    """Ends the dispatcher, and its workers with it."""
    with suppress(RayError):
        closing = dispatcher.close.options(max_task_retries=0).remote()  # once it is killed, nothing is tried again
        ray.wait([closing], timeout=CLOSING_SECONDS)
    ray.kill(dispatcher)


def start_dispatcher(*arguments: Any) -> Any:
    """Returns the handle of a dispatcher, which is made with these arguments. Ray starts it again when it dies, and
    asks it once more what had no answer yet.
    """
    options = {"max_restarts": -1, "max_task_retries": -1, "max_concurrency": 1000, "resources": ON_HEAD}
    return ray.remote(Dispatcher).options(num_cpus=0, **options).remote(*arguments)


def _check_outlives_job(home: Home) -> None:
    if IN_JOB in os.environ and home.here and home.here.is_relative_to(Path.cwd()):
        raise ValueError(
            f"home must be a folder that all nodes reach, or like s3://bucket/path, in a job, whose own folder is "
            f"removed when it ends, but is {str(home.here)!r}; FPT_HOME on the cluster's nodes is its default"
        )


def _first_worker(dispatcher: Any, wanted: Wanted, backbone: str) -> Found:
    """Waits for the first worker, and returns what it found. Says what that may be waiting for, room or the backbone's
    weights: either takes minutes, or for ever.
    """
    asked, seconds = dispatcher.start.remote(), SAY_AFTER_SECONDS
    while not ray.wait([asked], timeout=seconds)[0]:
        has = ray.cluster_resources()
        needs = f"{wanted.gpus:g} GPU" if wanted.gpus else "a core"
        fits = has.get("GPU", 0) >= wanted.gpus
        never = "" if fits else "; where no node with so many is to come, compute.gpus_per_worker=0 takes cores"
        print(
            f"fpt: waiting for the first worker, which needs {needs} (the cluster has {has.get('GPU', 0):g} GPUs and "
            f"{has.get('CPU', 0):g} cores) and loads {backbone}, whose weights may have to be downloaded{never}",
            file=sys.stderr,
            flush=True,
        )
        seconds = SAY_AGAIN_SECONDS
    try:
        found: Found = ray.get(asked)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    return found


@contextmanager
def connected(address: str | None = None) -> Iterator[bool]:
    """Connects to Ray and keeps it quiet: what its processes print stays in its own log files. Yields whether it was
    there before.
    """
    # Tune and Ray say on standard error what the progress display says better.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # or Tune takes an interrupt for the end of a search
    keep_errors_quiet()
    check_sockets(address)
    check_ray(address)
    there = address_of(address)
    own: dict[str, Any] = {} if there else {"include_dashboard": False}
    with nullcontext() if there else for_this_command_alone():
        try:
            with phase("Ray"), _own_signals():
                ray.init(address=there or "local", logging_level=logging.ERROR, log_to_driver=False, **own)
        except BaseException:
            ray.shutdown()
            raise
        by_client = there is not None and there.startswith(CLIENT)  # which knows no head
        head = None if by_client else str(ray.get_runtime_context().gcs_address)
        with head_watched(head, there is None, ray.shutdown):
            yield there is not None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Puts back how this process takes signals, which Ray changes when it starts: they would end in a C++ trace."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
