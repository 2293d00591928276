"""Listed images, decoded: upright, in colour, of one size, with the mask of the key entity."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from pipeline.data.packing.reading import Unreadable, opened
from pipeline.data.sources.listing import Listed
from pipeline.resizing import DEFAULT, Border, Resize

# Resized whole as others do, an image longer than so many times the size would take memory without end.
RIBBON = 16

NO_RANGE = "32-bit pixels, which have no agreed range: 8 or 16 bits are read"


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
    left, top = _first(wide, size), _first(high, size)
    kept = _kept(image, (wide, high), (left, top), size, how)
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


def in_colour(image: Image.Image) -> Image.Image:
    """Returns an image of any mode as RGB. Raises Unreadable for pixels of 32 bits."""
    if image.mode == "F":
        raise Unreadable(NO_RANGE)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise Unreadable(NO_RANGE)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        over = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        white = Image.new("RGB", over.size, "white")
        white.paste(over, mask=over)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _first(resized: int, size: int) -> int:
    """Returns the place of the first pixel that is kept, along one axis; it is below 0 where there is a border before
    the image.
    """
    return round((resized - size) / 2) if resized >= size else -((size - resized) // 2)


def _kept(image: Image.Image, resized: tuple[int, int], corner: tuple[int, int], size: int, how: Resize) -> Image.Image:
    """Returns the square of `size` pixels a side that begins at `corner` of the resized image."""
    (left, top), resample = corner, Image.Resampling[how.interpolation.upper()]
    if isinstance(how, Border):
        square = Image.new("RGB", (size, size), how.fill)
        square.paste(image.resize(resized, resample), (-left, -top))
        return square
    if max(resized) <= RIBBON * size:
        return image.resize(resized, resample).crop((left, top, left + size, top + size))
    across, down = image.width / resized[0], image.height / resized[1]
    right, bottom = min((left + size) * across, image.width), min((top + size) * down, image.height)
    return image.resize((size, size), resample, box=(left * across, top * down, right, bottom))


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
