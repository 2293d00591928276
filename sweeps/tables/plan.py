"""A table is planned here: its places, each a backbone and a data set, and the runs that are compared at each."""

from dataclasses import dataclass
from itertools import product

from fpt.registry import SOLVERS
from pipeline.config import Run, plain_run
from sweeps.schema.sweep import Sweep
from sweeps.schema.table import Table


@dataclass(frozen=True)
class Place:
    """A place is a backbone and a data set, by their labels, and the run on them. `name` is what a message calls it:
    the fields of the table that tell it from other places.
    """

    backbone: str
    dataset: str
    run: Run
    name: str


@dataclass(frozen=True)
class Pair:
    """A pair is a solver at a shot: its run without prompts and, where it takes any, its run with them."""

    label: str
    runs: tuple[Run, ...]
    episodes: int

    @property
    def shot(self) -> int:
        return self.runs[0].episodes.shot

    @property
    def problems(self) -> int:
        return len(self.runs) * self.episodes


def places_of(sweep: Sweep, table: Table) -> list[Place]:
    """Returns the places of a table, backbone by backbone, and for each backbone its data sets."""
    places = []
    for (backbone, dataset), run in table.places(plain_run(sweep)).items():
        fields = [f"table.datasets.{dataset}"] if len(table.datasets) > 1 else []
        fields += [f"table.backbones.{backbone}"] if len(table.backbones) > 1 else []
        places.append(Place(backbone, dataset, run, ", ".join(fields)))
    return places


def pairs_of(place: Place, table: Table) -> list[Pair]:
    """Returns what a table asks for at a place, shot by shot."""
    pairs = []
    for shot, label in product(table.shots, table.solvers):
        without, prompted = (
            table.run(place.run, place.backbone, place.dataset, label, shot, prompts) for prompts in (False, True)
        )
        solver = SOLVERS[without.solver.name]
        runs = (without, prompted) if solver.steered and prompted.prompts.alpha > 0 else (without,)
        episodes = table.episodes.fine_tuned if solver.trained else table.episodes.closed_form
        pairs.append(Pair(label, runs, episodes))
    return pairs
