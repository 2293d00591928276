"""What is wrong with the images of a listing, and what becomes of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int, UInt8

from pipeline.data.packing.decoding import content, decode
from pipeline.data.packing.processes import in_order, workers
from pipeline.data.packing.reading import TRUNCATED, Unreadable
from pipeline.data.pictures import in_parts, parts_of_classes, small_in_a_part
from pipeline.data.sources.listing import Listed, Listing, escaped
from pipeline.resizing import DEFAULT, Resize

IMAGES_A_TASK = 16
LEAKS_NAMED = 3


@dataclass(frozen=True)
class LeftOut:
    """An image that is left out is not packed. `kind` is unreadable, duplicate (of an image in the same class, which is
    packed) or leak (of an image in another class or split: all copies are left out).
    """

    image: str
    kind: str
    why: str


@dataclass(frozen=True)
class Problem:
    """A problem concerns images, a class or a split. `names` are those of the images, or that of the class or split;
    `action` is what becomes of them.
    """

    kind: str
    names: tuple[str, ...]
    why: str
    action: str


@dataclass(frozen=True)
class Summary:
    """A summary counts what is good in a listing. `images` are left of those `listed`: they are readable, and neither
    copies nor leaks; `splits` counts them by split and class. `smallest_class` and `largest_class` are a name and its
    number of images. `sizes` are the width and height of the image with the fewest pixels, of the median image and of
    the image with the most.
    """

    listed: int
    images: int
    splits: dict[str, dict[str, int]]
    smallest_class: tuple[str, int]
    largest_class: tuple[str, int]
    sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Validation:
    problems: list[Problem]
    summary: Summary


def validate(
    listing: Listing,
    processes: int,
    way: int,
    shot: int,
    query: int,
    size: int = 224,
    how: Resize = DEFAULT,
    least_side: int = 32,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Validation:
    """Decodes every image as packing would, and returns what packing and episodes will make of them. An image whose
    shorter side is under `least_side` pixels is a problem too.

    Copies are images of which all pixels are the same once decoded at `size`, which is packing's own test: files may
    differ in their bytes. A class counts as many images as its episodes would have: those that are left.
    """
    images, names = listing.images, ids(listing)
    contents, reasons = np.zeros((len(images), 16), np.uint8), dict[int, str]()
    shown = np.zeros((len(images), 2), int)
    tasks = ((images[first : first + IMAGES_A_TASK], size, how) for first in range(0, len(images), IMAGES_A_TASK))
    with workers(processes) as pool:
        done = 0
        for seen in in_order(pool, _look_at, tasks, 4 * processes):
            for row, one in enumerate(seen, done):
                if isinstance(one, str):
                    reasons[row] = one
                else:
                    contents[row], shown[row] = np.frombuffer(one[0], np.uint8), one[1]
            done += len(seen)
            progress(done, len(images))
    problems = [
        Problem("truncated" if why == TRUNCATED else "unreadable", (names[row],), why, "left out")
        for row, why in reasons.items()
    ]
    shorter = shown.min(axis=1)
    for row in np.flatnonzero((shorter > 0) & (shorter < least_side)).tolist():
        why = f"{shown[row, 0]} x {shown[row, 1]} pixels, the shorter side under {least_side}"
        problems.append(Problem("tiny", (names[row],), why, "packed as it is, enlarged"))
    for rows in same_content(contents, reasons):
        problems.append(_copies([images[row] for row in rows], tuple(names[row] for row in rows)))
    kept = np.ones(len(images), bool)
    kept[list(what_is_left_out(listing, contents, reasons, drop_leaks=True))] = False
    left = counts(listing, kept)
    problems += _too_few(left, way, shot, query)
    by_size = sorted((images, name) for classes in left.values() for name, images in classes.items())
    sizes = sorted(map(tuple, shown[shorter > 0].tolist()), key=lambda one: one[0] * one[1])
    summary = Summary(
        listed=len(images),
        images=int(kept.sum()),
        splits=left,
        smallest_class=by_size[0][::-1],
        largest_class=by_size[-1][::-1],
        sizes=tuple(sizes[place] for place in (0, len(sizes) // 2, -1)) if sizes else (),
    )
    return Validation(problems, summary)


def ids(listing: Listing) -> list[str]:
    """Returns the images' paths below the root of their listing, escaped; whole paths for images that lie elsewhere."""
    folder = listing.root if listing.root.is_dir() else listing.root.parent
    paths = [image.path for image in listing.images]
    return [escaped((path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()) for path in paths]


def counts(listing: Listing, kept: Bool[np.ndarray, " images"]) -> dict[str, dict[str, int]]:
    """Returns the number of images that are kept, by split and class, for all classes that are listed. Where they are
    still to be divided, it is the number that each split will get.
    """
    found: dict[str, dict[str, int]] = {}
    if division := listing.division:
        bare = replace(listing, division=None)
        for name, images in counts(bare, kept)["no split"].items():
            for split, size in division.sizes(images).items():
                found.setdefault(split, {})[name] = size
        return found
    for image, one in zip(listing.images, kept.tolist(), strict=True):
        classes = found.setdefault(image.split or "no split", {})
        classes[image.class_name] = classes.get(image.class_name, 0) + one
    return found


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
                found[row] = LeftOut(names[row], "leak", f"the same as {names[twin]} of {_place(places[twin])}")
        else:
            for row in rows[1:].tolist():
                found[row] = LeftOut(names[row], "duplicate", f"the same as {names[first]}")
    if leaks and not drop_leaks:
        pairs = [" is ".join(f"{names[row]} of {_place(places[row])}" for row in pair) for pair in leaks[:LEAKS_NAMED]]
        more = "; ..." if len(leaks) > LEAKS_NAMED else ""
        raise ValueError(
            f"an image must be in one class and one split but {len(leaks)} are in two or more: {'; '.join(pairs)}"
            f"{more}; remove the wrong copies, or leave all of them out by fpt data pack --drop-leaks"
        )
    return dict(sorted(found.items()))


def _place(place: tuple[str | None, str]) -> str:
    split, class_name = place
    return f"class {class_name}" if split is None else f"class {class_name} ({split})"


def _copies(images: Sequence[Listed], names: tuple[str, ...]) -> Problem:
    places = [_place((image.split, image.class_name)) for image in images]
    if len(set(places)) == 1:
        return Problem("duplicate", names, f"the same image, in {places[0]}", f"one kept: {names[0]}")
    between = "classes" if len({image.split for image in images}) == 1 else "splits"
    why = f"the same image, in {' and '.join(dict.fromkeys(places))}"
    return Problem(f"leak between {between}", names, why, "must be removed, or left out by fpt data pack --drop-leaks")


def _too_few(splits: Mapping[str, Mapping[str, int]], way: int, shot: int, query: int) -> list[Problem]:
    if parts := parts_of_classes(splits):
        return _too_few_in_parts(parts, way, shot, query)
    problems = []
    for split, classes in splits.items():
        small = {name: images for name, images in classes.items() if images < shot + query}
        for name, images in small.items():
            why = f"has {images} of the {shot} + {query} images (shot + query) that an episode needs"
            problems.append(Problem("small class", (name,), why, "refused, or left out of episodes"))
        if (large := len(classes) - len(small)) < way:
            why = f"has {large} of the {way} classes (way) that an episode needs, without small ones"
            problems.append(Problem("small split", (split,), why, "no episodes are drawn from it"))
    return problems


def _too_few_in_parts(parts: Mapping[str, Mapping[str, int]], way: int, shot: int, query: int) -> list[Problem]:
    small = small_in_a_part(parts, shot + query)
    problems = []
    for name, of_class in small.items():
        why = f"has {in_parts(of_class)}, of which an episode needs {shot} + {query} (shot + query) in each"
        problems.append(Problem("small class", (name,), why, "refused, or left out of episodes"))
    if (large := len(parts) - len(small)) < way:
        names = tuple(next(iter(parts.values())))
        why = f"have {large} of the {way} classes (way) that an episode needs, without small ones"
        problems.append(Problem("small splits", names, why, "no episodes are drawn from them"))
    return problems


def _look_at(images: Sequence[Listed], size: int, how: Resize) -> list[tuple[bytes, tuple[int, int]] | str]:
    """Returns, for each image, a digest of its pixels and its width and height, or why it cannot be read."""
    seen: list[tuple[bytes, tuple[int, int]] | str] = []
    for image in images:
        try:
            decoded = decode(image, size, how)
            seen.append((content(decoded.image), decoded.shown))
        except Unreadable as error:
            seen.append(str(error))
    return seen
