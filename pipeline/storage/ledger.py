"""The ledger: one Parquet row for each (configuration hash, episode). What is in it is never computed again."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet

from pipeline.storage.folder import Folder

SCHEMA = pa.schema(
    {
        "config_hash": pa.string(),
        "episode": pa.int32(),
        "accuracy": pa.float64(),  # null where the problem failed
        "correct": pa.int32(),
        "queries": pa.int32(),
        "class_hits": pa.list_(pa.int32()),
        "failed": pa.bool_(),
        "prompt_precision": pa.float64(),
        "prompt_chance": pa.float64(),
        "attention_on_key_before": pa.float64(),
        "attention_on_key_after": pa.float64(),
        "seconds": pa.float64(),  # its share of its order's time
        "worker": pa.string(),
        "attempt": pa.int16(),
        "device": pa.string(),  # the kind that it was computed on; null in rows that are older than this column
    }
)
# Not part of a result: these differ from run to run.
CIRCUMSTANCES = ("seconds", "worker", "attempt", "device")
MANY_FILES = 2000
TRIES = 3


class Row(TypedDict):
    """A row is the result of one problem, as SCHEMA keeps it."""

    config_hash: str
    episode: int
    accuracy: float | None
    correct: int
    queries: int
    class_hits: list[int]
    failed: bool
    prompt_precision: float | None
    prompt_chance: float | None
    attention_on_key_before: float | None
    attention_on_key_after: float | None
    seconds: float
    worker: str
    attempt: int
    device: str | None


class Ledger:
    """A ledger is a folder of Parquet files, here or on an object store (any URI that folder.py knows).

    Each order writes a file; its name is the order's, so that writing twice is harmless.
    """

    def __init__(self, uri: str) -> None:
        self.folder = Folder(uri)
        self.described: set[str] = set()

    def write(self, name: str, rows: list[Row]) -> None:
        """Stores an order's rows: a reader sees all of them or none. Raises OSError where that cannot be done."""
        self._write(name, pa.Table.from_pylist(rows, SCHEMA))

    def describe(self, config_hash: str, described: dict[str, Any]) -> None:
        """Keeps what a configuration hash stands for beside the rows."""
        name = f"configurations/{config_hash}.json"
        if config_hash not in self.described and not self.folder.has(name):
            self.folder.write(name, json.dumps(described, indent=2, sort_keys=True).encode())
        self.described.add(config_hash)

    def read(self, config_hashes: list[str] | None = None) -> pa.Table:
        """Returns all rows, or those of some configurations, by configuration and episode; each pair once."""
        for _ in range(TRIES - 1):
            with suppress(FileNotFoundError):  # another command has just compacted the ledger
                return self._read(config_hashes, self._files())
        return self._read(config_hashes, self._files())

    def compact(self, most_files: int = MANY_FILES) -> None:
        """Writes all rows into one file where they are in more than `most_files`. A row that two files hold is
        harmless.
        """
        names = self._files()
        if len(names) <= most_files:
            return
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        self._write(f"all-{digest}", self._read(None, names))
        for name in names:
            with suppress(FileNotFoundError):
                self.folder.delete(f"rows/{name}")

    def _write(self, name: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink)
        self.folder.write(f"rows/{name}.parquet", memoryview(sink.getvalue()))

    def _files(self) -> list[str]:
        return [name for name in self.folder.names("rows") if not name.startswith("_")]

    def _read(self, config_hashes: list[str] | None, names: list[str]) -> pa.Table:
        dataset = pyarrow.dataset.dataset(
            [f"{self.folder.root}/rows/{name}" for name in names],
            schema=SCHEMA,
            format="parquet",
            filesystem=self.folder.filesystem,
            exclude_invalid_files=False,
        )
        chosen = None if config_hashes is None else pyarrow.dataset.field("config_hash").isin(config_hashes)
        table = dataset.to_table(filter=chosen).sort_by([("config_hash", "ascending"), ("episode", "ascending")])
        keys = list(zip(table["config_hash"].to_pylist(), table["episode"].to_pylist(), strict=True))
        first = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
        return table.take(pa.array(first, pa.int64()))


class KnownRows:
    """Known rows are there by configuration and episode: those of a ledger, kept packed until their configuration is
    asked for, and those that came since. A million rows take 135 MB packed and 830 MB unpacked.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.slices: dict[str, tuple[int, int]] = {}
        runs = pa.compute.run_end_encode(table["config_hash"].combine_chunks()) if table.num_rows else None
        if runs is not None:
            ends = runs.run_ends.to_pylist()
            starts = [0, *ends[:-1]]
            self.slices = {
                name: (start, end - start)
                for name, start, end in zip(runs.values.to_pylist(), starts, ends, strict=True)
            }
        self.unpacked: dict[str, dict[int, Row]] = {}

    def of(self, config_hash: str) -> dict[int, Row]:
        """Returns the rows of a configuration by episode."""
        if config_hash not in self.unpacked:
            start, length = self.slices.get(config_hash, (0, 0))
            self.unpacked[config_hash] = {row["episode"]: row for row in self.table.slice(start, length).to_pylist()}
        return self.unpacked[config_hash]

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.of(row["config_hash"])[row["episode"]] = row
