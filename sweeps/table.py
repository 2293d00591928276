"""`fpt table` makes the paper's table: solvers x shots x data sets, without and with prompts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.checks import check_packed, check_run
from pipeline.cluster.addresses import check_ray
from pipeline.config import plain_run
from pipeline.data.packed import on_this_node, packed_images
from pipeline.data.store import ImageStore, PackedImages
from pipeline.identity import Found, Inputs
from pipeline.limits import check_weights
from pipeline.opening import open_session
from pipeline.session import Session
from pipeline.sockets import check_sockets
from pipeline.storage.folder import Home
from pipeline.storage.locking import held_alone
from pipeline.storage.room import check_home
from sweeps.schema.identity import NOT_OF_A_TABLE, sweep_identity
from sweeps.schema.sweep import Sweep
from sweeps.schema.table import MEAN, Table
from sweeps.tables.cells import Cell, cells_of, judged, metrics_of
from sweeps.tables.files import write_files
from sweeps.tables.layout import as_markdown
from sweeps.tables.plan import Pair, Place, pairs_of, places_of
from sweeps.terminal.progress import Progress, shown
from sweeps.terminal.story import story_written
from sweeps.tracking.fields import compute_tags, data_of, parameters_of_sweep, tags_of
from sweeps.tracking.node_metrics import watched
from sweeps.tracking.provenance import code_tags, environment_tags
from sweeps.tracking.reading import check_tracking
from sweeps.tracking.recording import recorded
from sweeps.tracking.store import tracking_uri
from sweeps.tracking.tracker import Tracker


def check_table(sweep: Sweep) -> Table:
    """Returns the table that a configuration asks for. Raises ValueError in one sentence for everything that can be
    known to be wrong before anything is written.
    """
    if sweep.table is None:
        raise ValueError("table must be in CONFIG for a table but is missing")
    if sweep.name in ("", ".", "..") or re.search(r"[/\\\0]", sweep.name):
        raise ValueError(
            f"name must be one that a folder can have, for the files of a table are in it, but got {sweep.name!r}"
        )
    for place in places_of(sweep, sweep.table):
        for pair in pairs_of(place, sweep.table):
            with _named(", ".join(filter(None, (place.name, f"table.solvers.{pair.label}, {pair.shot}-shot")))):
                for run in pair.runs:
                    check_run(run)
    check_tracking(tracking_uri(sweep), sweep.name)
    for place in places_of(sweep, sweep.table):
        with _named(place.name):
            check_weights(place.run)
    return sweep.table


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Has a mistake in the block begin with where it is; with nothing more where that is empty."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from error


def make_table(sweep: Sweep, address: str | None) -> tuple[list[Cell], list[Path]]:
    """Returns the cells of a table and the files that hold them. Only what the ledger lacks is computed.

    Images of all data sets are packed, and all backbones loaded, before the first episode. Raises ValueError for bad
    input; what was computed by then is in the ledger.
    """
    table, home = check_table(sweep), Home(sweep.home)
    check_sockets(address)
    check_ray(address)
    check_home(home)
    with held_alone(home.local / "locks" / f"table-{sweep.name}.lock", f"this table, {sweep.name},"):
        return _made(sweep, table, home, address)


def _made(sweep: Sweep, table: Table, home: Home, address: str | None) -> tuple[list[Cell], list[Path]]:
    places, folder = places_of(sweep, table), f"tables/{sweep.name}"
    fingerprints = [_fingerprint(place, table, home) for place in places]
    backbones = _found_of_others(places, home, address)
    cells: list[Cell] = []
    with ExitStack() as recording:
        for place, fingerprint in zip(places, fingerprints, strict=True):
            with _opened(place, home, address) as session:
                if place is places[0]:
                    backbones[place.backbone] = session.found
                    found = _inputs(places, fingerprints, backbones)
                    tracker = _started(sweep, table, found, environment_tags(session.found))
                    recording.enter_context(recorded(tracker))
                tracker.reads(data_of(place.run, {"final": place.run.episodes.split}, session.store, home, fingerprint))
                pairs = pairs_of(place, table)
                story = story_written(session, home, folder, sweep.name, sum(pair.problems for pair in pairs))
                with watched(tracker, session), story as session:
                    cells += _solved(session, place, pairs)
        cells = judged(cells)
        files = write_files(cells, plain_run(sweep), home.local / folder)
        home.keep(files)
        most = max(cell.episodes for cell in cells if cell.dataset != MEAN)
        tracker.summarise({"episodes": most, **metrics_of(cells)}, most, as_markdown(cells, plain_run(sweep)), files)
    return cells, files


def _fingerprint(place: Place, table: Table, home: Home) -> str:
    """Returns the fingerprint of a data set's images, which are packed where they are not yet. Raises ValueError where
    episodes of the table cannot be drawn from what was packed.
    """
    with _named(place.name):
        packed = packed_images(place.run, home)
        _check_drawn(place, table, packed)
        return packed.fingerprint


def _check_drawn(place: Place, table: Table, packed: PackedImages) -> None:
    images = ImageStore(on_this_node(packed))
    for pair in pairs_of(place, table):
        check_packed(pair.runs[0], images)


@contextmanager
def _opened(place: Place, home: Home, address: str | None) -> Iterator[Session]:
    """Opens a session for the block; a mistake that keeps it from opening says where it is."""
    with ExitStack() as stack:
        with _named(place.name):
            session = stack.enter_context(open_session(place.run, home, address))
        yield session


def _found_of_others(places: Sequence[Place], home: Home, address: str | None) -> dict[str, Found]:
    """Returns what workers find of all backbones but the first, whose session comes next anyway."""
    backbones: dict[str, Found] = {}
    for place in places:
        if place.backbone not in (places[0].backbone, *backbones):
            with _opened(place, home, address) as session:
                backbones[place.backbone] = session.found
    return backbones


def _inputs(places: Sequence[Place], fingerprints: Sequence[str], backbones: Mapping[str, Found]) -> dict[str, str]:
    """Returns the inputs, place after place: they tell this table from one on other images or weights."""
    found = [
        backbones[place.backbone].inputs._replace(dataset_fingerprint=fingerprint)._asdict()
        for place, fingerprint in zip(places, fingerprints, strict=True)
    ]
    return {name: ", ".join(str(inputs[name]) for inputs in found) for name in Inputs._fields}


def _started(sweep: Sweep, table: Table, found: dict[str, str], environment: Mapping[str, str]) -> Tracker:
    identity = sweep_identity(sweep, found, NOT_OF_A_TABLE)
    tracker = Tracker(tracking_uri(sweep), sweep.name)
    backbones, datasets = zip(*table.places(plain_run(sweep)), strict=True)
    several = {"solver": table.solvers, "shot": table.shots, "backbone": backbones, "data": datasets}
    named = {tag: ", ".join(dict.fromkeys(map(str, values))) for tag, values in several.items()}
    tags = {**tags_of(sweep, "table"), **named, **code_tags("table"), **environment, **compute_tags(sweep)}
    described = parameters_of_sweep(sweep, found, NOT_OF_A_TABLE)
    tracker.start(f"table {identity}", f"{sweep.name} table {identity}", described, tags)
    return tracker


def _solved(session: Session, place: Place, pairs: Sequence[Pair]) -> list[Cell]:
    progress = Progress(sum(pair.problems for pair in pairs))
    progress.note = place.name
    with shown(progress, session):
        rows = session.solve_all([(pair.runs, range(pair.episodes)) for pair in pairs])
    hashes = [session.hashes(pair.runs) for pair in pairs]
    return [
        cell
        for pair, of_runs, named in zip(pairs, rows, hashes, strict=True)
        for cell in cells_of(place, pair, of_runs, named)
    ]
