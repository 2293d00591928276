"""Listed images, decoded: upright, in colour, of one size, with the mask of the key entity."""

import hashlib
import math
import os
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.data.listing import Listed

# A header that says more is refused before a pixel is decoded. One of so many takes up to 1.2 GB.
MOST_PIXELS = 100_000_000
# Others of Pillow's run programs (EPS), or are no photographs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
# Resized whole as others do, an image longer than so many times the size would take memory without end.
RIBBON = 16

EMPTY = "empty file"
TRUNCATED = "truncated: the file ends before the image does"
FOREIGN = f"no whole image of a kind that is read ({', '.join(FORMATS)})"
NO_RANGE = "32-bit pixels, which have no agreed range: 8 or 16 bits are read"

Interpolation = Literal["bilinear", "bicubic", "lanczos", "nearest"]


class Unreadable(ValueError):
    """What is wrong with a file, in a few words for people."""


@dataclass(frozen=True)
class Squash:
    """Both sides to int(`enlarged` times the size), whatever the shape, of which the centre is kept: the paper's
    released code (257 x 257 for 224). timm's `squash` with another `enlarged`, 1 / crop_pct.
    """

    enlarged: float = 1.15
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.enlarged < 1:
            raise ValueError(f"enlarged must be at least 1 but got {self.enlarged:g}")

    def resized(self, width: int, height: int, size: int) -> tuple[int, int]:
        side = int(size * self.enlarged)
        return side, side


@dataclass(frozen=True)
class Crop:
    """The shorter side to size / `crop_pct`, of which the centre is kept: timm's evaluation of a backbone (`crop_pct`
    and `interpolation` of its pre-training). The default is that of most.
    """

    crop_pct: float = 0.875
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        if not 0 < self.crop_pct <= 1:
            raise ValueError(f"crop_pct must be over 0 and at most 1 but got {self.crop_pct:g}")

    def resized(self, width: int, height: int, size: int) -> tuple[int, int]:
        short = math.floor(size / self.crop_pct)
        long = int(short * max(width, height) / min(width, height))
        return (short, long) if width <= height else (long, short)


Resize = Squash | Crop
DEFAULT = Crop()


def described(how: Resize) -> dict[str, Any]:
    """For manifests: the same for the same geometry, whatever it is called here later."""
    return {"geometry": "squash" if isinstance(how, Squash) else "crop", **asdict(how)}


@dataclass(frozen=True)
class Decoded:
    """`mask` is where the key entity shows, None where nothing tells; `shown` are the image's own width and height."""

    image: UInt8[np.ndarray, "size size 3"]
    mask: Bool[np.ndarray, "size size"] | None
    shown: tuple[int, int]


def decode(listed: Listed, size: int, how: Resize = DEFAULT) -> Decoded:
    """A listed image as the store keeps it: the first frame, upright by its EXIF orientation, what is transparent on
    white, 16 bits cut to 8, colour profiles ignored. Its mask is sampled at the same pixels' centres.

    A large JPEG is decoded in full: by the decoder's own reduction, twice the needed size and more, flat photographs
    would differ by 3 levels, but text and sharp edges by 20.

    Raises Unreadable for whatever is wrong with the file or its mask.
    """
    image = in_colour(_shown(listed.path))
    width, height = image.size
    wide, high = how.resized(width, height, size)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    kept = _kept(image, (wide, high), (left, top), size, Image.Resampling[how.interpolation.upper()])
    mask = None
    if listed.mask is not None or listed.box is not None:
        across, down = _centres(width, wide, left, size), _centres(height, high, top, size)
        if listed.mask is not None:
            whole = _mask(listed.mask, listed.mask_values, (width, height))
            mask = whole[np.ix_(down.astype(int), across.astype(int))]
        elif (box := listed.box) is not None:
            rows, columns = (down >= box.top) & (down < box.bottom), (across >= box.left) & (across < box.right)
            mask = rows[:, None] & columns
    return Decoded(np.asarray(kept), mask, (width, height))


def content(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """16 bytes that two images share only if all their pixels are the same."""
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()[:16]


def in_colour(image: Image.Image) -> Image.Image:
    """Any mode as RGB. Raises Unreadable for pixels of 32 bits."""
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


def _kept(
    image: Image.Image, resized: tuple[int, int], corner: tuple[int, int], size: int, resample: Image.Resampling
) -> Image.Image:
    """The square of `size` at `corner` of the resized image."""
    left, top = corner
    if max(resized) <= RIBBON * size:
        return image.resize(resized, resample).crop((left, top, left + size, top + size))
    across, down = image.width / resized[0], image.height / resized[1]
    right, bottom = min((left + size) * across, image.width), min((top + size) * down, image.height)
    return image.resize((size, size), resample, box=(left * across, top * down, right, bottom))


def _centres(length: int, resized: int, first: int, size: int) -> Float[np.ndarray, " size"]:
    """Where the centres of the pixels that are kept lie in the image as it is shown, along one axis."""
    return (np.arange(first, first + size) + 0.5) * (length / resized)


def _mask(path: Path, values: tuple[int, ...], shown: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """A mask file's own values, palette indices included; a pixel in colour has a value where all its channels do."""
    try:
        image = _shown(path)
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


def _shown(path: Path) -> Image.Image:
    """The first frame of a file, upright, in its own mode. Raises Unreadable; warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow's, about large images and odd metadata
        try:
            state = path.stat()
            if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for
                raise Unreadable("not a file")
            if state.st_size == 0:
                raise Unreadable(EMPTY)
            with Image.open(path, formats=_formats()) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Unreadable(_too_many(image.width * image.height))
                with _quiet() if image.format == "TIFF" else nullcontext():
                    image.load()
                _turn_upright(image)
                return image
        except (Unreadable, MemoryError):
            raise
        except Exception as error:  # decoders raise what they like for a broken file
            raise Unreadable(_reason(error)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing reaches the terminal: libtiff itself writes there what it finds wrong with a file."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def _too_many(pixels: int) -> str:
    return f"{pixels / 1e6:.0f} megapixels, more than the {MOST_PIXELS / 1e6:.0f} that are read"


def _turn_upright(image: Image.Image) -> None:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # the pixels are whole, what is said about them is not
        return


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _reason(error: Exception) -> str:
    said = str(error)
    if isinstance(error, Image.DecompressionBombError) and (found := re.search(r"\((\d+) pixels", said)):
        return _too_many(int(found[1]))
    if isinstance(error, UnidentifiedImageError):
        return FOREIGN
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {os.strerror(error.errno)}"
    if isinstance(error, EOFError) or re.search("truncated|not large enough", said, re.IGNORECASE):
        return TRUNCATED
    return f"damaged: {said or type(error).__name__}"
