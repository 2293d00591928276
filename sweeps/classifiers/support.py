"""A support set, read from any source that sweeps read: all its pictures, whatever split they are in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import cpu_count
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fpt.classifier.transform import Transform
from fpt.pictures.reading import Unreadable
from pipeline.config import Run
from pipeline.data.listed import listing_of
from pipeline.data.packing.decoding import content
from pipeline.data.packing.depth import with_depth
from pipeline.data.store import ImageStore


@dataclass(frozen=True)
class Support:
    """A support set holds pixels and classes of its pictures. `left_out` says which could not be read, and why; `depth`
    is how many of 16 bits they use.
    """

    images: UInt8[np.ndarray, "images size size 3"]
    classes: Sequence[str]
    left_out: Sequence[tuple[str, str]]
    notes: Sequence[str]
    depth: int = 16


def support_of(run: Run, transform: Transform, progress: Callable[[int, int], None]) -> Support:
    """Returns the support set of a run. A picture that cannot be read is left out, by name. Raises ValueError where a
    class is left without any, and where two classes show the same picture.
    """
    if run.dataset.source == "packed":
        return _packed(Path(str(run.dataset.path)).expanduser(), transform.size)
    listing = with_depth(listing_of(run.dataset), min(4, cpu_count() or 1))
    depth = min(image.depth for image in listing.images)
    images, classes, left_out, seen = [], [], [], dict[bytes, tuple[str, str]]()
    for i, image in enumerate(listing.images):
        try:
            pixels = replace(transform, depth=image.depth)(image.path)
        except Unreadable as error:
            left_out.append((str(image.path), str(error)))
            continue
        finally:
            progress(i + 1, len(listing.images))
        other, path = seen.setdefault(content(pixels), (image.class_name, str(image.path)))
        if other != image.class_name:
            raise ValueError(
                f"--support must show each picture in one class but {path} of {other} and {image.path} of "
                f"{image.class_name} are the same"
            )
        images.append(pixels)
        classes.append(image.class_name)
    gone = sorted({image.class_name for image in listing.images} - set(classes))
    if gone:
        raise ValueError(f"--support must have a picture of each class that can be read but of {gone[0]!r} has none")
    return Support(np.stack(images), classes, left_out, listing.notes, depth)


def packed_support(path: Path) -> ImageStore:
    """Returns the images of a packed support set. Raises ValueError for a file that is none, or is not there."""
    try:
        return ImageStore(path)
    except FileNotFoundError as error:
        raise ValueError(
            f"--support must be a file that fpt data pack has written but {str(path)!r} is none"
        ) from error


def _packed(path: Path, size: int) -> Support:
    store = packed_support(path)
    if store.side != (size, size):
        raise ValueError(f"--support must hold images of side {size}, the backbone's, but {path} has {store.side[0]}")
    rows, classes = [], []
    for split in store.splits:
        for name, own in store.classes(split).items():
            rows += own.tolist()
            classes += [name] * len(own)
    return Support(store.images(np.array(rows)), classes, (), ())
