"""What a source holds, before any image is opened."""

from dataclasses import dataclass
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
