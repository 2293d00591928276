"""Parts decoded as tasks of a Ray cluster, into a folder that its nodes share."""

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from fpt.pictures.formats import decoders
from fpt.pictures.resizing import Resize
from pipeline.data.packing.parts import Part, bytes_of, decode_rows, write_part

# Seconds until a file that one node has written is seen by the others: NFS remembers for half a minute what was not
# there.
SEEN_WITHIN = 60.0
SAY_AFTER = 20.0  # seconds without a core
TASKS_AHEAD = 8  # tasks asked for beyond twice what the cluster has cores for: an autoscaler adds nodes for them

Told = Callable[[int], None]


def decode_on_cluster(parts: Sequence[Part], schema: pa.Schema, size: int, how: Resize, told: Told) -> None:
    """Writes these parts, each in a task of one core, on the cluster that this process is connected to. A task holds
    the pixels of its part (154 MB at 224 x 224). `told` hears how many images are done.

    Raises ValueError where nodes do not share the folder of parts or the images, or have another Pillow, and
    RuntimeError where a task dies again and again.
    """
    task = ray.remote(_decode_part).options(num_cpus=1, scheduling_strategy="SPREAD")
    pending, done = list(reversed(parts)), 0
    waiting: dict[Any, Part] = {}
    try:
        while pending or waiting:
            while pending and len(waiting) < 2 * ray.cluster_resources().get("CPU", 0) + TASKS_AHEAD:
                part = _absolute(pending.pop())
                closed = frozenset(path for path in _files(part) if not os.access(path, os.R_OK))
                waiting[task.remote(part, closed, schema, size, how, decoders())] = part
            ready, _ = ray.wait(list(waiting), timeout=SAY_AFTER)
            if not ready and ray.cluster_resources().get("CPU", 0) < 1:
                print("fpt: waiting for a node with a core; the cluster has none", file=sys.stderr, flush=True)
            for one in ready:
                part = waiting.pop(one)
                _await(part, _result(one))
                done += len(part.images)
                told(done)
    finally:
        for one in waiting:
            ray.cancel(one, force=True)


def _decode_part(part: Part, closed: frozenset[Path], schema: pa.Schema, size: int, how: Resize, pillow: str) -> str:
    """Writes a part and returns the name of the host that it was written on. `closed` are files that the driver may not
    read either.
    """
    host = socket.gethostname()
    if pillow != decoders():
        raise ValueError(f"Pillow must be {pillow} on all nodes, as it decodes, but {host} has {decoders()}")
    if not part.path.parent.is_dir():
        raise ValueError(f"DST must lie on a disk that all nodes share but {host} has no {part.path.parent}")
    for path in _files(part):
        if path not in closed and not os.access(path, os.R_OK):
            raise ValueError(f"SRC must lie on a disk that all nodes share but {host} has no {path} that it may read")
    pixels, bits = (np.zeros((len(part.images), width), np.uint8) for width in bytes_of(schema))
    write_part(part, decode_rows(part.images, size, how, pixels, bits), schema, pixels, bits)
    return host


def _result(task: Any) -> str:
    try:
        host: str = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except ray.exceptions.RayError as error:
        raise RuntimeError(
            f"a task that decodes images has died again and again ({type(error).__name__}), perhaps for want of "
            "memory; the same command goes on"
        ) from error
    return host


def _await(part: Part, host: str) -> None:
    until = time.monotonic() + SEEN_WITHIN
    while not part.path.exists():
        if time.monotonic() > until:
            raise ValueError(
                f"DST must lie on a disk that all nodes share but what {host} wrote to {part.path.parent} is not there "
                f"on {socket.gethostname()}"
            )
        os.listdir(part.path.parent)  # a network's file system then asks again
        time.sleep(0.1)


def _files(part: Part) -> list[Path]:
    return [path for image in part.images for path in (image.path, image.mask) if path is not None]


def _absolute(part: Part) -> Part:
    """Returns the part with absolute paths, since a task works in another folder."""
    images = tuple(
        replace(image, path=image.path.absolute(), mask=image.mask and image.mask.absolute()) for image in part.images
    )
    return replace(part, path=part.path.absolute(), images=images)
