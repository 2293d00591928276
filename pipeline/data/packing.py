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
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.ipc
from jaxtyping import Bool, UInt8

from pipeline.data.decoding import DEFAULT, Resize, Unreadable, content, decode, described
from pipeline.data.listing import Listed, Listing
from pipeline.data.processes import in_order, workers
from pipeline.data.validating import LeftOut, counts, ids, what_is_left_out
from pipeline.images import ROWS_A_BATCH, ImageStore, fixed_width, schema_of
from pipeline.storage import Folder

FORMAT = 1  # of parts: those of another are not taken up
IMAGES_A_TASK = 8
TASKS_AHEAD = ROWS_A_BATCH // IMAGES_A_TASK  # a part is written before the one after the next begins: two buffers do

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Packing:
    """What a packed file holds, as its manifest tells: `splits` are numbers of images by split and class; `digest` is
    of all that was asked for. Images are named by their paths below `root`.
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
    """Beside the images, written last: where it is, they are whole."""
    return packed.with_name(f"{packed.name}.json")


def pack_listing(
    listing: Listing,
    path: Path,
    size: int,
    how: Resize = DEFAULT,
    processes: int = 1,
    progress: Progress = lambda done, total: None,
    drop_leaks: bool = False,
) -> Packing:
    """Packs the images of a listing at `size` x `size` pixels into the file `path`, then writes its manifest beside it.

    The file does not depend on the number of processes, nor on how often this was interrupted: parts that are whole
    are taken up again, as long as the listing and its files are the same. A file for which the same was asked is left
    as it is. Up to twice its room on the disk is needed meanwhile.

    Images that cannot be read are left out, and so are copies of an image (all pixels the same, once decoded) in its
    own class. Masks are kept if every listed image has one. `progress` is told how many images of how many are done.

    Raises ValueError for images without a split, where none is left, and for the same image in two classes or splits,
    unless `drop_leaks`: then all its copies are left out. Raises RuntimeError where a process dies.
    """
    if aimless := sum(image.split is None for image in listing.images):
        raise ValueError(f"split must be base, validation or novel but {aimless} images of {listing.root} have none")
    masks = all(image.mask is not None or image.box is not None for image in listing.images)
    if not masks:
        listing = replace(listing, images=tuple(replace(one, mask=None, box=None) for one in listing.images))
    schema = schema_of(size, size, masks, files=True)
    with _alone(path.with_name(f"{path.name}.parts")) as folder:
        parts = _parts(listing, folder, size, how)
        asked = json.dumps([listing.source, str(listing.root), drop_leaks, [part.path.name for part in parts]])
        digest = hashlib.sha256(asked.encode()).hexdigest()[:16]
        if packed := _packed_before(path, digest):
            return packed
        _decode(parts, schema, size, how, processes, progress)
        left_out = what_is_left_out(listing, *_outcomes(parts, len(listing.images)), drop_leaks)
        kept = np.ones(len(listing.images), bool)
        kept[list(left_out)] = False
        if not kept.any():
            one = left_out[0]
            raise ValueError(f"an image must be left to pack but all {len(kept)} are left out; {one.image}: {one.why}")
        whole = _join(parts, kept, schema, folder)
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


def _packed_before(path: Path, digest: str) -> Packing | None:
    """What is there already, if it is what is asked for."""
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
    """The folder of parts for one process at a time, gone after success. The lock goes with its process."""
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


@dataclass(frozen=True)
class _Part:
    """A file for so many images in order, named by what it will hold: other images, another part."""

    path: Path
    images: tuple[Listed, ...]
    ids: tuple[str, ...]


def _parts(listing: Listing, folder: Path, size: int, how: Resize) -> list[_Part]:
    common, names, parts = [FORMAT, PIL.__version__, size, described(how)], ids(listing), list[_Part]()
    for first in range(0, len(names), ROWS_A_BATCH):
        rows = slice(first, first + ROWS_A_BATCH)
        images, own = listing.images[rows], tuple(names[rows])
        told = json.dumps([common, own, [_described(image) for image in images]])
        name = f"{len(parts):05d}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.arrow"
        parts.append(_Part(folder / name, images, own))
    return parts


def _described(image: Listed) -> list[Any]:
    states = []
    for path in (image.path, image.mask):
        try:
            state = path.stat() if path else None
        except OSError:
            state = None
        states.append([str(path), state.st_size, state.st_mtime_ns] if state else None)
    return [image.class_name, image.split, image.box and astuple(image.box), image.mask_values, *states]


# Images and masks of two parts, by part, row and byte: all processes decode into the same ones.
_Buffers = list[UInt8[np.ndarray, "parts rows _"]]
_here: _Buffers = []  # a worker's


def _buffers(rows: int, *shared: Any) -> _Buffers:
    return [np.frombuffer(one, np.uint8).reshape(2, rows, -1) for one in shared]


def _open_buffers(rows: int, *shared: Any) -> None:
    _here.extend(_buffers(rows, *shared))


def _decode_some(images: Sequence[Listed], size: int, how: Resize, half: int, first: int) -> list[bytes | str]:
    """Decodes into the buffers from row `first` on; what each image contains, or why it cannot be read."""
    (pixels, bits), outcomes = _here, list[bytes | str]()
    for row, image in enumerate(images, first):
        try:
            decoded = decode(image, size, how)
        except Unreadable as error:
            outcomes.append(str(error))
            continue
        pixels[half, row] = decoded.image.reshape(-1)
        if decoded.mask is not None:
            bits[half, row] = np.packbits(decoded.mask)
        outcomes.append(content(decoded.image))
    return outcomes


def _decode(
    parts: Sequence[_Part], schema: pa.Schema, size: int, how: Resize, processes: int, progress: Progress
) -> None:
    """Writes the parts that are not there yet."""
    todo = [part for part in parts if not part.path.exists()]
    total = sum(len(part.images) for part in parts)
    done = total - sum(len(part.images) for part in todo)
    progress(done, total)
    if not todo:
        return
    rows = len(todo[0].images)
    widths = [schema.field(name).type.byte_width for name in ("image", "mask")]
    shared = [get_context("spawn").RawArray(ctypes.c_uint8, 2 * rows * width) for width in widths]
    buffers = _buffers(rows, *shared)
    tasks = (
        (part.images[first : first + IMAGES_A_TASK], size, how, turn % 2, first)
        for turn, part in enumerate(todo)
        for first in range(0, len(part.images), IMAGES_A_TASK)
    )
    with workers(processes, _open_buffers, rows, *shared) as pool:
        results = in_order(pool, _decode_some, tasks, TASKS_AHEAD)
        for turn, part in enumerate(todo):
            outcomes: list[bytes | str] = []
            while len(outcomes) < len(part.images):
                outcomes += next(results)
                progress(done + len(outcomes), total)
            done += len(outcomes)
            _write_part(part, outcomes, schema, *(buffer[turn % 2] for buffer in buffers))


def _write_part(
    part: _Part, outcomes: Sequence[bytes | str], schema: pa.Schema, *buffers: UInt8[np.ndarray, "room _"]
) -> None:
    """All rows of a part, the unreadable ones with their reason, under a temporary name until it is whole."""
    (pixels, bits), rows = buffers, len(part.images)
    columns = {
        "split": [image.split for image in part.images],
        "class": [image.class_name for image in part.images],
        "image": pixels[:rows],
        "mask": bits[:rows] if schema.metadata[b"masks"] == b"yes" else [None] * rows,
        "id": part.ids,
        "content": [one if isinstance(one, bytes) else None for one in outcomes],
        "reason": [one if isinstance(one, str) else None for one in outcomes],
    }
    own = schema.append(pa.field("reason", pa.string()))
    arrays = [
        pa.FixedSizeBinaryArray.from_buffers(own.field(name).type, rows, [None, pa.py_buffer(column)])
        if isinstance(column, np.ndarray)
        else pa.array(column, own.field(name).type)
        for name, column in columns.items()
    ]
    unfinished = part.path.with_suffix(".part")
    with unfinished.open("wb") as stream:
        with pyarrow.ipc.new_file(stream, own) as writer:
            writer.write_batch(pa.record_batch(arrays, schema=own))
        stream.flush()
        os.fsync(stream.fileno())  # a machine that loses power must not leave half a part under its name
    unfinished.replace(part.path)


def _read(part: _Part) -> pa.RecordBatch:
    return pyarrow.ipc.open_file(pa.memory_map(str(part.path))).get_batch(0)


def _outcomes(parts: Sequence[_Part], images: int) -> tuple[UInt8[np.ndarray, "images 16"], dict[int, str]]:
    """What each image contains; why the unreadable ones cannot be read."""
    contents, reasons, first = np.zeros((images, 16), np.uint8), dict[int, str](), 0
    for part in parts:
        batch = _read(part)
        contents[first : first + batch.num_rows] = fixed_width(batch, "content")
        reasons |= {first + row: why for row, why in enumerate(batch.column("reason").to_pylist()) if why is not None}
        first += batch.num_rows
    return contents, reasons


def _join(parts: Sequence[_Part], kept: Bool[np.ndarray, " images"], schema: pa.Schema, folder: Path) -> Path:
    """The rows that are kept, a batch from each part, in a file in their folder."""
    whole, first = folder / "whole", 0
    with pa.OSFile(str(whole), "wb") as sink, pyarrow.ipc.new_file(sink, schema) as writer:
        for part in parts:
            batch = _read(part)
            rows = kept[first : first + batch.num_rows]
            first += batch.num_rows
            batch = pa.record_batch([batch.column(name) for name in schema.names], schema=schema)
            if rows.any():
                writer.write_batch(batch if rows.all() else batch.filter(pa.array(rows)))
    return whole
