"""Files of predictions, written as they come: Parquet, CSV or JSON lines. A file appears when it is whole."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet

SUFFIXES = (".parquet", ".csv", ".jsonl")
ROWS_A_GROUP = 8192  # of a Parquet file


class Prediction(NamedTuple):
    """A prediction is what one picture is held to be, how probable that is, and what comes next; `answered` says
    whether that is an answer, where a risk was named.
    """

    image: str
    label: str
    probability: float
    runner_up: str
    runner_up_probability: float
    answered: str | None = None


COLUMNS = ("image", "class", "probability", "runner_up", "runner_up_probability", "answered")


class Writer(Protocol):
    def __call__(self, rows: Sequence[Prediction]) -> None: ...


def check_table(path: Path) -> None:
    """Raises ValueError for a file that predictions cannot be written to."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out must be a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file but got {str(path)!r}")
    if path.is_dir():
        raise ValueError(f"--out must be a file but {str(path)!r} is a folder")


@contextmanager
def predictions_into(path: Path, answered: bool = False) -> Iterator[Writer]:
    """Yields what writes predictions, with the column `answered` if it is wanted. Where the block ends well the file is
    there, else it is as it was.
    """
    columns = COLUMNS if answered else COLUMNS[:-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    opened = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl}[path.suffix.lower()]
    try:
        with opened(part, columns) as writer:
            yield writer
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _parquet(path: Path, columns: Sequence[str]) -> Iterator[Writer]:
    waiting: list[Prediction] = []
    schema = pa.schema([(name, pa.float64() if "probability" in name else pa.string()) for name in columns])
    with pyarrow.parquet.ParquetWriter(path, schema) as file:

        def flush() -> None:
            held: list[Any] = [list(column) for column in zip(*waiting, strict=True)] or [[] for _ in COLUMNS]
            file.write_table(pa.table(held[: len(columns)], schema=schema))
            waiting.clear()

        def write(rows: Sequence[Prediction]) -> None:
            waiting.extend(rows)
            if len(waiting) >= ROWS_A_GROUP:
                flush()

        yield write
        flush()


@contextmanager
def _csv(path: Path, columns: Sequence[str]) -> Iterator[Writer]:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        yield lambda rows: lines.writerows(row[: len(columns)] for row in rows)


@contextmanager
def _jsonl(path: Path, columns: Sequence[str]) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8") as file:

        def write(rows: Sequence[Prediction]) -> None:
            told = (dict(zip(columns, row, strict=False)) for row in rows)
            file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in told)

        yield write
