"""Parquet (or Arrow) files with pictures in them, as the data sets of Hugging Face's hub are kept."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from pipeline.data.sources.archives.containers import PARQUET, Container, containers, splits_of
from pipeline.data.sources.archives.labels import LABELS, UNKNOWN, class_called, paths_of, within
from pipeline.data.sources.archives.unpacking import Passed, Sample, unpacked
from pipeline.data.sources.listing import Listing, assemble

IMAGES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png")
ROWS = 32  # are read at once: pictures may be large
NO_PICTURE = "Rows without a picture left out"
GONE = "Pictures that are not there left out"


class Columns(NamedTuple):
    """These columns hold pictures and their classes; numbers of classes stand for `names`, where there are some."""

    image: str
    label: str
    names: Sequence[str] | None


def huggingface(root: str, image_column: str | None = None, label_column: str | None = None) -> Listing:
    """Lists the rows of Parquet files (or of the Arrow files that `datasets` saves): pictures as bytes, or as paths
    that count from the file's folder, in a column of the type Image; classes in one of the type ClassLabel, whose names
    the schema tells, or in one that is called label or the like. Splits are those of the files' names.

    Raises ValueError for files that cannot be read, and where it is not clear which columns are meant.
    """
    found = containers("huggingface", root, PARQUET)
    splits, notes = splits_of(found, "huggingface")
    wanted = {one: _columns_of(one, image_column, label_column) for one in found}
    images, passed = unpacked(
        found, splits, lambda one: _samples(one, wanted[one]), ["huggingface", image_column, label_column]
    )
    return assemble("huggingface", Path(root), images, [*notes, *passed])


def holds_pictures(file: Path) -> bool:
    """Returns whether a file of this machine is a Parquet file with pictures in it, by its schema."""
    try:
        schema = pyarrow.parquet.read_schema(file)
    except (OSError, pa.ArrowException):
        return False
    return bool(_pictures(schema, _features(schema)))


def _columns_of(one: Container, image: str | None, label: str | None) -> Columns:
    with _told(one), one.file() as file:
        schema = _schema(one, file)
    features = _features(schema)
    pictures = _pictures(schema, features)
    nested = {field.name: _fields(field.type) for field in schema}
    image = _chosen(one, "image", image, pictures, nested)
    if pa.types.is_list(kind := _type_of(schema, image)) or pa.types.is_large_list(kind):
        raise ValueError(f"column {image} of {one} must hold one picture a row but holds a list of them")
    labels = [name for name, feature in features.items() if feature.get("_type") == "ClassLabel"]
    if not labels:
        labels = [name for name in schema.names if name.strip().lower() in LABELS]
    label = _chosen(one, "label", label, labels, nested)
    feature = features.get(label, {})
    names = feature.get("names")
    return Columns(image, label, list(map(str, names)) if isinstance(names, list) else None)


def _chosen(one: Container, what: str, asked: str | None, candidates: Sequence[str], nested: Mapping[str, Any]) -> str:
    """Returns the column that is asked for, or the only candidate."""
    if asked is not None:
        try:
            within(nested, asked)
        except KeyError:
            there = ", ".join(paths_of(nested))
            raise ValueError(f"{what}_column must be a column of {one} ({there}) but is {asked!r}") from None
        return asked
    if len(candidates) == 1:
        return candidates[0]
    holds = "pictures" if what == "image" else "classes"
    if candidates:
        raise ValueError(
            f"{what}_column must say which column holds {holds}, as {one} has {', '.join(candidates)}: "
            f"--set dataset.{what}_column={candidates[0]}"
        )
    raise ValueError(
        f"columns of {one} must hold {holds} but none is known to (it has {', '.join(nested) or 'none'}): --set "
        f"dataset.{what}_column=NAME names the one"
    )


def _pictures(schema: pa.Schema, features: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns the columns that hold pictures: by the features that the schema tells, or by their types."""
    if named := [name for name in schema.names if features.get(name, {}).get("_type") == "Image"]:
        return named
    return [field.name for field in schema if _holds_bytes(field)]


def _holds_bytes(field: pa.Field) -> bool:
    kind = field.type
    if pa.types.is_struct(kind):
        return any(inner.name == "bytes" and _binary(inner.type) for inner in kind)
    return bool(_binary(kind)) and field.name.strip().lower() in IMAGES


def _binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Returns what `datasets` wrote into a schema about its columns, nothing where it did not."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])
        features = told["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    known = {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    return known if isinstance(features, dict) else {}


def _fields(kind: pa.DataType) -> Any:
    return {inner.name: _fields(inner.type) for inner in kind} if pa.types.is_struct(kind) else None


def _type_of(schema: pa.Schema, path: str) -> pa.DataType:
    if path in schema.names:
        return schema.field(path).type
    first, _, rest = path.partition(".")
    return _type_of(pa.schema(list(schema.field(first).type)), rest)


def _samples(one: Container, columns: Columns) -> Iterator[Sample | Passed]:
    row = 0
    with _told(one), one.file() as file:
        there = _schema(one, file).names
        tops = list(dict.fromkeys(path if path in there else path.partition(".")[0] for path in columns[:2]))
        file.seek(0)
        for batch in _batches(one, file, tops):
            for section in batch.to_pylist():
                yield _sample(one, columns, row, section)
                row += 1


def _sample(one: Container, columns: Columns, row: int, section: Mapping[str, Any]) -> Sample | Passed:
    cell = within(section, columns.image)
    content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, Mapping) else (cell, None)
    if isinstance(content, str):
        content, path = None, content
    name = f"{row:08d}{f' {os.path.basename(path)}' if path else ''}"
    where = f"row {row} of {one}"
    class_name = class_called(_within(section, columns.label), columns.names, where, columns.label)
    if class_name is None:
        return Passed(name, UNKNOWN)
    if content:
        return Sample(name, class_name, content)
    if not path:
        return Passed(name, NO_PICTURE)
    beside = os.path.normpath(path)
    if beside.startswith("..") or (os.path.isabs(beside) and one.folder.here is None):
        raise ValueError(f"path of a picture must stay below {one.folder.root} but is {path!r} in {where}")
    if one.folder.here is not None:
        there = (one.folder.here / one.name).parent / beside
        return Sample(name, class_name, there) if os.path.isfile(there) else Passed(name, GONE)
    inner = os.path.join(os.path.dirname(one.name), beside)
    found = one.folder.read(inner)
    return Passed(name, GONE) if found is None else Sample(name, class_name, found)


def _within(section: Mapping[str, Any], path: str) -> Any:
    try:
        return within(section, path)
    except KeyError:  # a section that is empty in this row
        return None


def _schema(one: Container, file: Any) -> pa.Schema:
    if one.name.endswith(".arrow"):
        return _arrow(file).schema
    return pyarrow.parquet.ParquetFile(file).schema_arrow


def _batches(one: Container, file: Any, columns: list[str]) -> Iterator[pa.RecordBatch]:
    if not one.name.endswith(".arrow"):
        yield from pyarrow.parquet.ParquetFile(file).iter_batches(ROWS, columns=columns)
        return
    reader = _arrow(file)
    counted = hasattr(reader, "num_record_batches")
    whole = map(reader.get_batch, range(reader.num_record_batches)) if counted else reader
    for batch in whole:
        for first in range(0, batch.num_rows, ROWS):
            yield batch.select(columns).slice(first, ROWS)


def _arrow(file: Any) -> Any:
    """Returns a reader of an Arrow file, which `datasets` writes as a stream."""
    try:
        return pa.ipc.open_stream(file)
    except pa.ArrowInvalid:
        file.seek(0)
        return pa.ipc.open_file(file)


@contextmanager
def _told(one: Container) -> Iterator[None]:
    """Says of a container what pyarrow says of reading it."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())
        kind = "Arrow" if one.name.endswith(".arrow") else "Parquet"
        raise ValueError(
            f"{one} must be a whole {kind} file but reading it failed: {said}; fetch it once more"
        ) from error
