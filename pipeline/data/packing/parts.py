"""Parts of a packed file: each holds so many images and is decoded independently; they are joined in the end."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.ipc
from jaxtyping import Bool, UInt8

from fpt.pictures.reading import Unreadable
from fpt.pictures.resizing import Resize, described
from pipeline.data.packing.copies import ids
from pipeline.data.packing.decoding import content, decode
from pipeline.data.sources.listing import Listed, Listing
from pipeline.data.store import ROWS_A_BATCH, fixed_width

FORMAT = 1  # of parts: those of another are not taken up

Outcome = bytes | str  # what an image contains, or why it cannot be read


@dataclass(frozen=True)
class Part:
    """A part is a file of consecutive images, named by what it will hold, so that other images make another part. `ids`
    name its images.
    """

    path: Path
    images: tuple[Listed, ...]
    ids: tuple[str, ...]


def parts_of(listing: Listing, folder: Path, size: int, how: Resize) -> list[Part]:
    """Returns the parts of a listing, in order, whether their files are there or not."""
    common, names, parts = [FORMAT, PIL.__version__, size, described(how)], ids(listing), list[Part]()
    for first in range(0, len(names), ROWS_A_BATCH):
        rows = slice(first, first + ROWS_A_BATCH)
        images, own = listing.images[rows], tuple(names[rows])
        told = json.dumps([common, own, [_described(image) for image in images]])
        name = f"{len(parts):05d}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.arrow"
        parts.append(Part(folder / name, images, own))
    return parts


def _described(image: Listed) -> list[Any]:
    states = []
    for path in (image.path, image.mask):
        try:
            state = path.stat() if path else None
        except OSError:
            state = None
        states.append([str(path), state.st_size, state.st_mtime_ns] if state else None)
    depth = [] if image.depth == 16 else [image.depth]  # parts are called what they were before there was one
    return [image.class_name, image.split, image.box and astuple(image.box), image.mask_values, *states, *depth]


def bytes_of(schema: pa.Schema) -> tuple[int, int]:
    """Returns how many bytes an image takes, and how many its mask."""
    return schema.field("image").type.byte_width, schema.field("mask").type.byte_width


def decode_rows(
    images: Sequence[Listed],
    size: int,
    how: Resize,
    pixels: UInt8[np.ndarray, "room _"],
    bits: UInt8[np.ndarray, "room _"],
) -> list[Outcome]:
    """Decodes images into the first rows of `pixels` and `bits`. Returns, for each, a digest of its pixels, or why it
    cannot be read.
    """
    outcomes = list[Outcome]()
    for row, image in enumerate(images):
        try:
            decoded = decode(image, size, how)
        except Unreadable as error:
            outcomes.append(str(error))
            continue
        pixels[row] = decoded.image.reshape(-1)
        if decoded.mask is not None:
            bits[row] = np.packbits(decoded.mask)
        outcomes.append(content(decoded.image))
    return outcomes


def write_part(
    part: Part,
    outcomes: Sequence[Outcome],
    schema: pa.Schema,
    pixels: UInt8[np.ndarray, "room _"],
    bits: UInt8[np.ndarray, "room _"],
) -> None:
    """Writes all rows of a part, those of unreadable images with the reason, under a temporary name until the file is
    whole.
    """
    rows = len(part.images)
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
    # a task that a cluster gave up for lost may still write the same part as the one that replaced it
    unfinished = part.path.with_suffix(f".{uuid4().hex[:8]}.part")
    try:
        with unfinished.open("wb") as stream:
            with pyarrow.ipc.new_file(stream, own) as writer:
                writer.write_batch(pa.record_batch(arrays, schema=own))
            stream.flush()
            os.fsync(stream.fileno())  # a machine that loses power must not leave half a part under its name
        unfinished.replace(part.path)
    finally:
        unfinished.unlink(missing_ok=True)


def clear_unfinished(folder: Path) -> None:
    """Removes what was left by processes that were killed while they wrote."""
    for path in folder.glob("*.part"):
        path.unlink(missing_ok=True)


def _read(part: Part) -> pa.RecordBatch:
    return pyarrow.ipc.open_file(pa.memory_map(str(part.path))).get_batch(0)


def outcomes_of(parts: Sequence[Part], images: int) -> tuple[UInt8[np.ndarray, "images 16"], dict[int, str]]:
    """Returns the digest of each image's pixels and, by row, why the unreadable images cannot be read."""
    contents, reasons, first = np.zeros((images, 16), np.uint8), dict[int, str](), 0
    for part in parts:
        batch = _read(part)
        contents[first : first + batch.num_rows] = fixed_width(batch, "content")
        reasons |= {first + row: why for row, why in enumerate(batch.column("reason").to_pylist()) if why is not None}
        first += batch.num_rows
    return contents, reasons


def join(
    parts: Sequence[Part],
    kept: Bool[np.ndarray, " images"],
    schema: pa.Schema,
    folder: Path,
    splits: Sequence[str | None] | None = None,
) -> Path:
    """Writes the rows that are kept, a batch from each part, into a file in the parts' folder, and returns its path.
    `splits` of all images take the place of those that the parts hold.
    """
    whole, first = folder / "whole", 0
    with pa.OSFile(str(whole), "wb") as sink, pyarrow.ipc.new_file(sink, schema) as writer:
        for part in parts:
            batch = _read(part)
            rows = kept[first : first + batch.num_rows]
            if splits is not None:
                column = pa.array(splits[first : first + batch.num_rows], pa.string())
                batch = batch.set_column(batch.schema.get_field_index("split"), "split", column)
            first += batch.num_rows
            batch = pa.record_batch([batch.column(name) for name in schema.names], schema=schema)
            if rows.any():
                writer.write_batch(batch if rows.all() else batch.filter(pa.array(rows)))
    return whole
