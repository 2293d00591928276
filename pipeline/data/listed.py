"""A user's own images, as a configuration names them: listed, split, and packed for its backbone."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.config import Dataset
from pipeline.data.header import manifest_of
from pipeline.data.packing.packing import Packing
from pipeline.data.packing.validating import counts
from pipeline.data.sources.catalogue import SOURCES, list_source, listed
from pipeline.data.sources.listing import Listing
from pipeline.data.sources.splitting import check_splits, with_division, with_splits, without_splits
from pipeline.storage.folder import Folder

NAMED = 300  # characters on images that were left out; all are in the manifest


def listing_of(dataset: Dataset) -> Listing:
    """Returns every image with its split. Raises ValueError, naming the field, for what is not there or not laid out as
    its source needs it.
    """
    options = {name: getattr(dataset, name) for name in SOURCES[dataset.source].options}
    listing = _listed(dataset.source, str(dataset.path), os.getcwd(), **options)
    of_pictures = dataset.hold_out == "pictures"
    if dataset.all_novel:
        return replace(listing, images=tuple(replace(image, split="novel") for image in listing.images))
    if dataset.merge_splits:
        listing = without_splits(listing)
    try:
        check_splits(listing, of_pictures)
    except ValueError as error:
        raise ValueError(f"dataset.hold_out: {error}") from error
    try:
        if of_pictures:
            return with_division(listing, dataset.shares, dataset.split_seed)
        return with_splits(listing, dataset.shares, dataset.split_seed)
    except ValueError as error:
        raise ValueError(f"dataset.shares: {error}") from error


@cache
def _listed(source: str, path: str, here: str, **options: Any) -> Listing:
    """Returns what is listed once a process; a relative path is another one `here`, in another working folder."""
    try:
        return list_source(source, path, **options)
    except ValueError as error:
        raise ValueError(at_path(str(error))) from error


def at_path(said: str) -> str:
    """Returns what a source says of its root as what the field says that names it."""
    field, others = "dataset.path", said.removeprefix("root ")
    return f"{field}: {said}" if others == said else f"{field} {others}"


class HandedOver(NamedTuple):
    """A packed file that was made beforehand is called `name` and lies in the folder (or bucket) `uri`; `manifest`
    tells what it holds.
    """

    uri: str
    name: str
    manifest: dict[str, Any]


def handed_over(dataset: Dataset) -> HandedOver:
    """Returns the packed file that a configuration names by a path, or by a URI like s3://bucket/photos.arrow. Raises
    ValueError where it names none.
    """
    named = str(dataset.path)
    if "://" in named:
        where, mark, options = named.partition("?")
        above, _, name = where.rpartition("/")
        uri = f"{above}{mark}{options}"
    else:
        path = Path(named).expanduser()
        uri, name = str(path.parent), path.name
    try:
        folder = Folder(uri)
        content = folder.read(f"{name}.json") if folder.has(name) else None
        manifest = manifest_of(content) if content else {}
    except OSError as error:
        said = " ".join(str(error).split())
        raise ValueError(f"dataset.path must be what can be reached but {named!r} failed: {said}") from error
    except ValueError as error:
        said = str(error).removeprefix("home must be ")
        raise ValueError(f"dataset.path must be what fpt data pack has written but {named!r} is not: {said}") from error
    if manifest.get("splits") is None:
        raise ValueError(
            f"dataset.path must be a file that fpt data pack has written, with its .json, but {named!r} is none"
        )
    return HandedOver(folder.uri, name, manifest)


def class_sizes(listing: Listing) -> dict[str, dict[str, int]]:
    """Returns the number of images of each class, by split, as they are listed."""
    return dict(sorted(counts(listing, np.ones(len(listing.images), bool)).items()))


def divided_by_pictures(dataset: Dataset, splits: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Returns how many pictures every split would have of each class if the pictures of each class were divided, and
    not the classes themselves, which have so many pictures in their `splits`; nothing where that cannot be.
    """
    if dataset.all_novel or dataset.source not in listed() or dataset.hold_out == "pictures":
        return {}
    try:
        division = listing_of(dataset.model_copy(update={"hold_out": "pictures"})).division
    except ValueError:  # the source has splits, of classes
        return {}
    found: dict[str, dict[str, int]] = {}
    if division is not None:
        for name, pictures in (one for classes in splits.values() for one in classes.items()):
            for split, size in division.sizes(pictures).items():
                found.setdefault(split, {})[name] = size
    return found


def served_by_pictures(dataset: Dataset, splits: Mapping[str, Mapping[str, int]], least: int) -> int:
    """Returns how many classes would have `least` pictures in every split if the pictures of each class were divided; 0
    where that cannot be.
    """
    divided = list(divided_by_pictures(dataset, splits).values())
    return sum(min(classes[name] for classes in divided) >= least for name in divided[0]) if divided else 0


def digest_of(listing: Listing) -> str:
    """Returns a digest that changes with any file's path, size or time, class or split: what is packed is then packed
    anew.
    """
    digest = hashlib.sha256()
    for image in listing.images:
        state = image.path.stat()
        said = (str(image.path), state.st_size, state.st_mtime_ns, image.class_name, image.split, image.box)
        digest.update(repr((*said, image.mask, image.mask_values)).encode())
    return digest.hexdigest()[:16]


def summary_of(packing: Packing) -> list[str]:
    """Returns what was packed and what was left out, a line each."""
    splits = ", ".join(f"{split} {len(classes)}" for split, classes in packing.splits.items())
    lines = [f"{packing.images} images packed at {packing.size} x {packing.size} (classes: {splits})", *packing.notes]
    kinds = Counter(one.kind for one in packing.left_out)
    for kind, count in sorted(kinds.items()):
        named = "; ".join(f"{one.image}: {one.why}" for one in packing.left_out if one.kind == kind)[:NAMED]
        lines.append(f"{count} left out, {kind}: {named}{' ...' if len(named) == NAMED else ''}")
    return lines
