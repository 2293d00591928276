"""Response surfaces for the search's benchmark: many settings, spread evenly over a space, on the same episodes.

`python -m benchmarks.surfaces [NAME ...] [--home FOLDER]` makes those that `benchmarks/surfaces/` lacks, some ten
minutes each on two cores. A surface is a Parquet file with a row for each setting: values (JSON) and its accuracy on
each of 16 validation episodes. It goes on where it stopped, as its rows are in the home's ledger.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from scipy.stats import qmc

from fpt.glyphs import scenes
from fpt.registry import SOLVERS
from pipeline.config import HyperParameters, plain_run, with_hyper_parameters
from pipeline.data.packed import packed_images
from pipeline.data.sources.glyphs import _draw_class
from pipeline.data.store import pack
from pipeline.identity import packing_identity
from pipeline.opening import open_session
from pipeline.storage.folder import Home
from sweeps.schema.loading import load
from sweeps.schema.space import SOLVER, STEERING, Choices, Range, dimensions, solvers_of
from sweeps.schema.sweep import Sweep

FOLDER, CONFIG = Path(__file__).parent / "surfaces", Path("sweeps/configs/glyphs.yaml")
SETTINGS, WITHOUT, EPISODES, TOGETHER = 256, 32, 16, 32


@dataclass(frozen=True)
class Surface:
    """A surface is glyphs.yaml with some fields replaced; with `weak_context` distractors come from all base
    classes.
    """

    sets: tuple[str, ...] = ()
    weak_context: bool = False

    def sweep(self, home: Path) -> Sweep:
        return load(CONFIG, [f"home={home}", "backbone.precision=float32", "search.first={}", *self.sets])


SURFACES = {
    "lora-20way-1shot": Surface(),
    "lora-5way-5shot": Surface(
        ("episodes={split: novel, way: 5, shot: 5, query: 10}", "search.space.lr={low: 0.001, high: 0.08, log: true}")
    ),
    "ssf-20way-1shot": Surface(("solver.name=ssf", "search.space.lr={low: 0.001, high: 0.1, log: true}")),
    "solvers-20way-1shot": Surface(
        (
            "search.space.name={choices: [lora, vpt, ssf]}",
            "search.space.rank={low: 1, high: 16, log: true, integer: true}",
            "search.space.tokens={low: 1, high: 50, integer: true}",
            "search.space.lr={lora: {low: 0.005, high: 0.08, log: true}, vpt: {low: 0.3, high: 30, log: true}, "
            "ssf: {low: 0.001, high: 0.1, log: true}}",
        )
    ),
    "weak-context-20way-1shot": Surface(weak_context=True),
}


def evenly(sweep: Sweep, seed: int) -> Iterator[HyperParameters]:
    """Yields settings that fill the space, by Sobol's sequence: those with prompts, then those without."""
    assert sweep.search is not None
    space, solvers = sweep.search.space, solvers_of(sweep.search.space, sweep.solver.name)
    for count, steered in ((SETTINGS, True), (WITHOUT, False)):
        for place, solver in enumerate(solvers):
            known = {name: entry for name, (_, entry) in dimensions(space, solver).items() if name != SOLVER}
            if not steered:
                known = {name: entry for name, entry in known.items() if name not in (*STEERING, "alpha")}
            points = qmc.Sobol(len(known), seed=np.random.default_rng((seed, place, steered))).random(
                -(-count // len(solvers))
            )
            for point in points:
                values: HyperParameters = {SOLVER: solver} if SOLVER in space else {}
                if not steered and SOLVERS[solver].steered:
                    values["alpha"] = 0.0
                for share, (name, entry) in zip(point, known.items(), strict=True):
                    values[name] = _at(float(share), entry)
                yield values


def _at(share: float, entry: Range | Choices) -> float | int | str | bool:
    if isinstance(entry, Choices):
        return entry.choices[min(int(share * len(entry.choices)), len(entry.choices) - 1)]
    low, high = entry.low, entry.high
    if entry.integer:
        low, high = low - 0.5, high + 0.5
    value = low * (high / low) ** share if entry.log else low + share * (high - low)
    return int(min(max(round(value), entry.low), entry.high)) if entry.integer else float(f"{value:.6g}")


def with_weak_context(home: Path, sweep: Sweep) -> None:
    """Packs scenes whose distractors come from all base classes, where the session looks for its own."""
    if (home / "images").exists():
        return
    share, scenes.CONTEXT_SHARE = scenes.CONTEXT_SHARE, 0.0
    try:
        classes = [(split, i) for split in ("validation", "novel") for i in range(len(scenes.characters(split)))]
        drawn = (
            sample
            for which in classes
            for sample in _draw_class(which, sweep.dataset.images_per_class, sweep.dataset.distractors)
        )
        # The name is that of the usual scenes, but what is asked is answered by content: hashes differ.
        pack(drawn, home / "images" / _name_of(sweep))
    finally:
        scenes.CONTEXT_SHARE = share


def _name_of(sweep: Sweep) -> str:
    described = {**packing_identity(sweep.dataset), "version": scenes.VERSION}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8]
    return f"glyphs-{digest}.arrow"


def make(name: str, home: Path) -> None:
    """Writes a surface."""
    surface = SURFACES[name]
    own = home / "weak" if surface.weak_context else home
    sweep = surface.sweep(own)
    assert sweep.search is not None
    searched, settings = plain_run(sweep, sweep.search.split), list(evenly(sweep, seed=1))
    if surface.weak_context:
        with_weak_context(own, sweep)
        packed_images(searched, Home(str(own)))
    rows = []
    with open_session(searched, Home(str(own))) as session:
        for first in range(0, len(settings), TOGETHER):
            runs = [with_hyper_parameters(searched, values) for values in settings[first : first + TOGETHER]]
            rows += session.solve(runs, range(EPISODES))
            print(f"{name}: {min(first + TOGETHER, len(settings))} of {len(settings)} settings", flush=True)
    table = {
        "values": [json.dumps(values) for values in settings],
        "accuracies": [[row["accuracy"] for row in own] for own in rows],
    }
    FOLDER.mkdir(exist_ok=True)
    kind = pa.schema({"values": pa.string(), "accuracies": pa.list_(pa.float32())})
    pyarrow.parquet.write_table(pa.Table.from_pydict(table, kind), FOLDER / f"{name}.parquet", compression="zstd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", default=list(SURFACES))
    parser.add_argument("--home", type=Path, default=Path("runs/surfaces"))
    arguments = parser.parse_args()
    for name in arguments.names:
        if not (FOLDER / f"{name}.parquet").exists():
            make(name, arguments.home)


if __name__ == "__main__":
    main()
