"""The image store: every image decoded once, in one memory-mapped Arrow file."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from jaxtyping import Bool, Int, UInt8

ROWS_A_BATCH = 1024


@dataclass(frozen=True)
class Sample:
    """One image on its way into the store; `mask` is True where the key entity shows, None where that is not known."""

    split: str
    class_name: str
    image: UInt8[np.ndarray, "height width 3"]
    mask: Bool[np.ndarray, "height width"] | None = None


@dataclass(frozen=True)
class PackedImages:
    """A packed file in the folder at `uri`, which any node can reach; `fingerprint` is that of its content."""

    uri: str
    name: str
    fingerprint: str


class ImageStore:
    """Images of a packed file by row number. Opening reads the labels; pixels stay on disk until asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        reader = pyarrow.ipc.open_file(pa.memory_map(str(path)))
        metadata = {key.decode(): value.decode() for key, value in reader.schema.metadata.items()}
        self.side = (int(metadata["height"]), int(metadata["width"]))
        self.has_masks = metadata["masks"] == "yes"
        self._batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        self.count = sum(batch.num_rows for batch in self._batches)
        labels = pa.Table.from_batches(self._batches).select(["split", "class"])
        self._splits = np.asarray(labels["split"].to_pylist())
        self._classes = np.asarray(labels["class"].to_pylist())

    @cached_property
    def fingerprint(self) -> str:
        """Of the content: the same pixels, masks, classes and splits in the same order give the same one."""
        digest = hashlib.sha256()
        for column in ("split", "class"):
            digest.update("\0".join(getattr(self, f"_{column}{'es' if column == 'class' else 's'}")).encode())
        for batch in self._batches:
            for column in ("image", "mask") if self.has_masks else ("image",):
                digest.update(_fixed_width(batch, column).data)
        return digest.hexdigest()[:16]

    @property
    def splits(self) -> list[str]:
        return sorted(set(self._splits.tolist()))

    def classes(self, split: str) -> dict[str, Int[np.ndarray, " images"]]:
        """Rows of each class of a split, classes in the order in which they were packed.

        Raises ValueError for a split that the store does not have.
        """
        rows = np.flatnonzero(self._splits == split)
        if len(rows) == 0:
            raise ValueError(f"episodes.split must be one of {', '.join(self.splits)} but got {split!r}")
        names = self._classes[rows]
        unique, first = np.unique(names, return_index=True)
        by_name = np.argsort(names, kind="stable")
        groups = dict(zip(unique, np.split(rows[by_name], np.searchsorted(names[by_name], unique[1:])), strict=True))
        return {str(name): groups[name] for name in unique[np.argsort(first)]}

    def images(self, rows: Int[np.ndarray, " images"]) -> UInt8[np.ndarray, "images height width 3"]:
        """Pixels of the chosen rows, copied."""
        return self._gather("image", rows).reshape(len(rows), *self.side, 3)

    def masks(self, rows: Int[np.ndarray, " images"]) -> Bool[np.ndarray, "images height width"] | None:
        """Where the key entity shows; None for data that does not know."""
        if not self.has_masks:
            return None
        bits = np.unpackbits(self._gather("mask", rows), axis=1, count=self.side[0] * self.side[1])
        return bits.reshape(len(rows), *self.side).astype(bool)

    def _gather(self, column: str, rows: Int[np.ndarray, " images"]) -> UInt8[np.ndarray, "images bytes"]:
        return np.stack([_fixed_width(self._batches[row // ROWS_A_BATCH], column)[row % ROWS_A_BATCH] for row in rows])


def _fixed_width(batch: pa.RecordBatch, column: str) -> UInt8[np.ndarray, "rows bytes"]:
    array = batch.column(column)
    buffer = np.frombuffer(array.buffers()[1], np.uint8)
    return buffer.reshape(-1, array.type.byte_width)[array.offset : array.offset + len(array)]


def pack(samples: Iterable[Sample], path: Path) -> Path:
    """Writes a store, under a temporary name until it is whole. Raises ValueError for images of unequal size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")  # two commands may pack at once
    iterator = iter(samples)
    first = next(iterator)
    height, width, _ = first.image.shape
    masks = first.mask is not None
    fields = {
        "split": pa.string(),
        "class": pa.string(),
        "image": pa.binary(height * width * 3),
        "mask": pa.binary((height * width + 7) // 8),
    }
    described = {"height": str(height), "width": str(width), "masks": "yes" if masks else "no"}
    schema = pa.schema(fields, metadata=described)
    with pa.OSFile(str(part), "wb") as sink, pyarrow.ipc.new_file(sink, schema) as writer:
        rest = chain([first], iterator)
        while rows := list(islice(rest, ROWS_A_BATCH)):
            for row in rows:
                if row.image.shape != first.image.shape:
                    raise ValueError(f"image must be {first.image.shape} like the first but got {row.image.shape}")
            packed = [np.packbits(row.mask).tobytes() if row.mask is not None else None for row in rows]
            columns = [
                [row.split for row in rows],
                [row.class_name for row in rows],
                [row.image.tobytes() for row in rows],
                packed,
            ]
            arrays = [pa.array(column, kind) for column, kind in zip(columns, fields.values(), strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    return part.replace(path)
