"""The paper's table: solvers x shots x data sets, without and with prompts. What `fpt table` does."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from math import sqrt
from pathlib import Path

from pipeline.checks import check_run
from pipeline.config import FROZEN, STEERED, Run, plain_run
from pipeline.data.packed import packed_images
from pipeline.identity import Found, Inputs
from pipeline.opening import open_session
from pipeline.session import Session
from pipeline.storage.folder import Home
from pipeline.storage.ledger import Row
from sweeps.schema.sweep import Sweep
from sweeps.schema.table import MEAN, Table
from sweeps.statistics.estimates import Estimate, estimate, holm, paired_difference, paired_p_value
from sweeps.statistics.rows import accuracies_of
from sweeps.sweep import parameters, recorded, sweep_identity
from sweeps.tables.latex import as_latex
from sweeps.tables.layout import FIELDS, Cell, as_markdown, as_records, values_of
from sweeps.terminal.progress import Progress, shown
from sweeps.tracking.fields import compute_tags, data_of, tags_of
from sweeps.tracking.node_metrics import watched
from sweeps.tracking.provenance import code_tags, environment_tags
from sweeps.tracking.store import tracking_uri
from sweeps.tracking.tracker import Tracker, check_tracking

BESIDE = frozenset({"search", "final"})  # sections that say nothing about a table


@dataclass(frozen=True)
class Place:
    """A backbone and a data set, by their labels, and the run on them. `name` is what a message calls it: the fields
    of the table, of which it has several.
    """

    backbone: str
    dataset: str
    run: Run
    name: str


@dataclass(frozen=True)
class Pair:
    """One solver at one shot: its run without prompts and, where it takes any, the one with them."""

    label: str
    runs: tuple[Run, ...]
    episodes: int

    @property
    def shot(self) -> int:
        return self.runs[0].episodes.shot


def places_of(sweep: Sweep, table: Table) -> list[Place]:
    """Backbone by backbone, its data sets."""
    places = []
    for (backbone, dataset), run in table.places(plain_run(sweep)).items():
        fields = [f"table.datasets.{dataset}"] if len(table.datasets) > 1 else []
        fields += [f"table.backbones.{backbone}"] if len(table.backbones) > 1 else []
        places.append(Place(backbone, dataset, run, ", ".join(fields)))
    return places


def pairs_of(place: Place, table: Table) -> list[Pair]:
    """What a table asks for at a place, shot by shot."""
    pairs = []
    for shot, label in product(table.shots, table.solvers):
        without, prompted = (
            table.run(place.run, place.backbone, place.dataset, label, shot, prompts) for prompts in (False, True)
        )
        frozen, steered = without.solver.name in FROZEN, without.solver.name in STEERED
        runs = (without, prompted) if steered and prompted.prompts.alpha > 0 else (without,)
        episodes = table.episodes.closed_form if frozen else table.episodes.fine_tuned
        pairs.append(Pair(label, runs, episodes))
    return pairs


def check_table(sweep: Sweep) -> Table:
    """Everything that can be known to be wrong before anything is written. Raises ValueError in one sentence."""
    if sweep.table is None:
        raise ValueError("table must be in CONFIG for a table but is missing")
    for place in places_of(sweep, sweep.table):
        for pair in pairs_of(place, sweep.table):
            with _named(", ".join(filter(None, (place.name, f"table.solvers.{pair.label}, {pair.shot}-shot")))):
                for run in pair.runs:
                    check_run(run)
    check_tracking(tracking_uri(sweep))
    return sweep.table


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Has a mistake say where it is; nothing where that is empty."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from error


def make_table(sweep: Sweep, address: str | None) -> tuple[list[Cell], list[Path]]:
    """The cells of a table and the files that hold them. Only what the ledger lacks is computed.

    Images of all data sets are packed, and all backbones loaded, before the first episode. Raises ValueError for bad
    input; what was computed by then is in the ledger.
    """
    table = check_table(sweep)
    places, home = places_of(sweep, table), Home(sweep.home)
    fingerprints = [_fingerprint(place, home) for place in places]
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
                with watched(tracker, session):
                    cells += _solved(session, place, pairs_of(place, table))
        cells = judged(cells)
        files = write_files(cells, plain_run(sweep), home.local / "tables" / sweep.name)
        home.keep(files)
        most = max(cell.episodes for cell in cells if cell.dataset != MEAN)
        tracker.summarise({"episodes": most, **metrics_of(cells)}, most, as_markdown(cells, plain_run(sweep)), files)
    return cells, files


def _fingerprint(place: Place, home: Home) -> str:
    """Of a data set's images, which are packed where they are not yet."""
    with _named(place.name):
        return packed_images(place.run, home).fingerprint


@contextmanager
def _opened(place: Place, home: Home, address: str | None) -> Iterator[Session]:
    """A session; what keeps it from opening says where."""
    with ExitStack() as stack:
        with _named(place.name):
            session = stack.enter_context(open_session(place.run, home, address))
        yield session


def _found_of_others(places: Sequence[Place], home: Home, address: str | None) -> dict[str, Found]:
    """What workers find of all backbones but the first, whose session comes next anyway."""
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
    return {name: ", ".join(str(own[name]) for own in found) for name in Inputs._fields}


def _started(sweep: Sweep, table: Table, found: dict[str, str], environment: Mapping[str, str]) -> Tracker:
    identity = sweep_identity(sweep, found, BESIDE)
    tracker = Tracker(tracking_uri(sweep), sweep.name)
    backbones, datasets = zip(*table.places(plain_run(sweep)), strict=True)
    several = {"solver": table.solvers, "shot": table.shots, "backbone": backbones, "data": datasets}
    named = {tag: ", ".join(dict.fromkeys(map(str, values))) for tag, values in several.items()}
    tags = {**tags_of(sweep, "table"), **named, **code_tags("table"), **environment, **compute_tags(sweep)}
    described = parameters(sweep, found, BESIDE)
    tracker.start(f"table {identity}", f"{sweep.name} table {identity}", described, tags)
    return tracker


def _solved(session: Session, place: Place, pairs: Sequence[Pair]) -> list[Cell]:
    progress = Progress(sum(len(pair.runs) * pair.episodes for pair in pairs))
    progress.note = place.name
    with shown(progress, session):
        rows = session.solve_all([(pair.runs, range(pair.episodes)) for pair in pairs])
    hashes = [session.hashes(pair.runs) for pair in pairs]
    return [
        cell for pair, own, named in zip(pairs, rows, hashes, strict=True) for cell in cells_of(place, pair, own, named)
    ]


def cells_of(place: Place, pair: Pair, rows: Sequence[list[Row]], hashes: Sequence[str]) -> list[Cell]:
    """The cells of a pair, from its runs' rows on the same episodes. `p_holm` is not known yet."""
    accuracies = [accuracies_of(own) for own in rows]
    without, cells = accuracies[0], []
    for number, (own, config_hash) in enumerate(zip(accuracies, hashes, strict=True)):
        cell = Cell(
            backbone=place.backbone,
            dataset=place.dataset,
            solver=pair.label,
            shot=pair.shot,
            prompts=number > 0,
            episodes=len(rows[number]),
            config_hash=config_hash,
            estimate=estimate(own) if own else None,
            difference=None,
        )
        if number > 0 and own and without:
            p_value = paired_p_value(own, without) if len(own) > 1 else None
            cell = replace(cell, difference=paired_difference(own, without), p_value=p_value)
        cells.append(cell)
    return cells


def judged(cells: Sequence[Cell]) -> list[Cell]:
    """All cells of a table, their p-values corrected for how many they are (Holm), and the means over data sets."""
    tested = [cell.p_value for cell in cells if cell.p_value is not None]
    corrected = iter(holm(tested))
    whole = [cell if cell.p_value is None else replace(cell, p_holm=next(corrected)) for cell in cells]
    return [*whole, *means_of(whole)]


def means_of(cells: Sequence[Cell]) -> list[Cell]:
    """Over the data sets, for each solver and shot on each backbone, where there are several and all have a cell.

    Data sets are independent: half an interval is the root of the sum of their squares, divided by how many they are.
    """
    datasets = len(values_of(cells, "dataset"))
    groups: dict[tuple[str, int, str, bool], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.backbone, cell.shot, cell.solver, cell.prompts), []).append(cell)
    return [
        replace(
            own[0],
            dataset=MEAN,
            episodes=sum(cell.episodes for cell in own),
            config_hash=None,
            estimate=_mean([cell.estimate for cell in own]),
            difference=_mean([cell.difference for cell in own]),
            p_value=None,
            p_holm=None,
        )
        for own in groups.values()
        if len(own) == datasets > 1
    ]


def _mean(estimates: Sequence[Estimate | None]) -> Estimate | None:
    """None where one is."""
    known = [one for one in estimates if one is not None]
    if len(known) < len(estimates):
        return None
    half = sqrt(sum(one.ci95**2 for one in known)) / len(known)
    return Estimate(sum(one.mean for one in known) / len(known), half, sum(one.episodes for one in known))


def write_files(cells: Sequence[Cell], run: Run, folder: Path) -> list[Path]:
    """Writes table.md, table.tex and table.csv into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, latex, values = (folder / f"table.{kind}" for kind in ("md", "tex", "csv"))
    markdown.write_text(as_markdown(cells, run))
    latex.write_text(as_latex(cells, run))
    with values.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(as_records(cells))
    return [markdown, latex, values]


def metrics_of(cells: Sequence[Cell]) -> Mapping[str, float | None]:
    """Accuracies and differences by names that MLflow takes, like `lora/1-shot/with prompts`; data set and backbone
    come first where there are several.
    """
    several = [field for field in ("backbone", "dataset") if len(values_of(cells, field)) > 1]
    metrics: dict[str, float | None] = {}
    for cell in cells:
        labels = [*(getattr(cell, field) for field in several), cell.solver]
        name = "/".join([*(re.sub(r"[^A-Za-z0-9_. -]", "_", label) for label in labels), f"{cell.shot}-shot"])
        metrics[f"{name}/{'with' if cell.prompts else 'without'} prompts"] = (
            cell.estimate.mean if cell.estimate else None
        )
        if cell.difference is not None:
            metrics[f"{name}/difference"] = cell.difference.mean
            if cell.p_holm is not None:
                metrics[f"{name}/p_holm"] = cell.p_holm
    return metrics
