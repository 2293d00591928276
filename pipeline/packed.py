"""Packed images on their way to a node: packed once, kept in the home, fetched once a node, shared by its workers."""

import fcntl
import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fpt.glyphs import scenes
from pipeline.config import Run
from pipeline.images import ImageStore, PackedImages, pack
from pipeline.sources import glyph_scenes
from pipeline.storage import Folder, Home, cache_folder


def packed_images(run: Run, home: Home) -> PackedImages:
    """The image store of a run's data set, packed where it is not there yet."""
    drawn = {name: getattr(run.dataset, name) for name in ("source", "images_per_class", "distractors")}
    described = {**drawn, "version": scenes.VERSION}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8]
    folder = Folder(home.uri_of("images"))
    name = f"{run.dataset.source}-{digest}.arrow"
    manifest = folder.read(f"{name}.json")  # written last: where it is, the images are
    if manifest is None:
        path = home.local / "images" / name
        if not path.exists():
            pack(glyph_scenes(run.dataset.images_per_class, run.dataset.distractors), path)
        home.keep([path])
        manifest = json.dumps({"fingerprint": ImageStore(path).fingerprint, "dataset": described}).encode()
        folder.write(f"{name}.json", manifest)
    return PackedImages(folder.uri, name, json.loads(manifest)["fingerprint"])


def on_this_node(packed: PackedImages) -> Path:
    """The images as a file of this node: where they lie, if nodes share that disk, or a copy that its workers share.

    Their content is checked, once for each node. Raises ValueError where they are not there, or are not those.
    """
    folder, cache = Folder(packed.uri), cache_folder() / "images"
    cache.mkdir(parents=True, exist_ok=True)
    if folder.here is None:
        path = cache / f"{packed.fingerprint}.arrow"
        with _alone(path):
            if not path.exists():
                part = path.with_suffix(".part")
                folder.fetch(packed.name, part)
                _check(part, packed)
                part.replace(path)
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


def _check(path: Path, packed: PackedImages) -> None:
    found = ImageStore(path).fingerprint
    if found != packed.fingerprint:
        raise ValueError(
            f"{packed.name} in {packed.uri} must have the fingerprint {packed.fingerprint} but what "
            f"{socket.gethostname()} read has {found}; remove it and its .json, and it is packed again"
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process of this node at a time; the lock goes with the process that holds it, however that ends."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
