"""The image store: every image decoded once, in one memory-mapped Arrow file."""

import glob
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from jaxtyping import Bool, Int, UInt8

from pipeline.data.header import WAY_ON, Header, header_of
from pipeline.data.pictures import parts_of_classes
from pipeline.storage.locking import is_left, waited_for

ROWS_A_BATCH = 1024


@dataclass(frozen=True)
class Sample:
    """A sample is an image on its way into the store; `mask` is True where the key entity shows, None where that is not
    known.
    """

    split: str
    class_name: str
    image: UInt8[np.ndarray, "height width 3"]
    mask: Bool[np.ndarray, "height width"] | None = None


@dataclass(frozen=True)
class PackedImages:
    """Packed images are the file `name` in the folder at `uri`, which any node can reach; `fingerprint` is that of its
    content.
    """

    uri: str
    name: str
    fingerprint: str


@dataclass(frozen=True, eq=False)
class SplitClasses(Mapping[str, Int[np.ndarray, " images"]]):
    """The classes of a split are the rows of each, by name. Where splits share classes, `parts` tell how many images of
    each class every split holds, by class and split; they are empty where each class lies in one split.
    """

    split: str
    rows: Mapping[str, Int[np.ndarray, " images"]]
    parts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Int[np.ndarray, " images"]:
        return self.rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class ImageStore:
    """A store holds the images of a packed file by row number. Opening it reads the labels; pixels stay on disk until
    they are asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            header, self._batches = _opened(path)
        except FileNotFoundError as error:
            said = f"packed images must be at {path} but are not; the same command packs again those of a home"
            raise FileNotFoundError(said) from error
        except (ValueError, OSError, pa.ArrowException) as error:
            raise ValueError(
                f"{path} must be a file that fpt data pack has written but is not: {' '.join(str(error).split())}"
            ) from error
        self.side, self.has_masks = (header.height, header.width), header.masks == "yes"
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])  # some are shorter: images were left out
        self.count = int(self._ends[-1])
        self._split_of, self._split_names = self._coded("split")
        self._class_of, self._class_names = self._coded("class")

    @cached_property
    def fingerprint(self) -> str:
        """Returns a digest of the content: the same pixels, masks, classes and splits in the same order give the same
        digest.
        """
        digest = hashlib.sha256()
        for codes, names in ((self._split_of, self._split_names), (self._class_of, self._class_names)):
            encoded = [name.encode() for name in names]
            for row, code in enumerate(codes.tolist()):
                digest.update(b"\0" + encoded[code] if row else encoded[code])
        for batch in self._batches:
            for column in ("image", "mask") if self.has_masks else ("image",):
                digest.update(fixed_width(batch, column).data)
        return digest.hexdigest()[:16]

    @property
    def splits(self) -> list[str]:
        return sorted(self._split_names)

    @cached_property
    def _parts(self) -> dict[str, dict[str, int]]:
        """Returns the number of images of each class in each split, where splits share classes."""
        counted = np.zeros((len(self._split_names), len(self._class_names)), int)
        np.add.at(counted, (self._split_of, self._class_of), 1)
        rows = [dict(zip(self._class_names, of_split, strict=True)) for of_split in counted.tolist()]
        return parts_of_classes(dict(zip(self._split_names, rows, strict=True)))

    def classes(self, split: str) -> SplitClasses:
        """Returns the rows of each class of a split, classes in the order in which they were packed.

        Raises ValueError for a split that the store does not have.
        """
        if split not in self._split_names:
            raise ValueError(f"episodes.split must be one of {', '.join(self.splits)} but got {split!r}")
        rows = np.flatnonzero(self._split_of == self._split_names.index(split))
        codes = self._class_of[rows]
        unique, first = np.unique(codes, return_index=True)
        by_class = np.argsort(codes, kind="stable")
        groups = np.split(rows[by_class], np.searchsorted(codes[by_class], unique[1:]))
        named = {self._class_names[unique[place]]: groups[place] for place in np.argsort(first)}
        return SplitClasses(split, named, self._parts)

    def images(self, rows: Int[np.ndarray, " images"]) -> UInt8[np.ndarray, "images height width 3"]:
        """Returns a copy of the pixels of the chosen rows."""
        return self._gather("image", rows).reshape(len(rows), *self.side, 3)

    def masks(self, rows: Int[np.ndarray, " images"]) -> Bool[np.ndarray, "images height width"] | None:
        """Returns where the key entity shows in the chosen rows, None for data that does not know it."""
        if not self.has_masks:
            return None
        bits = np.unpackbits(self._gather("mask", rows), axis=1, count=self.side[0] * self.side[1])
        return bits.reshape(len(rows), *self.side).astype(bool)

    def ids(self, rows: Int[np.ndarray, " images"]) -> list[str] | None:
        """Returns the paths of the chosen images, below the folder that was packed, None for data that has no files."""
        if "id" not in self._batches[0].schema.names:
            return None
        return [self._batches[batch].column("id")[within].as_py() for batch, within in self._places(rows)]

    def _coded(self, column: str) -> tuple[Int[np.ndarray, " images"], list[str]]:
        """Returns a column of labels as numbers, and what they stand for: a million take 4 MB."""
        kind = pa.dictionary(pa.int32(), pa.string())
        labels = pa.chunked_array([batch.column(column).cast(kind) for batch in self._batches]).unify_dictionaries()
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in labels.chunks])
        return codes, labels.chunk(0).dictionary.to_pylist()

    def _gather(self, column: str, rows: Int[np.ndarray, " images"]) -> UInt8[np.ndarray, "images bytes"]:
        places = self._places(rows)
        return np.stack([fixed_width(self._batches[batch], column)[within] for batch, within in places])

    def _places(self, rows: Int[np.ndarray, " images"]) -> list[tuple[int, int]]:
        """Returns, for each row, the batch that holds it and where it is in that batch."""
        batches = np.searchsorted(self._ends, rows, side="right")
        within = rows - np.concatenate([[0], self._ends])[batches]
        return list(zip(batches.tolist(), within.tolist(), strict=True))


def _opened(path: Path) -> tuple[Header, list[pa.RecordBatch]]:
    """Returns the header of a packed file and its batches, whose labels and sizes are checked; pixels are not read.
    Raises ValueError, with what is wrong, for another file.
    """
    reader = pyarrow.ipc.open_file(pa.memory_map(str(path)))
    header = header_of(reader.schema)
    filled = ["split", "class", "image", *(["mask"] if header.masks == "yes" else [])]
    batches = []
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        batch.validate(full=True)
        for name in filled:
            if batch.column(name).null_count:
                raise ValueError(f"its column {name} must have a value for every image but has none for some; {WAY_ON}")
        if batch.num_rows:
            batches.append(batch)
    if not batches:
        raise ValueError(f"it must hold an image at least but holds none; {WAY_ON}")
    return header, batches


def fixed_width(batch: pa.RecordBatch, column: str) -> UInt8[np.ndarray, "rows bytes"]:
    """Returns a column whose values all have the same width, not copied; a null has whatever bytes are there."""
    array = batch.column(column)
    buffer = np.frombuffer(array.buffers()[1], np.uint8)
    return buffer.reshape(-1, array.type.byte_width)[array.offset : array.offset + len(array)]


def schema_of(height: int, width: int, masks: bool, files: bool = False) -> pa.Schema:
    """Returns the schema of a packed file. `masks` is whether every image has a mask; the column is there in any case.
    Images that come from `files` have an id, which tells from which, and a digest of their pixels.
    """
    fields = {
        "split": pa.string(),
        "class": pa.string(),
        "image": pa.binary(height * width * 3),
        "mask": pa.binary((height * width + 7) // 8),
        **({"id": pa.string(), "content": pa.binary(16)} if files else {}),
    }
    return pa.schema(fields, {"height": str(height), "width": str(width), "masks": "yes" if masks else "no"})


def pack(samples: Iterable[Sample], path: Path) -> Path:
    """Writes a store, under a temporary name until it is whole, and returns its path. What such a command has left that
    was killed is removed. Raises ValueError for images of unequal size.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in filter(is_left, path.parent.glob(f"{glob.escape(path.stem)}.*.part")):
        left.unlink(missing_ok=True)
    part = path.with_suffix(f".{uuid4().hex[:8]}.part")  # two commands may pack at once, on two machines
    with waited_for(part):
        try:
            _write(samples, part)
            return part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _write(samples: Iterable[Sample], part: Path) -> None:
    iterator = iter(samples)
    first = next(iterator)
    height, width, _ = first.image.shape
    masks = first.mask is not None
    schema = schema_of(height, width, masks)
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
            arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
