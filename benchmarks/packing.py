"""What packing costs beside decoding, and what reading packed images saves.

`python -m benchmarks.packing [--images 10000] [--folder FOLDER] [--out FILE]`: JPEGs of 500 x 400 (soft noise at three
scales, shapes with edges, quality 85), packed and only decoded, resized and hashed by as many processes, in turn; then
single packed images in random order beside decoding them. A folder that is given is kept, and its images used again.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from fpt.pictures.resizing import Crop, Resize, Squash
from pipeline.data.packing.decoding import content, decode
from pipeline.data.packing.packing import IMAGES_A_TASK, TASKS_AHEAD, pack_listing
from pipeline.data.processes import in_order, workers
from pipeline.data.sources.listing import Listed, Listing
from pipeline.data.store import ImageStore

WIDTH, HEIGHT, QUALITY = 500, 400, 85
CLASSES = 100
READS = 1000
LEAST_SHARE, LEAST_TIMES = 0.8, 20


def draw(path: Path, seed: int) -> None:
    """One JPEG, under a temporary name until it is whole."""
    random = np.random.default_rng(seed)
    soft = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells, weight in ((5, 0.5), (25, 0.3), (125, 0.2)):
        coarse = random.integers(0, 256, (cells * HEIGHT // WIDTH, cells, 3), np.uint8)
        soft += weight * np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    image = Image.fromarray(soft.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        corners = random.uniform((0, 0), (WIDTH, HEIGHT), (3, 2))
        fill = tuple(random.integers(0, 256, 3).tolist())
        if random.random() < 0.5:
            pen.polygon([tuple(corner) for corner in corners.tolist()], fill=fill)
        else:
            (x, y), radius = corners[0].tolist(), float(random.uniform(10, 80))
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    part = path.with_suffix(".part")
    image.save(part, "JPEG", quality=QUALITY)
    part.replace(path)


def drawn(folder: Path, images: int, processes: int) -> Listing:
    """That many images in a folder, those made that are not there yet."""
    width = max(1, images // CLASSES)
    paths = [folder / f"{i // width:04d}" / f"{i:07d}.jpg" for i in range(images)]
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True, exist_ok=True)
    missing = [(path, i) for i, path in enumerate(paths) if not path.exists()]
    with workers(processes) as pool:
        for _ in in_order(pool, draw, missing, 8 * processes):
            pass
    return Listing("folder", folder, tuple(Listed(path, path.parent.name, "novel") for path in paths))


def decode_some(images: Sequence[Listed], size: int, how: Resize) -> list[bytes]:
    return [content(decode(image, size, how).image) for image in images]


def only_decode(listing: Listing, size: int, how: Resize, processes: int) -> None:
    images = listing.images
    tasks = ((images[first : first + IMAGES_A_TASK], size, how) for first in range(0, len(images), IMAGES_A_TASK))
    with workers(processes) as pool:
        assert sum(len(some) for some in in_order(pool, decode_some, tasks, TASKS_AHEAD)) == len(images)


def read_each(store: ImageStore, rows: Sequence[int]) -> None:
    for row in rows:
        store.images(np.array([row]))


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    os.sync()  # nobody pays for what another has written
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def spread(values: Sequence[float], digits: int = 1) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def measure(listing: Listing, packed: Path, size: int, how: Resize, processes: int, pairs: int) -> dict[str, Any]:
    images = len(listing.images)
    for image in listing.images:
        image.path.read_bytes()  # neither comes first to a file
    alone, packing = list[float](), list[float]()

    def pack_all() -> None:
        packed.with_name(f"{packed.name}.json").unlink(missing_ok=True)
        pack_listing(listing, packed, size, how, processes)

    def decode_all() -> None:
        only_decode(listing, size, how, processes)

    turns = [(alone, decode_all), (packing, pack_all)]
    for pair in range(pairs):
        for times, function in turns if pair % 2 == 0 else turns[::-1]:
            times.append(seconds(function))
    store, random = ImageStore(packed), np.random.default_rng(0)
    reading, decoding = list[float](), list[float]()
    for _ in range(pairs):
        rows = random.integers(0, store.count, READS).tolist()
        reading.append(seconds(read_each, store, rows) / READS)
        some = [listing.images[row] for row in rows[: READS // 4]]
        decoding.append(seconds(decode_some, some, size, how) / len(some))
    return {
        "decoding, resizing, hashing, images a second": [images / each for each in alone],
        "packing, images a second": [images / each for each in packing],
        "packing's share of that rate": [a / p for a, p in zip(alone, packing, strict=True)],
        "reading one packed image, microseconds": [1e6 * each for each in reading],
        "decoding one image, microseconds": [1e6 * each for each in decoding],
        "times faster": [d / r for d, r in zip(decoding, reading, strict=True)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where the JPEGs are, or are to be")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--resize", choices=["crop", "squash"], default="crop")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    how = Crop() if asked.resize == "crop" else Squash()
    with TemporaryDirectory() as folder:
        listing = drawn(asked.folder or Path(folder) / "images", asked.images, asked.processes)
        measured = measure(listing, Path(folder) / "packed.arrow", asked.size, how, asked.processes, asked.pairs)
    bars = {"packing's share of that rate": LEAST_SHARE, "times faster": LEAST_TIMES}
    print(f"{asked.images} JPEGs of {WIDTH} x {HEIGHT}, {how} to {asked.size}, {asked.processes} processes\n")
    print("| | median (least to most) | bar |\n|---|---|---|")
    for name, values in measured.items():
        print(f"| {name} | {spread(values, 2 if max(values) < 2 else 0)} | {bars.get(name, '')} |")
    if asked.out:
        medians = {name: median(values) for name, values in measured.items()}
        told = {"images": asked.images, "size": asked.size, "how": str(how), "processes": asked.processes}
        told |= {"medians": medians, "all": measured}
        asked.out.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
