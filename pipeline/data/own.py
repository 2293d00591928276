"""Images of one's own, as a configuration names them: listed, split, and packed for its backbone."""

import hashlib
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.config import Dataset
from pipeline.data.adapters import list_source
from pipeline.data.decoding import Crop, Resize, Squash
from pipeline.data.listing import Listing
from pipeline.data.packing import Packing, manifest_of
from pipeline.data.splitting import with_splits
from pipeline.data.validating import counts

NAMED = 300  # characters on images that were left out; all are in the manifest


def listing_of(dataset: Dataset) -> Listing:
    """Every image with its split. Raises ValueError, naming the field, for what is not there or not laid out so."""
    listing = _listed(dataset.source, str(dataset.path))
    try:
        if dataset.all_novel:
            return replace(listing, images=tuple(replace(image, split="novel") for image in listing.images))
        return with_splits(listing, dataset.shares, dataset.split_seed)
    except ValueError as error:
        raise ValueError(f"dataset.shares: {error}") from error


@cache
def _listed(source: str, path: str) -> Listing:
    try:
        return list_source(source, Path(path).expanduser())
    except ValueError as error:
        raise ValueError(f"dataset.path: {error}") from error


def handed_over(dataset: Dataset) -> Path:
    """The packed file that a configuration names. Raises ValueError where it is none."""
    path = Path(str(dataset.path)).expanduser()
    if not path.is_file() or not manifest_of(path).is_file():
        raise ValueError(
            f"dataset.path must be a file that fpt data pack has written, with its .json, but {str(path)!r} is none"
        )
    return path


def class_sizes(listing: Listing) -> dict[str, dict[str, int]]:
    """Images of each class, by split, as they are listed."""
    return dict(sorted(counts(listing, np.ones(len(listing.images), bool)).items()))


def resize_of(resize: Literal["crop", "squash"], crop_pct: float, interpolation: str) -> Resize:
    """How images reach a backbone's size; `crop_pct` and `interpolation` are those of its pre-training."""
    if resize == "squash":
        return Squash()
    return Crop(crop_pct, "bilinear" if interpolation == "bilinear" else "bicubic")


def digest_of(listing: Listing) -> str:
    """Changes with any file's path, size or time, class or split: what is packed is then packed anew."""
    digest = hashlib.sha256()
    for image in listing.images:
        state = image.path.stat()
        said = (str(image.path), state.st_size, state.st_mtime_ns, image.class_name, image.split, image.box)
        digest.update(repr((*said, image.mask, image.mask_values)).encode())
    return digest.hexdigest()[:16]


def summary_of(packing: Packing) -> list[str]:
    """What was packed and what was left out, a line each."""
    splits = ", ".join(f"{split} {len(classes)}" for split, classes in packing.splits.items())
    lines = [f"{packing.images} images packed at {packing.size} x {packing.size} (classes: {splits})", *packing.notes]
    kinds = Counter(one.kind for one in packing.left_out)
    for kind, count in sorted(kinds.items()):
        named = "; ".join(f"{one.image}: {one.why}" for one in packing.left_out if one.kind == kind)[:NAMED]
        lines.append(f"{count} left out, {kind}: {named}{' ...' if len(named) == NAMED else ''}")
    return lines
