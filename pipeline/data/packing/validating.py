"""What is wrong with the images of a listing, and what becomes of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from fpt.pictures.reading import TRUNCATED, Unreadable
from fpt.pictures.resizing import DEFAULT, Resize
from pipeline.data.packing.copies import ids, place_of, same_content, what_is_left_out
from pipeline.data.packing.decoding import content, decode
from pipeline.data.packing.depth import with_depth
from pipeline.data.pictures import in_parts, parts_of_classes, small_in_a_part
from pipeline.data.processes import in_order, workers
from pipeline.data.sources.listing import Listed, Listing

IMAGES_A_TASK = 16
FLAT = "of one colour"


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
    """A validation is what was found in a listing; `notes` are the listing's, and what its pictures tell."""

    problems: list[Problem]
    summary: Summary
    notes: tuple[str, ...] = ()


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
    leaks: str = "refuse",
) -> Validation:
    """Decodes every image as packing would, and returns what packing and episodes will make of them. An image whose
    shorter side is under `least_side` pixels is a problem too, and so is one of a single colour.

    Copies are images of which all pixels are the same once decoded at `size`, which is packing's own test: files may
    differ in their bytes. A class counts as many images as its episodes would have: those that are left.
    """
    listing = with_depth(listing, processes)
    images, names, flat = listing.images, ids(listing), list[int]()
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
                    contents[row], shown[row] = np.frombuffer(one.content, np.uint8), one.shown
                    flat += [row] if one.flat else []
            done += len(seen)
            progress(done, len(images))
    problems = [
        Problem("truncated" if why == TRUNCATED else "unreadable", (names[row],), why, "left out")
        for row, why in reasons.items()
    ]
    shorter = shown.min(axis=1)
    for row in np.flatnonzero((shorter > 0) & (shorter < least_side)).tolist():
        why = f"{shown[row, 0]} x {shown[row, 1]} pixels, the shorter side under {least_side}"
        problems.append(Problem("tiny", (names[row],), why, "enlarged"))
    problems += [Problem(FLAT, (names[row],), "all pixels are the same", "packed as it is") for row in flat]
    for rows in same_content(contents, reasons):
        problems.append(_copies([images[row] for row in rows], tuple(names[row] for row in rows), leaks))
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
    return Validation(problems, summary, listing.notes)


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


def _copies(images: Sequence[Listed], names: tuple[str, ...], leaks: str) -> Problem:
    places = [place_of((image.split, image.class_name)) for image in images]
    if len(set(places)) == 1:
        return Problem("duplicate", names, f"the same image, in {places[0]}", f"one kept: {names[0]}")
    between = "classes" if len({image.split for image in images}) == 1 else "splits"
    why = f"the same image, in {' and '.join(dict.fromkeys(places))}"
    refused = "refused: remove the wrong copies, or --set dataset.leaks=leave_out leaves out all of them"
    action = "all copies left out" if leaks == "leave_out" else refused
    return Problem(f"leak between {between}", names, why, action)


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


class _Seen(NamedTuple):
    """What is seen of an image: a digest of its pixels, its width and height, and whether it has one colour alone."""

    content: bytes
    shown: tuple[int, int]
    flat: bool


def _look_at(images: Sequence[Listed], size: int, how: Resize) -> list[_Seen | str]:
    """Returns what is seen of each image, or why it cannot be read."""
    seen: list[_Seen | str] = []
    for image in images:
        try:
            decoded = decode(image, size, how)
            flat = bool((decoded.image == decoded.image[0, 0]).all())
            seen.append(_Seen(content(decoded.image), decoded.shown, flat))
        except Unreadable as error:
            seen.append(str(error))
    return seen
