"""Packed images on their way to a node: packed once, kept in the home, fetched once a node, shared by its workers."""

import fcntl
import hashlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.ipc

from fpt.glyphs import scenes
from fpt.glyphs.characters import characters
from fpt.pictures.resizing import described, resize_of
from pipeline.config import Run
from pipeline.data.header import header_of, manifest_of
from pipeline.data.listed import digest_of, handed_over, listing_of, summary_of
from pipeline.data.packing.packing import pack_listing
from pipeline.data.sources.glyphs import glyph_scenes
from pipeline.data.store import ImageStore, PackedImages, pack
from pipeline.identity import packing_identity
from pipeline.limits import limits_of
from pipeline.storage.folder import Folder, Home, NoRoomError, cache_folder
from pipeline.storage.locking import waited_for
from pipeline.storage.room import check_room, is_full

TELL_AFTER = 5.0  # seconds


def packed_images(run: Run, home: Home) -> PackedImages:
    """Returns where the packed images of a run's data set are, and packs them where they are not there yet.

    Raises ValueError, naming the field, for a user's own images that cannot be packed.
    """
    if run.dataset.source == "packed":
        packed = handed_over(run.dataset)
        return PackedImages(packed.uri, packed.name, packed.manifest["fingerprint"])
    described, make = _glyphs(run) if run.dataset.source == "glyphs" else _own(run)
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8]
    folder = Folder(home.uri_of("images"))
    name = f"{run.dataset.source}-{digest}.arrow"
    manifest = folder.read(f"{name}.json")  # written last: where it is, the images are
    if manifest is not None:
        try:
            return PackedImages(folder.uri, name, manifest_of(manifest)["fingerprint"])
        except ValueError as error:
            raise ValueError(
                f"home must hold manifests that fpt has written but {folder.uri_of(name)}.json is not: {error}; where "
                "it is removed, the images are packed again"
            ) from error
    path = home.local / "images" / name
    with waited_for(home.local / "locks" / f"images-{name}.lock"), _full_disk_told(path):
        told, fingerprint = make(path), ImageStore(path).fingerprint
        home.keep([path])
        folder.write(f"{name}.json", json.dumps({**told, "fingerprint": fingerprint, "dataset": described}).encode())
    return PackedImages(folder.uri, name, fingerprint)


@contextmanager
def _full_disk_told(path: Path) -> Iterator[None]:
    """Has a disk that fills while images are packed told by the field that says where they are."""
    try:
        yield
    except OSError as error:
        if isinstance(error, NoRoomError) or not is_full(error):
            raise
        raise NoRoomError(
            error.errno,
            f"home must have room for packed images but writing {path} failed ({os.strerror(error.errno or 0)}); make "
            "room, and the same command goes on",
        ) from error


# What describes a data set, and what makes its file and tells of it.
_Making = tuple[dict[str, Any], Callable[[Path], dict[str, Any]]]


def _glyphs(run: Run) -> _Making:
    def make(path: Path) -> dict[str, Any]:
        if not path.exists():
            images = run.dataset.images_per_class * sum(len(characters(split)) for split in ("validation", "novel"))
            check_room(path.parent, images * _bytes_of_image(scenes.SIDE), "home")
            pack(glyph_scenes(run.dataset.images_per_class, run.dataset.distractors), path)
        return {}

    return {**packing_identity(run.dataset), "version": scenes.VERSION}, make


def _own(run: Run) -> _Making:
    listing, limits = listing_of(run.dataset), limits_of(run)
    how = resize_of(run.dataset.resize, limits.seen)
    geometry = {"size": limits.image_size, **described(how)}

    def make(path: Path) -> dict[str, Any]:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not path.exists():  # parts, and what they are joined to
                check_room(path.parent, 2 * len(listing.images) * _bytes_of_image(limits.image_size), "home")
            cores, told = os.cpu_count() or 1, said_now_and_then("packed")
            packing = pack_listing(
                listing, path, limits.image_size, how, cores, told, drop_leaks=run.dataset.leaks == "leave_out"
            )
        except ValueError as error:
            raise error if str(error).startswith("home ") else ValueError(f"dataset.path: {error}") from error
        for note in summary_of(packing):
            print(f"fpt: {note}", file=sys.stderr, flush=True)
        return asdict(packing)

    return {**packing_identity(run.dataset), "geometry": geometry, "files": digest_of(listing)}, make


def _bytes_of_image(side: int) -> int:
    """Returns what a packed image takes, its mask included."""
    return side * side * 3 + side * side // 8


def said_now_and_then(what: str) -> Callable[[int, int], None]:
    """Returns a function that tells on standard error, every few seconds, how far packing is and how fast. `what` is
    what becomes of an image, like packed.
    """
    began = told = time.monotonic()
    before: int | None = None  # what was done when it began, as parts of an earlier try may be

    def progress(done: int, total: int) -> None:
        nonlocal told, before
        now, before = time.monotonic(), done if before is None else before
        if now - told >= TELL_AFTER or (done == total and told > began):
            told = now
            speed = (done - before) / (now - began)
            left = f" · {_left((total - done) / speed)} left" if speed and done < total else ""
            print(f"fpt: {done} of {total} images {what} · {speed:.0f}/s{left}", file=sys.stderr, flush=True)

    return progress


def _left(seconds: float) -> str:
    """Returns a time in words, no finer than a guess is."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def on_this_node(packed: PackedImages) -> Path:
    """Returns the images as a file of this node: the packed file where it lies, if nodes share that disk, or a copy of
    it that the node's workers share.

    Their content is checked, once for each node. Raises ValueError where the images are not there, or are other images.
    """
    if not re.fullmatch("[0-9a-f]{4,64}", packed.fingerprint):  # it becomes the name of a file
        raise ValueError(
            f"fingerprint of {packed.name} must be 4 to 64 hexadecimal digits (0-9, a-f) but got {packed.fingerprint!r}"
        )
    folder, cache = Folder(packed.uri), cache_folder() / "images"
    cache.mkdir(parents=True, exist_ok=True)
    if folder.here is None:
        path = cache / f"{packed.fingerprint}.arrow"
        with _alone(path):
            if not path.exists():
                _check_header(folder, packed)
                part = path.with_suffix(".part")
                try:
                    folder.fetch(packed.name, part)
                    _check(part, packed)
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
        return path
    path = folder.here / packed.name
    if not path.exists():
        raise ValueError(
            f"home must be a folder that all nodes share, or like s3://bucket/path, but {socket.gethostname()} "
            f"has no {path}"
        )
    state = path.stat()
    checked = cache / f"{packed.fingerprint}-{state.st_size}-{state.st_mtime_ns}.checked"
    with _alone(checked):
        if not checked.exists():
            _check(path, packed)
            checked.touch()
    return path


def _check_header(folder: Folder, packed: PackedImages) -> None:
    """Raises ValueError for what is no packed file, before any of it is fetched."""
    try:
        with folder.filesystem.open_input_file(f"{folder.root}/{packed.name}") as file:
            header_of(pyarrow.ipc.open_file(file).schema)
    except FileNotFoundError:
        raise ValueError(
            f"{packed.name} must lie in {packed.uri} but is not there; where its .json is removed, it is packed again"
        ) from None
    except ValueError as error:  # pyarrow's own for what is no Arrow file is one
        said = " ".join(str(error).split())
        raise ValueError(
            f"{packed.name} in {packed.uri} must be a file that fpt data pack has written but is not: {said}"
        ) from error


def _check(path: Path, packed: PackedImages) -> None:
    found = ImageStore(path).fingerprint
    if found != packed.fingerprint:
        raise ValueError(
            f"{packed.name} in {packed.uri} must have the fingerprint {packed.fingerprint} but what "
            f"{socket.gethostname()} read has {found}; remove it and its .json, and it is packed again"
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lets one process of this node at a time into the block; the lock goes with the process that holds it, however
    that ends.
    """
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
