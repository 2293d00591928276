"""Splits for classes, or for the pictures of each class, that come without a split."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import replace

from pipeline.data.pictures import Division
from pipeline.data.sources.listing import SPLITS, Listing, escaped

SHARES: Mapping[str, float] = {"base": 0.5, "validation": 0.25, "novel": 0.25}
HALVES: Mapping[str, float] = {"validation": 0.5, "novel": 0.5}
CLASSES_AT_LEAST = 2  # an episode with one class has nothing to tell apart


def with_splits(listing: Listing, shares: Mapping[str, float] = SHARES, seed: int = 0) -> Listing:
    """Returns the listing with a split for every class, or as it is where each class has one already.

    Classes are ranked by a digest of (seed, name) and the ranking is cut by the shares, base first. So images matter
    not at all, and a class that is added or taken away moves at most one other over each cut. Drawing the split of each
    class by itself would move none, but of ten classes might make none novel. No split gets fewer than two classes; a
    split without a share gets none.

    Raises ValueError for shares that are not shares, for too few classes, and where some have a split and some do not.
    """
    splits = {image.class_name: image.split for image in listing.images}
    given = sorted(name for name, split in splits.items() if split is not None)
    without = sorted(name for name, split in splits.items() if split is None)
    if given and without:
        raise ValueError(
            f"classes of {listing.root} must all have a split, or none, but {given[0]!r} has one and {without[0]!r} "
            "has none; --set dataset.merge_splits=true divides all of them anew"
        )
    if not without:
        return listing
    sizes = _sizes(len(without), shares)
    ranked = sorted(without, key=lambda name: _digest(seed, name))
    drawn = dict(zip(ranked, (split for split, size in sizes.items() for _ in range(size)), strict=True))
    images = tuple(replace(image, split=drawn[image.class_name]) for image in listing.images)
    said = ", ".join(f"{size} {split}" for split, size in sizes.items())
    return replace(listing, images=images, notes=(*listing.notes, f"Classes split by seed {seed}: {said}."))


def without_splits(listing: Listing) -> Listing:
    """Returns the listing with its splits joined, to be divided anew, or as it is where it has none."""
    splits = sorted({image.split for image in listing.images if image.split is not None})
    if not splits:
        return listing
    images = tuple(replace(image, split=None) for image in listing.images)
    note = f"Splits joined, as dataset.merge_splits is true: {', '.join(splits)}."
    return replace(listing, images=images, notes=(*listing.notes, note))


def with_division(listing: Listing, shares: Mapping[str, float] = SHARES, seed: int = 0) -> Listing:
    """Returns the listing with the division by which the pictures of each class get their splits, or as it is where
    they have them already. Raises ValueError for shares that are not shares.
    """
    if any(image.split is not None for image in listing.images):
        return listing
    wanted = _wanted(shares)
    said = ", ".join(f"{share:g} {split}" for split, share in wanted.items())
    note = f"Pictures of each class split by seed {seed}: {said}."
    return replace(listing, notes=(*listing.notes, note), division=Division(tuple(wanted.items()), seed))


def check_splits(listing: Listing, of_pictures: bool) -> None:
    """Raises ValueError where a class lies in two splits, or, for splits that are `of_pictures`, where none does, and
    where some pictures have a split and some do not.
    """
    splits: dict[str, dict[str | None, str]] = {}
    for image in listing.images:
        splits.setdefault(image.class_name, {}).setdefault(image.split, escaped(str(image.path)))
    if not of_pictures:
        for name, found in splits.items():
            if len(found) > 1:
                both = " and in ".join(sorted(split or "none" for split in found))
                way_on = "--set dataset.merge_splits=true joins the splits and divides the classes anew"
                if None not in found:
                    way_on += ", --set dataset.hold_out=pictures takes them as they are, with the same classes in each"
                raise ValueError(
                    f"class '{name}' of {listing.root} must lie in one split but lies in {both}: splits share no class"
                    f"; {way_on}"
                )
        return
    without = next((found[None] for found in splits.values() if None in found), None)
    given = next((path for found in splits.values() for split, path in found.items() if split is not None), None)
    if given and without:
        raise ValueError(
            f"pictures of {listing.root} must all have a split, or none, but {given} has one and {without} has none; "
            "--set dataset.merge_splits=true divides all of them anew"
        )
    if given and all(len(found) == 1 for found in splits.values()):
        raise ValueError(
            f"splits of {listing.root} must share classes for hold_out to be pictures but each class lies in one; "
            "--set dataset.hold_out=classes takes them as they are, and --set dataset.merge_splits=true divides the "
            "pictures of each class anew"
        )


def _digest(seed: int, name: str) -> bytes:
    # one name has several encodings, and which of them a file system gives depends on where the folder was
    return hashlib.sha256(f"{seed}\0{unicodedata.normalize('NFC', name)}".encode()).digest()


def _wanted(shares: Mapping[str, float]) -> dict[str, float]:
    """Returns the shares that are not 0, base first. Raises ValueError for shares that are not shares."""
    known = tuple(dict.fromkeys(SPLITS.values()))
    for split, share in shares.items():
        if split not in known:
            raise ValueError(f"shares must be of {', '.join(known)} but got {split!r}")
        if not 0 <= share <= 1:
            raise ValueError(f"share of {split} must be 0 to 1 but got {share}")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"shares must sum to 1 but sum to {sum(shares.values()):g}")
    return {split: shares[split] for split in known if shares.get(split)}


def _sizes(classes: int, shares: Mapping[str, float]) -> dict[str, int]:
    wanted = list(_wanted(shares))
    needed = CLASSES_AT_LEAST * len(wanted)
    if classes < CLASSES_AT_LEAST:
        raise ValueError(f"classes must be at least {CLASSES_AT_LEAST}, to be told apart, but there is {classes}")
    if classes < needed:
        set_aside = "half of them is" if shares == HALVES else "some of them are"
        raise ValueError(
            f"classes must be at least {needed} but are {classes}: {set_aside} set aside to search on, and the others "
            f"are reported on ({', '.join(f'{split} {shares[split]:g}' for split in wanted)}); "
            f"--set dataset.hold_out=pictures --set episodes.way={classes} divides the pictures of each class instead"
        )
    sizes, cut, upto = {}, 0, 0.0
    for i, split in enumerate(wanted):
        upto += shares[split]
        last = classes - CLASSES_AT_LEAST * (len(wanted) - 1 - i)
        end = last if split == wanted[-1] else min(max(round(upto * classes), cut + CLASSES_AT_LEAST), last)
        sizes[split], cut = end - cut, end
    return sizes
