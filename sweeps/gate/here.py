"""This machine, the home and what is in it, examined. Nothing is computed, started, packed or mended."""

import os
import shutil
from importlib.metadata import requires, version
from pathlib import Path

from pipeline.sockets import check_sockets
from pipeline.storage.folder import Home, cache_folder
from pipeline.storage.inspecting import Holdings, holdings_of
from pipeline.storage.locking import holder_of
from pipeline.storage.masking import without_secrets
from pipeline.storage.mounts import is_on_network, kind_of_disk
from pipeline.storage.room import MIB, check_home, check_room, existing, free_bytes, writable
from pipeline.workers.node_report import NodeReport, report_here, shared_memory
from sweeps.gate.told import BAD, FINE, LOOK, Told, mistakes_told
from sweeps.schema.lines import on_a_line
from sweeps.tracking.reading import check_tracking

OPEN_FILES = 4096  # that Ray and a sweep's workers may need
SHARED_MIB = 256  # of shared memory; Ray says itself what it makes of less
NAMED = 5  # files, of a kind


def this_machine(address: str | None) -> list[Told]:
    """Returns what this machine is like: versions, limits, GPUs, how Ray's token is kept, and who can reach Ray."""
    report, told = report_here(None), []
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    told.append(Told("versions", BAD if (wrong := _unmet()) else FINE, f"{versions}{wrong}"))
    said = f"{report.open_files} open files"
    few = report.open_files < OPEN_FILES
    told.append(Told("limits", LOOK if few else FINE, f"{said}; ulimit -n {OPEN_FILES} is safer" if few else said))
    shared = shared_memory()
    if shared is not None:
        low = shared < SHARED_MIB * MIB
        more = "; Ray writes into its temporary folder instead, which is slow (--shm-size helps)" if low else ""
        told.append(Told("shared memory", LOOK if low else FINE, f"{shared / MIB:.0f} MiB in /dev/shm{more}"))
    with mistakes_told("temporary folder", told):
        check_sockets(address)
        temporary = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")
        check_room(temporary, 0, "RAY_TMPDIR")
        told.append(Told("temporary folder", FINE, _room_in(temporary)))
    with mistakes_told("cache", told):
        check_room(cache_folder(), 0, "FPT_CACHE")
        can = writable(cache_folder())
        told.append(Told("cache", FINE if can else BAD, f"{_room_in(cache_folder())}{'' if can else ', not writable'}"))
    gpus = ", ".join(report.gpus) or "none that NVIDIA's driver tells of"
    told.append(Told("GPUs", FINE, f"{gpus}{f'; driver {report.driver}' if report.driver else ''}"))
    return [*told, *ports_and_token(report)]


def ports_and_token(report: NodeReport) -> list[Told]:
    """Returns how a machine keeps Ray's token, and on which addresses Ray listens there."""
    open_to_all = "others can read" in report.token or "whoever" in report.token
    told = [Told("Ray's token", BAD if open_to_all else FINE, report.token)]
    if report.listens:
        named = ", ".join(report.listens[:NAMED]) + (", ..." if len(report.listens) > NAMED else "")
        more = "the token is all that stands before them: a firewall should, too"
        told.append(Told("Ray's ports", LOOK, f"{named}; {more}"))
    return told


def home_and_ledger(home: Home) -> list[Told]:
    """Returns whether a home can be used, and what it holds: what of it is damaged, and what is a stranger's."""
    where = without_secrets(home.uri)
    told: list[Told] = []
    if home.here is not None and not home.here.exists():
        above = existing(home.here)
        with mistakes_told("home", told):
            check_room(home.here, 0, "home")
            if not above.is_dir() or not writable(above):
                why = "cannot be written" if above.is_dir() else "is no folder"
                raise ValueError(f"home must be where files can be written but {where} lies in {above}, which {why}")
            told.append(Told("home", FINE, f"{where} is not there yet; it would be made in {_room_in(above)}"))
        return told
    with mistakes_told("home", told):
        check_home(home)
        kind = f", {kind_of_disk(home.local)}" if home.here else ""
        shared = "; SQLite is slower on it, and for one machine at a time" if _shared(home) else ""
        room = f"{free_bytes(home.local) / 1024 / MIB:.1f} GiB free"
        told.append(Told("home", LOOK if shared else FINE, f"{where} can be written, {room}{kind}{shared}"))
        told += _ledger(holdings_of(home))
    for lock in sorted((home.local / "locks").glob("*.lock")):
        if who := holder_of(lock):
            told.append(Told("runs now", LOOK, f"{lock.stem}: {who}"))
    return told


def _ledger(found: Holdings) -> list[Told]:
    said = f"{found.rows} rows of {found.configurations} configurations, which their {found.files} files prove"
    told = [Told("ledger", FINE, said)]
    for name, why in list(found.damaged.items())[:NAMED]:
        told.append(Told("damaged", LOOK, f"{on_a_line(name)}: {why}; the next command computes it again"))
    if len(found.damaged) > NAMED:
        told.append(Told("damaged", LOOK, f"{len(found.damaged) - NAMED} files more"))
    for about, names, way_on in (
        ("set aside", found.set_aside, "they were damaged and have been computed again; they may be removed"),
        ("cut off", found.parts, "nothing reads them; they may be removed while nothing runs"),
        ("strangers", found.strangers, "fpt has not written them, and does not read them"),
    ):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            shown = ", ".join(map(on_a_line, names[:NAMED])) + more
            told.append(Told(about, LOOK, f"{shown}; {way_on}"))
    return told


def mlflow(uri: str, experiment: str) -> list[Told]:
    """Returns whether MLflow can record under a name."""
    told: list[Told] = []
    with mistakes_told("MLflow", told):
        check_tracking(uri, experiment)
        told.append(Told("MLflow", FINE, f"{without_secrets(uri)} can record {experiment!r}"))
    return told


def _unmet() -> str:
    """Returns in words which packages are missing or older than this one needs."""
    from packaging.requirements import Requirement

    wrong = []
    for line in requires("fpt") or []:
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            there = version(need.name)
        except ModuleNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(there, prereleases=True):
            wrong.append(f"{need.name} must be {need.specifier} but is {there}")
    return f"; {', '.join(wrong)}" if wrong else ""


def _room_in(folder: Path) -> str:
    return f"{folder} with {free_bytes(folder) / 1024 / MIB:.1f} GiB free of {_total(folder) / 1024 / MIB:.0f}"


def _total(folder: Path) -> int:
    return shutil.disk_usage(existing(folder)).total


def _shared(home: Home) -> bool:
    return home.here is not None and is_on_network(home.here)
