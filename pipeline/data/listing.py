"""What a source holds, before any image is opened."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# What a split of classes is called here, whatever a source calls it.
SPLITS = {
    "base": "base",
    "train": "base",
    "training": "base",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "novel": "novel",
    "test": "novel",
    "testing": "novel",
}


@dataclass(frozen=True)
class Box:
    """Around the key entity, in pixels of the image as it is shown (after EXIF orientation); right and bottom are the
    first that lie outside.
    """

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Listed:
    """One image of a source. `split` is one of base, validation, novel, or None where the source has none.

    `mask` is an image file of the same size that shows where the key entity is: at its values `mask_values`, or
    wherever it is not 0.
    """

    path: Path
    class_name: str
    split: str | None = None
    box: Box | None = None
    mask: Path | None = None
    mask_values: tuple[int, ...] = ()


@dataclass(frozen=True)
class Listing:
    """All images of a source, classes in a fixed order and images in a fixed order within each, whatever the file
    system says. `root` is the folder (or file) that was read; what was passed over is in `notes`, a sentence each.
    """

    source: str
    root: Path
    images: tuple[Listed, ...]
    notes: tuple[str, ...] = ()


def assemble(source: str, root: Path, images: Iterable[Listed], notes: Sequence[str] = ()) -> Listing:
    """The listing of these images, by class and then by path; an image that a class holds twice is listed once.

    Raises ValueError where there is no image, a class lies in two splits, or an image has two classes.
    """
    kept: dict[Path, Listed] = {}
    twice: list[str] = []
    splits: dict[str, str | None] = {}
    for image in sorted(images, key=lambda one: (one.class_name, one.path.as_posix())):
        split = splits.setdefault(image.class_name, image.split)
        if split != image.split:
            both = " and in ".join(sorted(one or "none" for one in (split, image.split)))
            raise ValueError(
                f"class {image.class_name!r} of {root} must lie in one split but lies in {both}: splits share no class"
            )
        other = kept.setdefault(image.path, image)
        if other.class_name != image.class_name:
            raise ValueError(
                f"image {image.path} must have one class but has {other.class_name!r} and {image.class_name!r}"
            )
        if other is not image:
            twice.append(str(image.path))
    if not kept:
        reasons = f" ({' '.join(notes)})" if notes else ""
        raise ValueError(f"root must hold images as {source} lays them out but {root} has none{reasons}")
    again = [f"Images listed more than once, kept once: {some_of(twice)}."] if twice else []
    return Listing(source, root, tuple(kept.values()), (*notes, *again))


def existing(images: Sequence[Listed]) -> tuple[list[Listed], list[str]]:
    """Those whose file is there, without masks that are not, and notes on what is missing."""
    there = [image for image in images if image.path.is_file()]
    unmasked = {image.path for image in there if image.mask is not None and not image.mask.is_file()}
    notes = []
    if gone := [str(image.path) for image in images if not image.path.is_file()]:
        notes.append(f"Images that are not there, left out: {some_of(gone)}.")
    if unmasked:
        names = [str(image.mask) for image in there if image.path in unmasked]
        notes.append(f"Masks that are not there, their images kept: {some_of(names)}.")
    return [replace(image, mask=None, mask_values=()) if image.path in unmasked else image for image in there], notes


def some_of(names: Sequence[str]) -> str:
    """How many, and the first three of them by name."""
    first = ", ".join(sorted(names)[:3])
    return f"{len(names)} ({first}{', ...' if len(names) > 3 else ''})"
