"""What drawing episodes costs where images are many: `python -m benchmarks.sampling [--images N --classes N]`.

A store of so many images (of one pixel: only labels and rows matter here) is opened, its classes are listed, and
episodes are drawn, 5-way 1-shot with 15 queries and 20-way 5-shot with 15.
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.data.sampler import EpisodeSampler
from pipeline.data.store import ImageStore, Sample, pack

SHAPES = ((5, 1, 15), (20, 5, 15))
REPEATS = 5


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=1_000_000)
    options.add_argument("--classes", type=int, default=10_000)
    options.add_argument("--episodes", type=int, default=10_000)
    options.add_argument("--json", action="store_true")
    wanted = options.parse_args()
    with TemporaryDirectory() as folder:
        path = pack(_samples(wanted.images, wanted.classes), Path(folder) / "images.arrow")
        result = measure(path, wanted.episodes)
    result = {"images": wanted.images, "classes": wanted.classes, **result}
    print(json.dumps(result) if wanted.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


def measure(path: Path, episodes: int) -> dict[str, object]:
    """Seconds to open, milliseconds an episode (median of some runs), and by how much memory grew, in MB."""
    begun = time.perf_counter()
    before = _megabytes()
    store = ImageStore(path)
    classes = store.classes("novel")
    opened = time.perf_counter() - begun
    after_opening = _megabytes()
    result: dict[str, object] = {"open_seconds": round(opened, 2)}
    for way, shot, query in SHAPES:
        sampler, times = EpisodeSampler(classes, way, shot, query, seed=0), []
        for run in range(REPEATS):
            begun = time.perf_counter()
            for index in range(run * episodes // REPEATS, (run + 1) * episodes // REPEATS):
                sampler[index]
            times.append((time.perf_counter() - begun) / (episodes // REPEATS))
        result[f"milliseconds_an_episode_{way}_way_{shot}_shot"] = round(1000 * float(np.median(times)), 3)
    drawn = _megabytes()
    return {
        **result,
        "opening_takes_mb": round(after_opening - before),
        "drawing_takes_mb": round(drawn - after_opening),
    }


def _samples(images: int, classes: int) -> Iterator[Sample]:
    """Classes shuffled, as a listing by file would not have them."""
    pixel = np.zeros((1, 1, 3), np.uint8)
    for row in np.random.default_rng(0).permutation(images):
        yield Sample("novel", f"class number {row % classes}", pixel)


def _megabytes() -> float:
    """Resident memory of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
