"""Layouts by name, each with what builds it and what comes out of it; and the small pictures they are built of."""

from collections.abc import Callable
from pathlib import Path

from tests.pipeline.data.sources.archives.made import picture
from tests.pipeline.data.sources.trees import grow

BIRDS = ("crow", "duck", "heron", "wren")
TWO, ONE = dict.fromkeys(BIRDS, 2), dict.fromkeys(BIRDS, 1)
SET = "--set"

# What a layout holds: the number of images of each class, or of classes in each split. What is refused: a regular
# expression for the sentence.
Result = dict[str, int] | str
Build = Callable[[Path], tuple[object, ...]]
LAYOUTS: dict[str, tuple[Build, Result]] = {}


def layout(name: str, result: Result) -> Callable[[Build], Build]:
    """Adds a layout: a function that builds it in a folder and returns what is typed after `fpt data list`."""

    def add(build: Build) -> Build:
        LAYOUTS[name] = (build, result)
        return build

    return add


def birds(root: Path, *names: str, pictures: int = 2, seed: int = 0, suffix: str = "png") -> Path:
    for i, name in enumerate(names or BIRDS):
        for k in range(pictures):
            grow(root, {f"{name}/{k}.{suffix}": picture(seed, i, k)})
    return root


def in_splits(root: Path, *splits: str) -> Path:
    for i, split in enumerate(splits):
        birds(root / split, f"{split} a", f"{split} b", seed=i)
    return root
