"""Splits for classes that come without a split."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import replace

from pipeline.data.sources.listing import SPLITS, Listing

SHARES: Mapping[str, float] = {"base": 0.5, "validation": 0.25, "novel": 0.25}
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
            "has none"
        )
    if not without:
        return listing
    sizes = _sizes(len(without), shares)
    ranked = sorted(without, key=lambda name: _digest(seed, name))
    drawn = dict(zip(ranked, (split for split, size in sizes.items() for _ in range(size)), strict=True))
    images = tuple(replace(image, split=drawn[image.class_name]) for image in listing.images)
    said = ", ".join(f"{size} {split}" for split, size in sizes.items())
    return replace(listing, images=images, notes=(*listing.notes, f"Classes split by seed {seed}: {said}."))


def _digest(seed: int, name: str) -> bytes:
    # one name has several encodings, and which of them a file system gives depends on where the folder was
    return hashlib.sha256(f"{seed}\0{unicodedata.normalize('NFC', name)}".encode()).digest()


def _sizes(classes: int, shares: Mapping[str, float]) -> dict[str, int]:
    known = tuple(dict.fromkeys(SPLITS.values()))
    for split, share in shares.items():
        if split not in known:
            raise ValueError(f"shares must be of {', '.join(known)} but got {split!r}")
        if not 0 <= share <= 1:
            raise ValueError(f"share of {split} must be 0 to 1 but got {share}")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"shares must sum to 1 but sum to {sum(shares.values()):g}")
    wanted = [split for split in known if shares.get(split)]
    needed = CLASSES_AT_LEAST * len(wanted)
    if classes < needed:
        raise ValueError(
            f"classes must be at least {needed} for the splits {', '.join(wanted)} but are {classes}: give them other "
            "shares, or splits of their own"
        )
    sizes, cut, upto = {}, 0, 0.0
    for i, split in enumerate(wanted):
        upto += shares[split]
        last = classes - CLASSES_AT_LEAST * (len(wanted) - 1 - i)
        end = last if split == wanted[-1] else min(max(round(upto * classes), cut + CLASSES_AT_LEAST), last)
        sizes[split], cut = end - cut, end
    return sizes
