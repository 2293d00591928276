"""What the adapters of published data sets share: where their files lie, what their classes are called, which split."""

import re
from collections.abc import Sequence
from pathlib import Path

BENCHMARK = "the cross-domain few-shot benchmark"


def dataset_root(source: str, root: Path, archive: str, *ways: Sequence[str]) -> Path:
    """Returns root, or the folder in it that the archive unpacks to, whichever holds all names of one of the `ways`.

    Raises ValueError where neither does, naming what is missing.
    """
    folders = [folder for folder in (root, root / archive) if folder.is_dir()]
    lacking = [
        ([name for name in names if not (folder / name).exists()], folder, names)
        for folder in folders
        for names in ways
    ]
    missing, folder, names = min(
        lacking, key=lambda one: len(one[0]) / len(one[2]), default=([*ways[0]], root, ways[0])
    )
    if missing:
        raise ValueError(f"root of {source} must hold {', '.join(names)} but {folder} has no {', '.join(missing)}")
    return folder


def printable(name: str) -> str:
    """Returns a class's name as people write it: 001.Black_footed_Albatross is the Black footed Albatross."""
    return re.sub(r"^\d+\.", "", name).replace("_", " ").strip()


def benchmark_splits(source: str, classes: Sequence[str], count: int) -> tuple[dict[str, str], list[str]]:
    """Returns the benchmark's split of each class, by the class's place in their order: every second class is base, the
    others are validation and novel in turn (Chen et al., ICLR 2019, arXiv:1904.04232; Tseng et al., ICLR 2020,
    arXiv:2001.08735). Returns a note too where there are not `count` classes, as the benchmark has, so that places may
    differ from the benchmark's.
    """
    turns = ("base", "validation", "base", "novel")
    splits = {name: turns[i % 4] for i, name in enumerate(classes)}
    if len(classes) == count:
        return splits, []
    return splits, [f"Classes of {source}: {len(classes)}, but {count} in {BENCHMARK}, so splits may not be its own."]


def lines(file: Path, cells: int) -> list[list[str]]:
    """Returns the lines of a text file, each cut at blanks into so many cells, the last of which has what is left.

    Raises ValueError for a file that is not there and for a line with fewer cells.
    """
    if not file.is_file():
        raise ValueError(f"{file} must be there but is not")
    found = []
    for i, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
        if not line.strip() or line.startswith("#"):
            continue
        row = line.split(maxsplit=cells - 1)
        if len(row) != cells:
            raise ValueError(f"line {i + 1} of {file} must have {cells} cells but is {line!r}")
        found.append([*row[:-1], row[-1].strip()])
    return found
