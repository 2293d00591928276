"""The JSON lists of the cross-domain few-shot benchmark."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.data.sources.listing import SPLITS, Listed, Listing, assemble, some_of
from pipeline.data.sources.paths import of_windows

SPLIT_FILES = ("base.json", "val.json", "novel.json")
KEYS = ("label_names", "image_names", "image_labels")


def lists(root: Path) -> Listing:
    """Lists the images that base.json, val.json and novel.json name, as written for Chen et al., "A Closer Look at
    Few-shot Classification", ICLR 2019 (arXiv:1904.04232) and Tseng et al., "Cross-Domain Few-Shot Classification via
    Learned Feature-Wise Transformation", ICLR 2020 (arXiv:2001.08735). Where none of the three is there, all.json is
    read, and its classes have no split.

    A path that is not there, mostly because it is one of another machine, is looked for below root by its longest
    ending that exists. Raises ValueError for a list that cannot be read.
    """
    files = [root / name for name in SPLIT_FILES if (root / name).is_file()]
    if not files:
        if not (root / "all.json").is_file():
            raise ValueError(f"root of lists must hold one of {', '.join(SPLIT_FILES)}, all.json but {root} does not")
        files = [root / "all.json"]
    top = frozenset(path.name for path in root.iterdir())
    images: list[Listed] = []
    moved: list[tuple[str, Path]] = []
    missing: list[str] = []
    for file in files:
        for name, class_name in _named(file):
            path = _found(root, top, name)
            if path is None:
                missing.append(name)
                continue
            if path != root / name:
                moved.append((name, path))
            images.append(Listed(path, class_name, SPLITS.get(file.stem)))
    notes = []
    if moved:
        name, path = min(moved)
        notes.append(f"Paths of elsewhere, found below {root} by their ending: {len(moved)} ({name} as {path}).")
    if missing:
        notes.append(f"Images that are not there, left out: {some_of(missing)}.")
    return assemble("lists", root, images, notes)


def _named(file: Path) -> list[tuple[str, str]]:
    """Returns each image's path and class as a list has them."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} must be JSON but reading it failed: {error}") from error
    names, paths, labels = (_list(file, content, key) for key in KEYS)
    if len(paths) != len(labels):
        raise ValueError(f"image_labels of {file} must be as many as its {len(paths)} images but are {len(labels)}")
    for label in labels:
        if not (isinstance(label, int) and 0 <= label < len(names)):
            raise ValueError(f"image_labels of {file} must be 0 to {len(names) - 1} but one is {label!r}")
    return [(str(path), str(names[label])) for path, label in zip(paths, labels, strict=True)]


def _list(file: Path, content: Any, key: str) -> Sequence[Any]:
    if not (isinstance(content, dict) and isinstance(content.get(key), list)):
        there = ", ".join(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{file} must hold the lists {', '.join(KEYS)} but holds {there}")
    found: Sequence[Any] = content[key]
    return found


def _found(root: Path, top: frozenset[str], name: str) -> Path | None:
    path = Path(of_windows(root, name) or name)
    if path.is_absolute() and path.is_file():
        return path
    parts = path.parts
    for i, part in enumerate(parts):
        # most endings are ruled out without asking the file system
        if part in top and ".." not in parts[i:] and (ending := root.joinpath(*parts[i:])).is_file():
            return ending
    return None
