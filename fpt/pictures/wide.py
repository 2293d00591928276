"""Pictures with 16 bits: what their pixels hold, where Pillow itself gives the upper 8 alone, and how 8 are left."""

import sys
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt16
from PIL import Image

from fpt.pictures.formats import formats

ORIENTATION = 0x0112  # EXIF's tag
# Two bytes of a colour, read in the other order: what then comes out are the lower 8 bits.
OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def is_wide(image: Image.Image) -> bool:
    """Returns whether a picture, of which the header was read, has 16 bits for each colour, or claims 32."""
    return image.mode.startswith("I") or bool(_raw_modes(image))


def wide_values(image: Image.Image) -> UInt16[np.ndarray, "..."] | None:
    """Returns the pixels of a picture, of which the header was read, with all of their 16 bits: height x width, and a
    channel for each colour where there is more than one. Returns None where it has 8 bits, or more than 16.
    """
    if image.mode.startswith("I"):
        values: Shaped[np.ndarray, ...] = np.asarray(image)
        return values.astype(np.uint16) if values.size and values.min() >= 0 and values.max() <= 0xFFFF else None
    if not _raw_modes(image):
        return None
    with Image.open(image.filename, formats=formats()) as again:  # type: ignore[attr-defined]
        again.tile = [_in_other_order(tile) for tile in again.tile]
        upper, lower = np.asarray(image).astype(np.uint16), np.asarray(again).astype(np.uint16)
    return upper << 8 | lower


def narrowed(image: Image.Image, depth: int) -> Image.Image:
    """Returns a picture whose pixels use `depth` of their 16 bits with the uppermost 8 of these, and any other as it
    is. An alpha channel may use all 16 while colours do not.
    """
    values = wide_values(image)
    if values is None:
        return image
    left = (values >> (depth - 8)).clip(0, 255)
    if values.ndim == 3 and values.shape[2] == 4 and values[..., 3].max() >> depth:
        left[..., 3] = values[..., 3] >> 8
    made = Image.fromarray(left.astype(np.uint8))
    made.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
    return made


def _raw_modes(image: Image.Image) -> list[str]:
    """Returns how the bytes of a picture in colour are laid out, where they are two for each colour, else nothing."""
    found = [_raw_mode(tile) for tile in getattr(image, "tile", []) or []]
    two = image.mode in ("RGB", "RGBA") and all(raw.startswith(("RGB;16", "RGBA;16", "RGBX;16")) for raw in found)
    return found if two else []


def _raw_mode(tile: Any) -> str:
    arguments = getattr(tile, "args", None)
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _in_other_order(tile: Any) -> Any:
    raw = _raw_mode(tile)
    other = raw[:-1] + OTHER_ORDER[raw[-1]]
    arguments = tile.args
    changed = (other, *arguments[1:]) if isinstance(arguments, tuple) else other
    return tile._replace(args=changed)
