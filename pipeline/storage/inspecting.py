"""What a home holds, told without changing anything: its ledger, whether that proves itself, and what is not ours."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow.compute as pc

from pipeline.storage.descriptions import description_of
from pipeline.storage.folder import Folder, Home
from pipeline.storage.ledger import CONFIGURATIONS, DAMAGED, ROWS
from pipeline.storage.proof import DamagedError, rows_of

OURS = re.compile(r"images|ledger|sweeps|tables|evaluations|tune|locks|artifacts|mlflow|(?:mlflow|optuna)\.db(?:-\w+)?")
LOCK = re.compile(r".+\.lock")
IN_LEDGER = {
    ROWS: re.compile(r"(?:\d{6,}-[0-9a-f]{16}|all-[0-9a-f]{16})\.parquet"),
    CONFIGURATIONS: re.compile(r"[0-9a-f]{12}\.json"),
}
PART = re.compile(r"_.+\.part|.+\.part")


@dataclass
class Holdings:
    """A home holds so many `rows` of so many `configurations`, in so many `files`. `damaged` names files that do not
    prove themselves, with why; `set_aside` those that were found so before; `parts` are left of what was cut off, and
    `strangers` are not of this program.
    """

    files: int = 0
    rows: int = 0
    configurations: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    set_aside: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


def holdings_of(home: Home) -> Holdings:
    """Returns what a home holds; every file of its ledger is read and checked."""
    found, ledger = Holdings(), Folder(home.uri_of("ledger"))
    for name in (*home.names(""), *home.folders("")):
        if PART.fullmatch(name):
            found.parts.append(name)
        elif not OURS.fullmatch(name) and not LOCK.fullmatch(name):
            found.strangers.append(name)
    found.set_aside = ledger.names(DAMAGED)
    hashes: set[str] = set()
    for name, content in _files(ledger, ROWS, found):
        try:
            rows = rows_of(content)
        except DamagedError as error:
            found.damaged[f"{ROWS}/{name}"] = str(error)
            continue
        found.files += 1
        found.rows += rows.num_rows
        hashes |= set(pc.unique(rows["config_hash"]).to_pylist())
    for name, content in _files(ledger, CONFIGURATIONS, found):
        try:
            description_of(content, name.removesuffix(".json"))
        except DamagedError as error:
            found.damaged[f"{CONFIGURATIONS}/{name}"] = str(error)
    found.configurations = len(hashes)
    found.parts += [f"images/{name}" for name in Folder(home.uri_of("images")).names("") if PART.fullmatch(name)]
    return found


def _files(ledger: Folder, folder: str, found: Holdings) -> Iterator[tuple[str, bytes]]:
    """Yields the files of a folder of the ledger that are called as they should be, and notes the others."""
    for name in ledger.names(folder):
        if PART.fullmatch(name):
            found.parts.append(f"ledger/{folder}/{name}")
        elif not IN_LEDGER[folder].fullmatch(name):
            found.strangers.append(f"ledger/{folder}/{name}")
        elif (content := ledger.read(f"{folder}/{name}")) is not None:
            yield name, content
