"""Opened pictures become squares in colour, of a backbone's size."""

import numpy as np
from PIL import Image

from fpt.pictures.reading import Unreadable
from fpt.pictures.resizing import DEFAULT, Border, Resize

# Resized whole as others do, an image longer than so many times the size would take memory without end.
RIBBON = 16

NO_RANGE = "32-bit pixels, which have no agreed range: 8 or 16 bits are read"


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


def square(image: Image.Image, size: int, how: Resize = DEFAULT) -> Image.Image:
    """Returns the square of `size` pixels a side that is kept of an image in colour."""
    resized = how.resized(image.width, image.height, size)
    (left, top), resample = (first_kept(side, size) for side in resized), Image.Resampling[how.interpolation.upper()]
    if isinstance(how, Border):
        framed = Image.new("RGB", (size, size), how.fill)
        framed.paste(image.resize(resized, resample), (-left, -top))
        return framed
    if max(resized) <= RIBBON * size:
        return image.resize(resized, resample).crop((left, top, left + size, top + size))
    across, down = image.width / resized[0], image.height / resized[1]
    right, bottom = min((left + size) * across, image.width), min((top + size) * down, image.height)
    return image.resize((size, size), resample, box=(left * across, top * down, right, bottom))


def first_kept(resized: int, size: int) -> int:
    """Returns the place of the first pixel that is kept, along one axis; it is below 0 where there is a border before
    the image.
    """
    return round((resized - size) / 2) if resized >= size else -((size - resized) // 2)
