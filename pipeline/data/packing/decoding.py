"""Listed images, decoded: upright, in colour, of one size, with the mask of the key entity."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from fpt.pictures.reading import Unreadable, opened
from fpt.pictures.resizing import DEFAULT, Resize
from fpt.pictures.squares import first_kept, in_colour, square
from pipeline.data.sources.listing import Listed


@dataclass(frozen=True)
class Decoded:
    """A decoded image holds its pixels in `image`. `mask` is where the key entity shows, None where nothing tells that;
    `shown` is the width and height that the image had before it was resized.
    """

    image: UInt8[np.ndarray, "size size 3"]
    mask: Bool[np.ndarray, "size size"] | None
    shown: tuple[int, int]


def decode(listed: Listed, size: int, how: Resize = DEFAULT) -> Decoded:
    """Returns a listed image as the store keeps it: the first frame, upright by its EXIF orientation, white where it is
    transparent, with the 16 bits (or `depth` of them) cut to 8 and colour profiles ignored. Its mask is sampled at the
    centres of the same pixels.

    A large JPEG is decoded in full: by the decoder's own reduction, to twice the needed size and more, flat photographs
    would differ by 3 levels, but text and sharp edges by 20.

    Raises Unreadable for whatever is wrong with the file or its mask.
    """
    image = in_colour(opened(listed.path, listed.depth))
    width, height = image.size
    wide, high = how.resized(width, height, size)
    left, top = first_kept(wide, size), first_kept(high, size)
    kept = square(image, size, how)
    mask = None
    if listed.mask is not None or listed.box is not None:
        across, down = _centres(width, wide, left, size), _centres(height, high, top, size)
        if listed.mask is not None:
            whole = _mask(listed.mask, listed.mask_values, (width, height))
            rows, columns = (down >= 0) & (down < height), (across >= 0) & (across < width)
            places = np.ix_(down.clip(0, height - 1).astype(int), across.clip(0, width - 1).astype(int))
            mask = whole[places] & rows[:, None] & columns
        elif (box := listed.box) is not None:
            rows = (down >= max(box.top, 0)) & (down < min(box.bottom, height))
            columns = (across >= max(box.left, 0)) & (across < min(box.right, width))
            mask = rows[:, None] & columns
    return Decoded(np.asarray(kept), mask, (width, height))


def content(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """Returns 16 bytes that two images share only if all their pixels are the same."""
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()[:16]


def _centres(length: int, resized: int, first: int, size: int) -> Float[np.ndarray, " size"]:
    """Returns where the centres of the pixels that are kept lie in the image as it is shown, along one axis."""
    return (np.arange(first, first + size) + 0.5) * (length / resized)


def _mask(path: Path, values: tuple[int, ...], shown: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """Returns where a mask file has one of `values`, or is not 0 where there are none. They are the file's own values,
    palette indices included; a pixel in colour has a value where all its channels have it.

    Raises Unreadable for a file that is no image, or not of the size `shown`.
    """
    try:
        image = opened(path)
        if image.size != shown:
            width, height = image.size
            raise Unreadable(f"{width} x {height} pixels, but the image has {shown[0]} x {shown[1]}")
    except Unreadable as error:
        raise Unreadable(f"mask {path.name}: {error}") from error
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa", "RGBX"):
        image = image.convert("L" if image.mode in ("LA", "La") else "RGB")
    pixels = np.asarray(image)
    channels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if not values:
        return np.asarray((channels != 0).any(axis=2))
    first = channels[:, :, :1]
    return np.asarray((np.isin(first, values) & (channels == first)).all(axis=2))
