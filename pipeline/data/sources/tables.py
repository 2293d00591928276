"""A table of images is read here: CSV, TSV, JSON lines or Parquet, with a row for each image."""

import ast
import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from pipeline.data.sources.archives.labels import paths_of, within
from pipeline.data.sources.listing import SPLITS, Box, Listed, Listing, assemble, existing, some_of, split_called
from pipeline.data.sources.paths import of_windows

SEPARATORS = {".csv": ",", ".tsv": "\t"}
LINES = ".jsonl"
TABLE_SUFFIXES = (*SEPARATORS, LINES, ".parquet")
PATHS = ("path", "file_name")  # the second is that of Hugging Face's metadata.csv
LABELS = ("label", "class", "class_name")
CORNERS = ("left", "top", "right", "bottom")
SIZES = ("x", "y", "width", "height")

WANTED = (*PATHS, *LABELS, "split", *CORNERS, *SIZES, "mask")

# A column's cells as text, empty where there is none.
Columns = dict[str, list[str]]


def table(root: Path, image_column: str | None = None, label_column: str | None = None) -> Listing:
    """Lists the rows of a table, or of the only table in a folder, or of those in it that are called by splits, or lie
    in folders that are. Its columns are path (or file_name) and label (or class, class_name), or those that are named
    by `image_column` and `label_column`, and where wanted split (a key of SPLITS), left, top, right, bottom or x, y,
    width, height (pixels), mask (an image, not 0 at the key entity). An empty cell counts as none.

    Paths count from the table's folder and stay below it, so that the folder can be moved as a whole; what lies
    elsewhere is named by an absolute path; those that were written on Windows are read with this machine's separators.
    Links are followed wherever they lead, since each file is named. Missing files are left out and noted. Raises
    ValueError for a table that cannot be read, columns that are missing or there twice, and cells that do not make
    sense, naming the row (the first below the header is 1).
    """
    named = _named(image_column, label_column)
    images: list[Listed] = []
    notes: list[str] = []
    for file, split in _table_files(root, named):
        columns = _columns(file, named)
        path = next((name for name in PATHS if name in columns), None)
        label = next((name for name in LABELS if name in columns), None)
        if path is None or label is None:
            raise ValueError(_lacking(file, columns, path, named))
        columns["path"] = columns.pop(path)
        notes += _of_this_machine(file.parent, columns)
        rows = (_row(file, columns, label, i) for i in range(len(columns["path"])))
        images += (replace(row, split=row.split or split) for row in rows)
    there, missing = existing(images)
    return assemble("table", root, there, [*notes, *missing])


def _lacking(file: Path, columns: Columns, path: str | None, named: Mapping[str, str]) -> str:
    """Returns what is wrong with a table that lacks a column, and how another is named."""
    there = ", ".join(columns) or "none"
    for name, plain in named.items():
        if plain not in columns:
            field = "image_column" if plain == "path" else "label_column"
            return f"{field} must be a column of {file} ({there}) but is {name!r}"
    ways_on = [] if path else ["dataset.image_column"]
    ways_on += [] if any(name in columns for name in LABELS) else ["dataset.label_column"]
    way_on = f"; {' '.join(f'--set {field}=NAME' for field in ways_on)} takes another" if columns else ""
    wanted = f"one of {', '.join(PATHS)} and one of {', '.join(LABELS)}"
    return f"columns of {file} must be {wanted} but are {there}{way_on}"


def _of_this_machine(folder: Path, columns: Columns) -> list[str]:
    """Replaces the paths that were written on Windows, and returns a note on them."""
    found = []
    for name in ("path", "mask"):
        for i, cell in enumerate(columns.get(name, [])):
            if (here := of_windows(folder, cell)) is not None:
                columns[name][i] = here
                found.append(f"{cell} as {here}")
    return [f"Paths of Windows, found here: {some_of(found)}."] if found else []


def is_table(file: Path, image_column: str | None = None, label_column: str | None = None) -> bool:
    """Returns whether a file is a table of images, by its header."""
    return _holds(file, _named(image_column, label_column))


def _named(image_column: str | None, label_column: str | None) -> dict[str, str]:
    """Returns what the columns that are named are called here."""
    return {name: plain for plain, name in (("path", image_column), ("label", label_column)) if name}


def _holds(file: Path, named: Mapping[str, str]) -> bool:
    """Returns whether a file is a table with the columns that are needed."""
    try:
        names = _header(file, named) if file.suffix.lower() in TABLE_SUFFIXES and file.is_file() else []
    except (OSError, ValueError):
        return False
    return any(name in names for name in PATHS) and any(name in names for name in LABELS)


def _table_files(root: Path, named: Mapping[str, str]) -> list[tuple[Path, str | None]]:
    """Returns the tables that are read, and the split of each where its name, or its folder's, is that of one."""
    if not root.is_dir():
        if root.suffix.lower() not in TABLE_SUFFIXES:
            raise ValueError(f"root of a table must be one of {', '.join(TABLE_SUFFIXES)} but got {root}")
        return [(root, None)]
    tables = [file for file in sorted(root.iterdir()) if _holds(file, named)]
    if len(tables) == 1:
        return [(tables[0], None)]
    by_split: list[tuple[Path, str | None]] = [(file, split) for file in tables if (split := split_called(file.stem))]
    if tables and len(by_split) == len(tables):
        return by_split
    below = [(file, split_called(file.parent.name)) for file in sorted(root.glob("*/*")) if _holds(file, named)]
    if not tables and below and all(split for _, split in below):
        return below
    names = ", ".join(str(file.relative_to(root)) for file in (*tables, *(file for file, _ in below))) or "none"
    raise ValueError(
        f"root must be a table or hold one with {' and '.join(_wanted(named))} but {root} holds {names}: name the table"
        " itself"
    )


def _wanted(named: Mapping[str, str]) -> tuple[str, str]:
    asked = {plain: name for name, plain in named.items()}
    return asked.get("path", "path"), asked.get("label", "label")


def _header(file: Path, named: Mapping[str, str]) -> list[str]:
    if file.suffix.lower() in SEPARATORS:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            try:
                first = next(csv.reader(stream, delimiter=SEPARATORS[file.suffix.lower()]), [])
            except csv.Error as error:
                raise ValueError(f"{file} must be a table of text but reading it failed: {error}") from error
    elif file.suffix.lower() == LINES:
        with file.open(encoding="utf-8-sig") as lines:
            first = list(_flat(next((line for line in lines if line.strip()), "{}")))
    else:
        first = pyarrow.parquet.read_schema(file).names
    return [_name(cell, named) for cell in first]


def _columns(file: Path, named: Mapping[str, str]) -> Columns:
    suffix = file.suffix.lower()
    read = _text if suffix in SEPARATORS else _lines if suffix == LINES else _parquet
    try:
        return read(file, named)
    except (csv.Error, UnicodeDecodeError, json.JSONDecodeError, pa.ArrowException) as error:
        raise ValueError(f"{file} must be a {file.suffix[1:]} table but reading it failed: {error}") from error


def _text(file: Path, named: Mapping[str, str]) -> Columns:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream, delimiter=SEPARATORS[file.suffix.lower()]))
    header = [_name(cell, named) for cell in rows[0]] if rows else []
    _refuse_twice(file, rows[0] if rows else [], named)
    rows = [row for row in rows[1:] if row]
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"row {i + 1} of {file} must have {len(header)} cells but has {len(row)}")
    return {name: _unwrapped([row[place].strip() for row in rows]) for place, name in enumerate(header)}


def _lines(file: Path, named: Mapping[str, str]) -> Columns:
    """Reads a JSON object a line; those within others are named by paths like meta.species."""
    with file.open(encoding="utf-8-sig") as stream:
        rows = [_flat(line) for line in stream if line.strip()]
    names = list(dict.fromkeys(name for row in rows for name in row))
    _refuse_twice(file, names, named)
    columns = {_name(name, named): [row.get(name) for row in rows] for name in names}
    return {plain: _cells(file, plain, values) if plain in WANTED else [] for plain, values in columns.items()}


def _cells(file: Path, column: str, values: Sequence[object]) -> list[str]:
    for i, value in enumerate(values):
        if isinstance(value, list | dict):
            raise ValueError(f"{column} must be one value but is {str(value)[:60]} in row {i + 1} of {file}")
    return [_cell(value) for value in values]


def _flat(line: str) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError(f"a line of JSON lines must hold fields and values but is {line.strip()[:60]!r}")
    return {path: within(row, path) for path in paths_of(row)}


def _unwrapped(column: list[str]) -> list[str]:
    """Returns a column of text; where all of its cells are bytes as Python writes them, it is what they hold."""
    if not all(cell.startswith(("b'", 'b"')) for cell in column):
        return column
    try:
        held = [ast.literal_eval(cell) for cell in column]
    except (SyntaxError, ValueError):
        return column
    return [_cell(one) for one in held]


def _refuse_twice(file: Path, names: Sequence[str], named: Mapping[str, str]) -> None:
    """Raises ValueError where a column that is read is there more than once."""
    for wanted in (name for name in WANTED if sum(_name(one, named) == name for one in names) > 1):
        shown = " and ".join(repr(one) for one in names if _name(one, named) == wanted)
        raise ValueError(f"column {wanted} of {file} must be there once but is there as {shown}: rename all but one")


def _parquet(file: Path, named: Mapping[str, str]) -> Columns:
    read = pyarrow.parquet.ParquetFile(file)
    _refuse_twice(file, read.schema_arrow.names, named)
    names = {name: _name(name, named) for name in read.schema_arrow.names}
    rows = read.read(columns=[name for name, plain in names.items() if plain in WANTED])
    return {
        plain: _cells(file, plain, rows[name].to_pylist()) if plain in WANTED else [] for name, plain in names.items()
    }


def _cell(content: object) -> str:
    if isinstance(content, bytes):
        return os.fsdecode(content).strip()
    return "" if content is None or content != content else str(content).strip()  # what is not itself is not a number


def _name(cell: str, named: Mapping[str, str]) -> str:
    """Returns what a column is called here. One that is named takes the place of those that are called so by chance."""
    if cell in named or cell.strip() in named:
        return named.get(cell) or named[cell.strip()]
    plain = cell.strip().lower()
    known = {"path": PATHS, "label": LABELS}
    return f"{plain} (not taken)" if any(plain in known[taken] for taken in named.values()) else plain


def _row(file: Path, columns: Columns, label: str, i: int) -> Listed:
    cells = {name: column[i] for name, column in columns.items() if column}
    where = f"row {i + 1} of {file}"
    for name in ("path", label):
        if not cells[name]:
            raise ValueError(f"{name} must be given but is empty in {where}")
    split = cells.get("split", "")
    if split and split.lower() not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)} but got {split!r} in {where}")
    return Listed(
        _below(file.parent, cells["path"], where),
        cells[label],
        SPLITS[split.lower()] if split else None,
        _box(cells, where),
        _below(file.parent, cells["mask"], where) if cells.get("mask") else None,
    )


def _below(folder: Path, name: str, where: str) -> Path:
    path = os.path.normpath(name)
    if path.split(os.sep)[0] == os.pardir:
        raise ValueError(f"path must be absolute or stay below {folder} but got {name!r} in {where}")
    return folder / path


def _box(cells: dict[str, str], where: str) -> Box | None:
    names = next((names for names in (CORNERS, SIZES) if any(cells.get(name) for name in names)), None)
    if names is None:
        return None
    given = ", ".join(f"{name} {cells.get(name) or 'empty'}" for name in names)
    try:
        left, top, right, bottom = (float(cells.get(name, "")) for name in names)
    except ValueError:
        raise ValueError(f"{', '.join(names)} must be four numbers or empty but got {given} in {where}") from None
    if names is SIZES:
        right, bottom = left + right, top + bottom
    if not (all(map(math.isfinite, (left, top, right, bottom))) and left < right and top < bottom):
        raise ValueError(f"a box must hold a pixel at least but got {given} in {where}")
    return Box(left, top, right, bottom)
