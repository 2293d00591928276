"""How many of their 16 bits the pictures of a data set use, told from all of them together."""

import os.path
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from fpt.pictures.reading import Unreadable, peak
from pipeline.data.processes import in_order, workers
from pipeline.data.sources.listing import Listed, Listing, escaped, some_of

DEPTHS = (8, 10, 12, 14)  # of cameras, scanners and microscopes; above these, all 16 bits are used
NARROW = frozenset({"JPEG", "MPO", "WEBP", "GIF", "BMP", "AVIF", "HEIF"})  # 8 bits, by what Pillow makes of them
PNG, PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # where its header says how many bits a colour has
IMAGES_A_TASK = 16


def with_depth(listing: Listing, processes: int) -> Listing:
    """Returns the listing with the `depth` of its pictures with 16 bits: the smallest of DEPTHS that holds the largest
    value of all of them, so that none depends on which others are seen first. They are noted where they use fewer than
    16 bits.
    """
    wide = [row for row, image in enumerate(listing.images) if _may_be_wide(image.path)]
    peaks: dict[int, int] = {}
    for rows, found in _peaks([listing.images[row] for row in wide], processes):
        peaks |= {wide[row]: value for row, value in zip(rows, found, strict=True) if value is not None}
        if any(value >> DEPTHS[-1] for value in peaks.values()):
            return listing
    if not peaks:
        return listing
    depth = next(depth for depth in DEPTHS if not max(peaks.values()) >> depth)
    images = [replace(image, depth=depth) if row in peaks else image for row, image in enumerate(listing.images)]
    folder = listing.root if listing.root.is_dir() else listing.root.parent
    names = [listing.images[row].called or os.path.relpath(listing.images[row].path, folder) for row in peaks]
    note = escaped(
        f"Pictures of 16 bits that use {depth} of them (the largest value is {max(peaks.values())}), scaled so that "
        f"these fill 8: {some_of(names)}."
    )
    return replace(listing, images=tuple(images), notes=(*listing.notes, note))


def _may_be_wide(path: Path) -> bool:
    """Returns whether a file may have 16 bits, by its suffix, and of a PNG by the first bytes."""
    if Image.registered_extensions().get(path.suffix.lower()) in NARROW:
        return False
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as stream:
            head = stream.read(PNG_DEPTH + 1)
    except OSError:
        return False
    return head[PNG_DEPTH:] == b"\x10" if head.startswith(PNG) else bool(head)


def _peaks(images: Sequence[Listed], processes: int) -> Iterable[tuple[range, list[int | None]]]:
    """Yields the largest values of some images after the other, and which they are."""
    tasks = [range(first, min(first + IMAGES_A_TASK, len(images))) for first in range(0, len(images), IMAGES_A_TASK)]
    paths = [([images[row].path for row in rows],) for rows in tasks]
    if len(tasks) < 4 or processes == 1:  # sooner done than processes are started
        yield from ((rows, _peaks_of(*some)) for rows, some in zip(tasks, paths, strict=True))
        return
    with workers(processes) as pool:
        yield from zip(tasks, in_order(pool, _peaks_of, paths, 4 * processes), strict=True)


def _peaks_of(paths: Sequence[Path]) -> list[int | None]:
    found: list[int | None] = []
    for path in paths:
        try:
            found.append(peak(path))
        except Unreadable:  # it will be left out, by name
            found.append(None)
    return found
