"""Response surfaces for the search's benchmark: many settings, spread evenly over a space, on the same episodes.

`python -m benchmarks.search.surfaces [NAME ...] [--home FOLDER]` makes those that `measured/` lacks, some ten
minutes each on two cores. A surface is a Parquet file with a row for each setting: values (JSON) and its accuracy on
each of 16 validation episodes, or 64 for those that may be the best; of the first third also `searched`, what it is on
those 16 with as many queries as a search asks. It goes on where it stopped, as its rows are in the home's ledger.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from fpt.glyphs import scenes
from pipeline.config import HyperParameters, Run, plain_run, with_hyper_parameters
from pipeline.data.packed import packed_images
from pipeline.data.sources.glyphs import _draw_class
from pipeline.data.store import Sample, pack
from pipeline.identity import packing_identity
from pipeline.opening import open_session
from pipeline.storage.folder import Home
from sweeps.schema.loading import load
from sweeps.schema.sweep import Sweep, searched_run
from sweeps.search.encoding import Encoding
from sweeps.search.looks import Looks, key_of, next_settings, spread_evenly

FOLDER, CONFIG = Path(__file__).parent / "measured", Path("sweeps/configs/glyphs.yaml")
SETTINGS, EPISODES, TOGETHER = 288, 16, 32
ASKED_MORE = 96  # settings, the first, which are spread evenly too: how noisy a search's episodes are
PEAK, PEAK_EPISODES, PEAK_ROUNDS = 16, 64, 2
SPACE = (
    "{lambda: {low: 0.03, high: 10, log: true}, alpha: {low: 0.003, high: 10, log: true, zero: true}, "
    "tau: {low: 0.1, high: 10, log: true}, patches: {low: 1, high: 8, log: true, integer: true}, "
    "lr: {low: 0.005, high: 0.08, log: true}}"
)
ANCHORS = 8  # of all settings, which tell how much easier the peak's episodes are


@dataclass(frozen=True)
class Surface:
    """A surface is glyphs.yaml with some fields replaced; with `weak_context` distractors come from all base
    classes.
    """

    sets: tuple[str, ...] = ()
    weak_context: bool = False

    def sweep(self, home: Path) -> Sweep:
        measured = ["prompts.variant=scaled", f"search.space={SPACE}", "search.first={}", "backbone.precision=float32"]
        return load(CONFIG, [f"home={home}", *measured, *self.sets])


SURFACES = {
    "contrast-20way-1shot": Surface(
        ("prompts.variant=contrast", "search.space.contrast={low: 0.3, high: 2, log: true, zero: true}")
    ),
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


def with_weak_context(home: Path, sweep: Sweep) -> None:
    """Packs scenes whose distractors come from all base classes, where the session looks for its own."""
    share, scenes.CONTEXT_SHARE = scenes.CONTEXT_SHARE, 0.0
    try:
        with_scenes(home, sweep, _draw_class)
    finally:
        scenes.CONTEXT_SHARE = share


def with_scenes(home: Path, sweep: Sweep, draw: Callable[[tuple[str, int], int, int], list[Sample]]) -> None:
    """Packs other scenes where the session looks for its own, unless that was done: those that `draw` makes of a class,
    given by split and number, for so many images and distractors.
    """
    if (home / "images").exists():
        return
    classes = [(split, i) for split in ("validation", "novel") for i in range(len(scenes.characters(split)))]
    dataset = sweep.dataset
    drawn = (sample for which in classes for sample in draw(which, dataset.images_per_class, dataset.distractors))
    # The name is that of the usual scenes, but what is asked is answered by content: hashes differ.
    pack(drawn, home / "images" / _name_of(sweep))


def _name_of(sweep: Sweep) -> str:
    described = {**packing_identity(sweep.dataset), "version": scenes.VERSION}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8]
    return f"glyphs-{digest}.arrow"


def make(name: str, home: Path) -> None:
    """Writes a surface: settings that fill the space on EPISODES; those that may be best, and the first of all, on
    PEAK_EPISODES.
    """
    surface = SURFACES[name]
    own = home / "weak" if surface.weak_context else home
    sweep = surface.sweep(own)
    assert sweep.search is not None
    searched, encoding = plain_run(sweep, sweep.search.split), Encoding(sweep.search.space, sweep.solver.name)
    if surface.weak_context:
        with_weak_context(own, sweep)
        packed_images(searched, Home(str(own)))
    with open_session(searched, Home(str(own))) as session:

        def measured(settings: list[HyperParameters], episodes: int, run: Run = searched) -> list[list[float]]:
            found: list[list[float]] = []
            for first in range(0, len(settings), TOGETHER):
                runs = [with_hyper_parameters(run, values) for values in settings[first : first + TOGETHER]]
                found += [[row["accuracy"] for row in rows] for rows in session.solve(runs, range(episodes))]
                print(f"{name}: {len(found)} of {len(settings)} settings on {episodes} episodes", flush=True)
            return found

        settings = spread_evenly(encoding, SETTINGS, seed=1, without=1 / 9)
        accuracies = measured(settings, EPISODES)
        asked_more = measured(settings[:ASKED_MORE], EPISODES, searched_run(sweep, sweep.search))
        for round in range(PEAK_ROUNDS):
            peak = promising(encoding, settings, accuracies, PEAK, seed=round)
            peak += settings[:ANCHORS] if round == 0 else []
            keys = [key_of(values) for values in settings]
            for values, accurate in zip(peak, measured(peak, PEAK_EPISODES), strict=True):
                if key_of(values) in keys:
                    accuracies[keys.index(key_of(values))] = accurate
                else:
                    settings.append(values)
                    accuracies.append(accurate)
    FOLDER.mkdir(exist_ok=True)
    numbers = pa.list_(pa.float32())
    kind = pa.schema({"values": pa.string(), "accuracies": numbers, "searched": numbers})
    table = {
        "values": [json.dumps(values) for values in settings],
        "accuracies": accuracies,
        "searched": [*asked_more, *[None] * (len(settings) - ASKED_MORE)],
    }
    pyarrow.parquet.write_table(pa.Table.from_pydict(table, kind), FOLDER / f"{name}.parquet", compression="zstd")


def promising(
    encoding: Encoding, settings: list[HyperParameters], accuracies: list[list[float]], count: int, seed: int
) -> list[HyperParameters]:
    """Returns settings that may be the best, by a model of what was measured: on the first EPISODES, which all did, and
    as blocks of their own on the others.
    """
    looks = Looks()
    looks.add(settings, 0, [float(np.mean(own[:EPISODES])) for own in accuracies], EPISODES)
    more = [place for place, own in enumerate(accuracies) if len(own) > EPISODES]
    if more:
        means = [float(np.mean(accuracies[place][EPISODES:])) for place in more]
        looks.add([settings[place] for place in more], 1, means, PEAK_EPISODES - EPISODES)
    return next_settings(encoding, looks, count, seed)


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
