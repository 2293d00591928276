"""Packs a listing into an image store: every image decoded once, by many processes, in parts that outlive a crash."""

import ctypes
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

from fpt.pictures.resizing import DEFAULT, Resize, described
from pipeline.data.packing.copies import LeftOut, refuse_leaking_files, what_is_left_out
from pipeline.data.packing.depth import with_depth
from pipeline.data.packing.parts import (
    Outcome,
    Part,
    bytes_of,
    clear_unfinished,
    decode_rows,
    join,
    outcomes_of,
    parts_of,
    write_part,
)
from pipeline.data.packing.validating import counts
from pipeline.data.processes import in_order, workers
from pipeline.data.sources.listing import Listed, Listing
from pipeline.data.store import ROWS_A_BATCH, ImageStore, schema_of
from pipeline.storage.folder import Folder

IMAGES_A_TASK = 8
TASKS_AHEAD = ROWS_A_BATCH // IMAGES_A_TASK  # a part is written before the one after the next begins: two buffers do

Progress = Callable[[int, int], None]
# Writes parts that are not there yet, and tells how many images of them are done.
Decoder = Callable[[Sequence[Part], pa.Schema, int, Resize, Callable[[int], None]], None]


@dataclass(frozen=True)
class Packing:
    """A packing is what a packed file holds, as its manifest tells. `splits` counts images by split and class; `digest`
    is that of all that was asked for. Images are named by their paths below `root`.
    """

    fingerprint: str
    source: str
    root: str
    size: int
    how: dict[str, Any]
    masks: bool
    images: int
    splits: dict[str, dict[str, int]]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    bytes: int
    digest: str
    version: str


def manifest_of(packed: Path) -> Path:
    """Returns the path of a packed file's manifest. It lies beside the images and is written last: where it is, they
    are whole.
    """
    return packed.with_name(f"{packed.name}.json")


def pack_listing(
    listing: Listing,
    path: Path,
    size: int,
    how: Resize = DEFAULT,
    processes: int = 1,
    progress: Progress = lambda done, total: None,
    drop_leaks: bool = False,
    decoder: Decoder | None = None,
) -> Packing:
    """Packs the images of a listing at `size` x `size` pixels into the file `path`, then writes its manifest beside it.

    `decoder` does what otherwise `processes` of this machine do. The file depends on neither, nor on how often packing
    was interrupted: parts that are whole are taken up again, as long as the listing and its files are the same. A file
    for which the same was asked is left as it is. Up to twice its room on the disk is needed meanwhile.

    Images that cannot be read are left out, and so are copies of an image (all pixels the same, once decoded) in its
    own class. Masks are kept if every listed image has one. `progress` is told how many images of how many are done.

    Where the listing has a division, the images that are kept get their splits by it.

    Raises ValueError for images without a split, where no image is left, and for the same image in two classes or
    splits, unless `drop_leaks` is set: then all its copies are left out. What is refused leaves no parts. Raises
    RuntimeError where a process dies.
    """
    division = listing.division
    if division is None and (aimless := sum(image.split is None for image in listing.images)):
        raise ValueError(f"split must be base, validation or novel but {aimless} images of {listing.root} have none")
    listing = with_depth(listing, processes)
    masks = all(image.mask is not None or image.box is not None for image in listing.images)
    if not masks:
        listing = replace(listing, images=tuple(replace(one, mask=None, box=None) for one in listing.images))
    schema = schema_of(size, size, masks, files=True)
    with _alone(path.with_name(f"{path.name}.parts")) as folder:
        parts = parts_of(listing, folder, size, how)
        asked = [listing.source, str(listing.root), drop_leaks, [part.path.name for part in parts]]
        asked += [astuple(division)] if division else []
        digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
        if packed := _packed_before(path, digest):
            return packed
        clear_unfinished(folder)
        if not drop_leaks:
            with _without_parts_if_refused(folder):
                refuse_leaking_files(listing)
        _decode(parts, schema, size, how, decoder or partial(_decode_here, processes), progress)
        contents, reasons = outcomes_of(parts, len(listing.images))
        with _without_parts_if_refused(folder):
            left_out = what_is_left_out(listing, contents, reasons, drop_leaks)
            kept = np.ones(len(listing.images), bool)
            kept[list(left_out)] = False
            if not kept.any():
                one = left_out[0]
                raise ValueError(
                    f"an image must be left to pack but all {len(kept)} are left out; {one.image}: {one.why}"
                )
        splits = None
        if division is not None:
            rows = np.flatnonzero(kept).tolist()
            drawn = division.splits_of([listing.images[row].class_name for row in rows], contents[rows])
            split_of = dict(zip(rows, drawn, strict=True))
            splits = [split_of.get(row) for row in range(len(kept))]
        whole = join(parts, kept, schema, folder, splits)
        packing = Packing(
            fingerprint=ImageStore(whole).fingerprint,
            source=listing.source,
            root=str(listing.root),
            size=size,
            how=described(how),
            masks=masks,
            images=int(kept.sum()),
            splits=counts(listing, kept),
            left_out=tuple(left_out.values()),
            notes=listing.notes,
            bytes=whole.stat().st_size,
            digest=digest,
            version=version("fpt"),
        )
        manifest = manifest_of(path)
        manifest.unlink(missing_ok=True)  # of what was there before: where a manifest is, its images are
        whole.replace(path)
        Folder(str(path.parent)).write(manifest.name, json.dumps(asdict(packing), indent=1).encode())
    return packing


@contextmanager
def _without_parts_if_refused(folder: Path) -> Iterator[None]:
    """Removes the folder of parts where the block refuses what is to be packed."""
    try:
        yield
    except ValueError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _packed_before(path: Path, digest: str) -> Packing | None:
    """Returns the packing that is there already, None where it is not what is asked for, or there is none."""
    try:
        told = json.loads(manifest_of(path).read_bytes())
        if told["digest"] != digest or told["bytes"] != path.stat().st_size:
            return None
        lists = {"left_out": tuple(LeftOut(**one) for one in told["left_out"]), "notes": tuple(told["notes"])}
        return Packing(**{**{name: told[name] for name in Packing.__dataclass_fields__}, **lists})
    except (OSError, ValueError, KeyError):  # none, or another's
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """Yields the folder of parts, to one process at a time, and removes it after success. The lock goes with its
    process.
    """
    lock = folder / "lock"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                held = stack.enter_context(lock.open("w"))
                fcntl.flock(held, fcntl.LOCK_EX)
                if not os.path.samestat(os.fstat(held.fileno()), lock.stat()):
                    continue
            except FileNotFoundError:  # who held it before has removed the folder
                continue
            yield folder
            shutil.rmtree(folder, ignore_errors=True)  # another process may already wait in it
            return


def _decode(
    parts: Sequence[Part], schema: pa.Schema, size: int, how: Resize, decoder: Decoder, progress: Progress
) -> None:
    """Writes the parts that are not there yet."""
    todo = [part for part in parts if not part.path.exists()]
    total = sum(len(part.images) for part in parts)
    done = total - sum(len(part.images) for part in todo)
    progress(done, total)
    if todo:
        decoder(todo, schema, size, how, lambda more: progress(done + more, total))


# Images and masks of two parts, by part, row and byte: all processes decode into the same ones.
_Buffers = list[UInt8[np.ndarray, "parts rows _"]]
_here: _Buffers = []  # a worker's


def _buffers(rows: int, *shared: Any) -> _Buffers:
    return [np.frombuffer(one, np.uint8).reshape(2, rows, -1) for one in shared]


def _open_buffers(rows: int, *shared: Any) -> None:
    _here.extend(_buffers(rows, *shared))


def _decode_some(images: Sequence[Listed], size: int, how: Resize, half: int, first: int) -> list[Outcome]:
    """Decodes images into one `half` of the buffers, from row `first` on, and returns what became of each."""
    pixels, bits = _here
    return decode_rows(images, size, how, pixels[half, first:], bits[half, first:])


def _decode_here(
    processes: int, parts: Sequence[Part], schema: pa.Schema, size: int, how: Resize, told: Callable[[int], None]
) -> None:
    """Writes these parts by `processes` processes of this machine; `told` hears how many images are done."""
    rows, done = len(parts[0].images), 0
    shared = [get_context("spawn").RawArray(ctypes.c_uint8, 2 * rows * width) for width in bytes_of(schema)]
    buffers = _buffers(rows, *shared)
    tasks = (
        (part.images[first : first + IMAGES_A_TASK], size, how, turn % 2, first)
        for turn, part in enumerate(parts)
        for first in range(0, len(part.images), IMAGES_A_TASK)
    )
    with workers(processes, _open_buffers, rows, *shared) as pool:
        results = in_order(pool, _decode_some, tasks, TASKS_AHEAD)
        for turn, part in enumerate(parts):
            outcomes: list[Outcome] = []
            while len(outcomes) < len(part.images):
                outcomes += next(results)
                told(done + len(outcomes))
            done += len(outcomes)
            pixels, bits = (buffer[turn % 2] for buffer in buffers)
            write_part(part, outcomes, schema, pixels, bits)
