"""A table of images is read here: CSV, TSV or Parquet, with a row for each image."""

import ast
import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from pipeline.data.sources.listing import SPLITS, Box, Listed, Listing, assemble, existing, some_of
from pipeline.data.sources.paths import of_windows

SEPARATORS = {".csv": ",", ".tsv": "\t"}
TABLE_SUFFIXES = (*SEPARATORS, ".parquet")
LABELS = ("label", "class", "class_name")
CORNERS = ("left", "top", "right", "bottom")
SIZES = ("x", "y", "width", "height")

WANTED = ("path", *LABELS, "split", *CORNERS, *SIZES, "mask")

# A column's cells as text, empty where there is none.
Columns = dict[str, list[str]]


def table(root: Path) -> Listing:
    """Lists the rows of a table, or of the only table in a folder. Its columns are path and label (or class,
    class_name), and where wanted split (a key of SPLITS), left, top, right, bottom or x, y, width, height (pixels),
    mask (an image, not 0 at the key entity). An empty cell counts as none.

    Paths count from the table's folder and stay below it, so that the folder can be moved as a whole; what lies
    elsewhere is named by an absolute path; those that were written on Windows are read with this machine's separators.
    Links are followed wherever they lead, since each file is named. Missing files are left out and noted. Raises
    ValueError for a table that cannot be read, columns that are missing or there twice, and cells that do not make
    sense, naming the row (the first below the header is 1).
    """
    file = _table_file(root)
    columns = _columns(file)
    label = next((name for name in LABELS if name in columns), None)
    if "path" not in columns or label is None:
        names = ", ".join(columns) or "none"
        raise ValueError(f"columns of {file} must be path and one of {', '.join(LABELS)} but are {names}")
    notes = _of_this_machine(file.parent, columns)
    images = [_row(file, columns, label, i) for i in range(len(columns["path"]))]
    there, missing = existing(images)
    return assemble("table", root, there, [*notes, *missing])


def _of_this_machine(folder: Path, columns: Columns) -> list[str]:
    """Replaces the paths that were written on Windows, and returns a note on them."""
    found = []
    for name in ("path", "mask"):
        for i, cell in enumerate(columns.get(name, [])):
            if (here := of_windows(folder, cell)) is not None:
                columns[name][i] = here
                found.append(f"{cell} as {here}")
    return [f"Paths of Windows, found here: {some_of(found)}."] if found else []


def is_table(file: Path) -> bool:
    """Returns whether a file is a table of images, by its header."""
    try:
        names = _header(file) if file.suffix.lower() in TABLE_SUFFIXES and file.is_file() else []
    except ValueError:
        return False
    return "path" in names and any(name in names for name in LABELS)


def _table_file(root: Path) -> Path:
    if not root.is_dir():
        if root.suffix.lower() not in TABLE_SUFFIXES:
            raise ValueError(f"root of a table must be one of {', '.join(TABLE_SUFFIXES)} but got {root}")
        return root
    tables = [file for file in sorted(root.iterdir()) if is_table(file)]
    if len(tables) != 1:
        names = ", ".join(file.name for file in tables) or "none"
        raise ValueError(f"root must be a table or hold one with path and label but {root} holds {names}")
    return tables[0]


def _header(file: Path) -> list[str]:
    if file.suffix.lower() in SEPARATORS:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            try:
                first = next(csv.reader(stream, delimiter=SEPARATORS[file.suffix.lower()]), [])
            except csv.Error as error:
                raise ValueError(f"{file} must be a table of text but reading it failed: {error}") from error
    else:
        first = pyarrow.parquet.read_schema(file).names
    return [_name(cell) for cell in first]


def _columns(file: Path) -> Columns:
    try:
        return _text(file) if file.suffix.lower() in SEPARATORS else _parquet(file)
    except (csv.Error, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise ValueError(f"{file} must be a {file.suffix[1:]} table but reading it failed: {error}") from error


def _text(file: Path) -> Columns:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream, delimiter=SEPARATORS[file.suffix.lower()]))
    header = [_name(cell) for cell in rows[0]] if rows else []
    _refuse_twice(file, rows[0] if rows else [])
    rows = [row for row in rows[1:] if row]
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"row {i + 1} of {file} must have {len(header)} cells but has {len(row)}")
    return {name: _unwrapped([row[place].strip() for row in rows]) for place, name in enumerate(header)}


def _unwrapped(column: list[str]) -> list[str]:
    """Returns a column of text; where all of its cells are bytes as Python writes them, it is what they hold."""
    if not all(cell.startswith(("b'", 'b"')) for cell in column):
        return column
    try:
        held = [ast.literal_eval(cell) for cell in column]
    except (SyntaxError, ValueError):
        return column
    return [_cell(one) for one in held]


def _refuse_twice(file: Path, names: Sequence[str]) -> None:
    """Raises ValueError where a column that is read is there more than once."""
    for wanted in (name for name in WANTED if sum(_name(one) == name for one in names) > 1):
        shown = " and ".join(repr(one) for one in names if _name(one) == wanted)
        raise ValueError(f"column {wanted} of {file} must be there once but is there as {shown}: rename all but one")


def _parquet(file: Path) -> Columns:
    read = pyarrow.parquet.ParquetFile(file)
    _refuse_twice(file, read.schema_arrow.names)
    names = {name: _name(name) for name in read.schema_arrow.names}
    rows = read.read(columns=[name for name, plain in names.items() if plain in WANTED])
    return {
        plain: [_cell(cell) for cell in rows[name].to_pylist()] if plain in WANTED else []
        for name, plain in names.items()
    }


def _cell(content: object) -> str:
    if isinstance(content, bytes):
        return os.fsdecode(content).strip()
    return "" if content is None or content != content else str(content).strip()  # what is not itself is not a number


def _name(cell: str) -> str:
    return cell.strip().lower()


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
