"""Pictures to be named, found and decoded: some at a time, by several processes, whatever is broken told by name."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fpt.classifier.transform import Transform
from fpt.pictures.formats import is_image
from fpt.pictures.reading import Unreadable
from pipeline.data.processes import in_order, workers
from pipeline.data.sources.folders import Tree

AT_ONCE = 32  # pictures of a batch
WORTH_PROCESSES = 256  # pictures: fewer are sooner read than processes are started


@dataclass(frozen=True)
class Batch:
    """A batch holds the pixels of the pictures that could be read, their paths, and of the others why not."""

    pixels: UInt8[np.ndarray, "images size size 3"]
    paths: Sequence[Path]
    broken: Sequence[tuple[Path, str]]


def pictures_in(places: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Returns the pictures that were named, those of a folder with all that lie in folders within it, and notes on what
    is there that is none. Raises ValueError for a place that is not there, and where there is no picture at all.
    """
    found, notes = dict[Path, None](), list[str]()
    for place in places:
        if place.is_dir():
            tree = Tree(place)
            found |= dict.fromkeys(tree.images(place))
            notes += tree.notes()
        elif os.path.isfile(place):
            found[place] = None
        else:
            raise ValueError(f"PICTURES must be folders or pictures that are there but {str(place)!r} is not")
    if not found:
        raise ValueError(f"PICTURES must hold a picture of a kind that is read but {str(places[0])!r} holds none")
    return list(found), notes


def read_pictures(paths: Sequence[Path], transform: Transform, processes: int) -> Iterator[Batch]:
    """Yields the pictures in their order, a batch at a time; no more than some batches are in memory at once."""
    tasks = ((paths[first : first + AT_ONCE], transform) for first in range(0, len(paths), AT_ONCE))
    if processes == 1 or len(paths) < WORTH_PROCESSES:
        yield from (read_some(*task) for task in tasks)
        return
    with workers(processes) as pool:
        yield from in_order(pool, read_some, tasks, 2 * processes)


def read_some(paths: Sequence[Path], transform: Transform) -> Batch:
    """Returns some pictures, decoded."""
    pixels, kept, broken = [], [], []
    for path in paths:
        try:
            if not is_image(path.name):
                raise Unreadable("no file of a kind that is read, by its suffix")
            pixels.append(transform(path))
        except Unreadable as error:
            broken.append((path, str(error)))
        else:
            kept.append(path)
    stacked = np.stack(pixels) if pixels else np.zeros((0, transform.size, transform.size, 3), np.uint8)
    return Batch(stacked, kept, broken)
