"""The ledger: one Parquet row for each (configuration hash, episode). What is in it is never computed again."""

import hashlib
import json
import logging
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.storage.descriptions import description_of
from pipeline.storage.folder import Folder
from pipeline.storage.masking import without_secrets
from pipeline.storage.proof import DamagedError, parquet_of, rows_of
from pipeline.storage.schema import CIRCUMSTANCES, SCHEMA, Row

__all__ = ["CIRCUMSTANCES", "SCHEMA", "KnownRows", "Ledger", "Row"]

LOG = logging.getLogger(__name__)
LOG.addHandler(logging.NullHandler())  # a command without a story says it on standard error already
MANY_FILES = 2000
TRIES = 3
READERS = 16  # of files at once, which an object store takes its time to answer for
MOST_SAID = 20  # damaged files, on standard error
ROWS, CONFIGURATIONS, DAMAGED = "rows", "configurations", "damaged"


class Ledger:
    """A ledger is a folder of Parquet files, here or on an object store (any URI that folder.py knows).

    Each order writes a file; its name is the order's, so that writing twice is harmless. What is read is checked, and a
    file that does not prove its rows is set aside: its rows are not there any more, so that they are computed again.
    """

    def __init__(self, uri: str) -> None:
        self.folder = Folder(uri)
        self.described: set[str] = set()
        self.set_aside = 0

    def write(self, name: str, rows: list[Row]) -> None:
        """Stores an order's rows: a reader sees all of them or none. Raises OSError where that cannot be done."""
        self._write(name, pa.Table.from_pylist(rows, SCHEMA))

    def describe(self, config_hash: str, described: dict[str, Any]) -> None:
        """Keeps what a configuration hash stands for beside the rows."""
        name = f"{CONFIGURATIONS}/{config_hash}.json"
        if config_hash not in self.described and self.description(config_hash) is None:
            self.folder.write(name, json.dumps(described, indent=2, sort_keys=True).encode())
        self.described.add(config_hash)

    def description(self, config_hash: str) -> dict[str, Any] | None:
        """Returns what a configuration hash stands for; None where that is not there, or is there and damaged, which is
        then set aside.
        """
        name = f"{CONFIGURATIONS}/{config_hash}.json"
        content = self.folder.read(name)
        if content is None:
            return None
        try:
            return description_of(content, config_hash)
        except DamagedError as error:
            self._set_aside(name, str(error), "it is written again when its configuration is asked for")
            return None

    def read(self, config_hashes: list[str] | None = None) -> pa.Table:
        """Returns all rows, or those of some configurations, by configuration and episode; each pair once."""
        for _ in range(TRIES - 1):
            with suppress(FileNotFoundError):  # another command has just compacted the ledger
                return self._read(config_hashes, self._files())[0]
        return self._read(config_hashes, self._files())[0]

    def compact(self, most_files: int = MANY_FILES) -> None:
        """Writes all rows into one file where they are in more than `most_files`. A row that two files hold is
        harmless.
        """
        names = self._files()
        if len(names) <= most_files:
            return
        table, sound = self._read(None, names)
        digest = hashlib.sha256("\n".join(sound).encode()).hexdigest()[:16]
        self._write(f"all-{digest}", table)
        for name in sound:
            with suppress(FileNotFoundError):
                self.folder.delete(f"{ROWS}/{name}")

    def _write(self, name: str, table: pa.Table) -> None:
        self.folder.write(f"{ROWS}/{name}.parquet", parquet_of(table))

    def _files(self) -> list[str]:
        return [name for name in self.folder.names(ROWS) if not name.startswith(("_", "."))]

    def _read(self, config_hashes: list[str] | None, names: list[str]) -> tuple[pa.Table, list[str]]:
        """Returns the rows of some files, and the names of those that proved theirs. Raises FileNotFoundError where one
        of them is not there any more.
        """
        wanted = None if config_hashes is None else pa.array(config_hashes, pa.string())
        with ThreadPoolExecutor(READERS if self.folder.here is None else 1) as pool:
            read = list(pool.map(self._rows, names))
        tables, sound = [SCHEMA.empty_table()], []
        for name, table in zip(names, read, strict=True):
            if table is not None:
                sound.append(name)
                tables.append(table if wanted is None else table.filter(pc.is_in(table["config_hash"], wanted)))
        whole = pa.concat_tables(tables).sort_by([("config_hash", "ascending"), ("episode", "ascending")])
        return _each_once(whole), sound

    def _rows(self, name: str) -> pa.Table | None:
        """Returns a file's rows; None where it does not prove them, and then it is set aside."""
        content = self.folder.read(f"{ROWS}/{name}")
        if content is None:
            raise FileNotFoundError(name)
        try:
            return rows_of(content)
        except DamagedError as error:
            self._set_aside(f"{ROWS}/{name}", str(error), "its rows are computed again when they are asked for")
            return None

    def _set_aside(self, name: str, why: str, way_on: str) -> None:
        """Moves a damaged file to where it is not read, and says so; where that cannot be done, it is only left out."""
        file = name.rpartition("/")[2]
        kept, number = f"{DAMAGED}/{file}", 1
        try:
            while self.folder.has(kept):
                number += 1
                kept = f"{DAMAGED}/{file}.{number}"
            self.folder.move(name, kept)
            where = f"kept as {self.folder.uri_of(kept)}"
        except FileNotFoundError:
            return  # another process has set it aside
        except OSError as error:
            where = f"left where it is ({' '.join(str(error).split())})"
        said = without_secrets(f"{self.folder.uri_of(name)} is damaged: {why}; it is {where}, and {way_on}")
        self.set_aside += 1
        if self.set_aside <= MOST_SAID:
            more = "; more such files are only counted, in the story" if self.set_aside == MOST_SAID else ""
            print(f"fpt: {said}{more}", file=sys.stderr, flush=True)
        LOG.warning("set a damaged file aside", extra={"facts": {"file": name, "why": said}})


def _each_once(table: pa.Table) -> pa.Table:
    """Returns a sorted table with the first row of each configuration and episode."""
    if table.num_rows < 2:
        return table
    same = None
    for name in ("config_hash", "episode"):
        column = table[name]
        equal = pc.equal(column.slice(1), column.slice(0, len(column) - 1))
        same = equal if same is None else pc.and_(same, equal)
    return table.filter(pa.chunked_array([pa.array([True]), *pc.invert(same).chunks]))


class KnownRows:
    """Known rows are there by configuration and episode: those of a ledger, kept packed until their configuration is
    asked for, and those that came since. A million rows without scores take 143 MB packed and 830 MB unpacked.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.slices: dict[str, tuple[int, int]] = {}
        runs = pc.run_end_encode(table["config_hash"].combine_chunks()) if table.num_rows else None
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

    def keep(self, ledger: Ledger) -> int:
        """Writes again what was asked for and the ledger does not hold any more: a file of it was damaged, or removed.
        Returns how many rows that are.
        """
        table = ledger.read(sorted(self.unpacked))
        held = set(zip(table["config_hash"].to_pylist(), table["episode"].to_pylist(), strict=True))
        own = (row for name in sorted(self.unpacked) for row in self.unpacked[name].values())
        lost = [row for row in own if (row["config_hash"], row["episode"]) not in held]
        if lost:
            pairs = [(row["config_hash"], row["episode"]) for row in lost]
            ledger.write(f"again-{hashlib.sha256(repr(pairs).encode()).hexdigest()[:16]}", lost)
        return len(lost)
