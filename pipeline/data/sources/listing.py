"""What a source holds, before any image is opened."""

import os.path
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.data.pictures import Division

# What a split of classes is called here, whatever a source calls it.
SPLITS = {
    "base": "base",
    "train": "base",
    "training": "base",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "novel": "novel",
    "test": "novel",
    "testing": "novel",
}

# What people add to a split's name when they call a folder by it: training_set, test-images, val2017.
ADDED = re.compile(r"[ _-]?(set|split|data|images|imgs|\d{4})$")

# What would break a line, or cannot be written as UTF-8: file systems allow any byte but 0 and the slash in a name,
# and those that are no UTF-8 reach us as lone surrogates.
ODD = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Box:
    """A box lies around the key entity, in pixels of the image as it is shown (after EXIF orientation); `right` and
    `bottom` are the first pixels that lie outside.
    """

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Listed:
    """A listed image is a file of a source that shows a class. `split` is base, validation or novel, or None where the
    source has none; in a listing, `class_name` is escaped.

    `mask` is an image file of the same size that shows where the key entity is: at its values `mask_values`, or
    wherever it is not 0 if there are none. Of 16 bits that a pixel of it may have, it uses `depth`. It is `called` so
    where its path is none that people know.
    """

    path: Path
    class_name: str
    split: str | None = None
    box: Box | None = None
    mask: Path | None = None
    mask_values: tuple[int, ...] = ()
    depth: int = 16
    called: str = ""

    @property
    def place(self) -> str:
        """Returns what it is ordered by in its class: what it is called, or its path."""
        return self.called or self.path.as_posix()


@dataclass(frozen=True)
class Listing:
    """A listing holds all images of a source, classes in a fixed order and images in a fixed order within each,
    whatever the file system says. `root` is the folder (or file) that was read; `notes` tell what was passed over, a
    sentence each. Images get their splits by `division`, where there is one, once they are decoded.
    """

    source: str
    root: Path
    images: tuple[Listed, ...]
    notes: tuple[str, ...] = ()
    division: Division | None = None


def assemble(source: str, root: Path, images: Iterable[Listed], notes: Sequence[str] = ()) -> Listing:
    """Returns the listing of these images, by class and then by path; an image that a class holds twice is listed once.
    Names of classes, and notes, are escaped.

    Raises ValueError where there is no image, or an image has two classes or two splits.
    """
    kept: dict[Path, Listed] = {}
    twice: list[str] = []
    notes = [escaped(note) for note in notes]
    images = [replace(image, class_name=escaped(image.class_name)) for image in images]
    for image in sorted(images, key=lambda one: (one.class_name, one.place)):
        other = kept.setdefault(image.path, image)
        if other.class_name != image.class_name:
            raise ValueError(
                f"image {escaped(str(image.path))} must have one class but has '{other.class_name}' and "
                f"'{image.class_name}'"
            )
        if other.split != image.split:
            both = " and in ".join(sorted(one or "none" for one in (other.split, image.split)))
            raise ValueError(f"image {escaped(str(image.path))} must lie in one split but lies in {both}: list it once")
        if other is not image:
            twice.append(str(image.path))
    if not kept:
        reasons = f" ({' '.join(notes)})" if notes else ""
        raise ValueError(f"root must hold images as {source} lays them out but {root} has none{reasons}")
    if twice:
        notes.append(escaped(f"Images listed more than once, kept once: {some_of(twice)}."))
    if alike := _alike(dict.fromkeys(image.class_name for image in kept.values())):
        notes.append(f"Classes whose names differ only in case or in Unicode form, kept apart: {some_of(alike)}.")
    return Listing(source, root, tuple(kept.values()), tuple(notes))


def split_called(name: str) -> str | None:
    """Returns the split that a folder is called by, None for a name that is no split's."""
    plain = name.strip().lower()
    return SPLITS.get(plain) or SPLITS.get(ADDED.sub("", plain))


def escaped(name: str) -> str:
    r"""Returns a name so that it fits on a line and into UTF-8, whatever bytes it has: a byte that is no UTF-8 is
    written like \xe9, a character that would break the line like \u000a. Backslashes are doubled, so that no two names
    become the same.
    """
    return ODD.sub(_code, name)


def _code(found: re.Match[str]) -> str:
    number = ord(found[0])
    if found[0] == "\\":
        return "\\\\"
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"


def _alike(names: Iterable[str]) -> list[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())].append(
            name.encode("ascii", "backslashreplace").decode()  # shown as they are, some would look the same
        )
    return [" and ".join(group) for group in groups.values() if len(group) > 1]


def existing(images: Sequence[Listed]) -> tuple[list[Listed], list[str]]:
    """Returns the images whose file is there, without masks that are not, and notes on what is missing."""
    # os.path says no where Path raises: for a name that is too long, a folder that may not be entered
    found = [os.path.isfile(image.path) for image in images]
    there = [image for image, is_there in zip(images, found, strict=True) if is_there]
    unmasked = {image.path for image in there if image.mask is not None and not os.path.isfile(image.mask)}
    notes = []
    if gone := [str(image.path) for image, is_there in zip(images, found, strict=True) if not is_there]:
        notes.append(f"Images that are not there, left out: {some_of(gone)}.")
    if unmasked:
        names = [str(image.mask) for image in there if image.path in unmasked]
        notes.append(f"Masks that are not there, their images kept: {some_of(names)}.")
    return [replace(image, mask=None, mask_values=()) if image.path in unmasked else image for image in there], notes


def some_of(names: Sequence[str]) -> str:
    """Returns how many names there are, and the first three of them."""
    first = ", ".join(sorted(names)[:3])
    return f"{len(names)} ({first}{', ...' if len(names) > 3 else ''})"
