"""Which images are copies of others, and what becomes of them."""

import hashlib
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from fpt.pictures.reading import Unreadable, opened
from pipeline.data.sources.listing import Listing, escaped

LEAKS_NAMED = 3
A_LOOK = 4096  # bytes, by which nearly all files of one size are told apart


@dataclass(frozen=True)
class LeftOut:
    """An image that is left out is not packed. `kind` is unreadable, duplicate (of an image in the same class, which is
    packed) or leak (of an image in another class or split: all copies are left out).
    """

    image: str
    kind: str
    why: str


def ids(listing: Listing) -> list[str]:
    """Returns what the images are called, or else their paths below the root of their listing, escaped; whole paths for
    images that lie elsewhere.
    """
    folder = listing.root if listing.root.is_dir() else listing.root.parent
    return [escaped(image.called or _below(folder, image.path).as_posix()) for image in listing.images]


def _below(folder: Path, path: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def same_content(
    contents: UInt8[np.ndarray, "images 16"], unreadable: Collection[int]
) -> list[Int[np.ndarray, " copies"]]:
    """Returns which images have the same content: two or more rows in each group, groups and rows in order."""
    readable = np.ones(len(contents), bool)
    readable[list(unreadable)] = False
    rows = np.flatnonzero(readable)
    high, low = np.ascontiguousarray(contents[rows]).view(np.uint64).T
    order = np.lexsort((low, high))  # stable: in order within a group
    differs = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    groups = np.split(rows[order], np.flatnonzero(differs) + 1)
    return sorted((group for group in groups if len(group) > 1), key=lambda group: int(group[0]))


def what_is_left_out(
    listing: Listing, contents: UInt8[np.ndarray, "images 16"], reasons: Mapping[int, str], drop_leaks: bool
) -> dict[int, LeftOut]:
    """Returns what is not packed, by row, in order. `reasons` say, by row, why images are unreadable.

    Raises ValueError for leaks, unless they are dropped.
    """
    names, places = ids(listing), [(image.split, image.class_name) for image in listing.images]
    found = {row: LeftOut(names[row], "unreadable", why) for row, why in reasons.items()}
    leaks = []
    for rows in same_content(contents, reasons):
        first, others = int(rows[0]), [row for row in rows.tolist() if places[row] != places[rows[0]]]
        if others:
            leaks.append((first, others[0]))
            for row in rows.tolist():
                twin = others[0] if places[row] == places[first] else first
                found[row] = LeftOut(names[row], "leak", f"the same as {names[twin]} of {place_of(places[twin])}")
        else:
            for row in rows[1:].tolist():
                found[row] = LeftOut(names[row], "duplicate", f"the same as {names[first]}")
    if leaks and not drop_leaks:
        raise ValueError(_refusal(listing, leaks))
    return dict(sorted(found.items()))


def refuse_leaking_files(listing: Listing) -> None:
    """Raises ValueError for files of the same bytes in two classes or splits, as what_is_left_out does for pictures of
    the same pixels once all are decoded: this takes a look at each file and no more. Files that are no images are no
    leaks.
    """
    groups: list[list[int]] = [list(range(len(listing.images)))]
    for told in (_size, _look, _digest):
        groups = [group for some in groups for group in _apart(listing, some, told)]
    leaks = []
    for rows in groups:
        first, *others = rows
        other = next(row for row in others if _where(listing, row) != _where(listing, first))
        try:
            opened(listing.images[first].path)
        except Unreadable:
            continue
        leaks.append((first, other))
    if leaks:
        raise ValueError(_refusal(listing, leaks))


def _apart(listing: Listing, rows: Sequence[int], told: Callable[[Path], Hashable]) -> list[list[int]]:
    """Returns the rows by what is told of their files, without groups that lie in one class of one split."""
    groups: dict[Hashable, list[int]] = {}
    for row in rows:
        try:
            groups.setdefault(told(listing.images[row].path), []).append(row)
        except OSError:
            continue
    return [some for some in groups.values() if len({_where(listing, row) for row in some}) > 1]


def _where(listing: Listing, row: int) -> tuple[str | None, str]:
    return listing.images[row].split, listing.images[row].class_name


def _size(path: Path) -> int:
    if not path.is_file():  # a pipe would be waited for
        raise OSError("not a file")
    return path.stat().st_size


def _look(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, (path.stat().st_size - A_LOOK) // 2))
        return hashlib.sha256(stream.read(A_LOOK)).digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _refusal(listing: Listing, leaks: Sequence[tuple[int, int]]) -> str:
    """Returns what is wrong with pairs of images, each of which is one image in two classes or splits."""
    names = ids(listing)
    pairs = [
        " is ".join(f"{names[row]} of {place_of(_where(listing, row))}" for row in pair) for pair in leaks[:LEAKS_NAMED]
    ]
    more = "; ..." if len(leaks) > LEAKS_NAMED else ""
    return (
        f"an image must be in one class and one split but {len(leaks)} are in two or more: {'; '.join(pairs)}{more}; "
        "remove the wrong copies, or --set dataset.leaks=leave_out leaves out all of them"
    )


def place_of(place: tuple[str | None, str]) -> str:
    split, class_name = place
    return f"class {class_name}" if split is None else f"class {class_name} ({split})"
