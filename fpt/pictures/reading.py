"""Opens an image file, whatever it is: its first frame comes out upright, or else what is wrong with the file."""

import os
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from fpt.pictures.formats import GET_HEIF, formats, needs_heif
from fpt.pictures.wide import is_wide, narrowed, wide_values

# A header that says more is refused before a pixel is decoded. One of so many takes up to 1.2 GB.
MOST_PIXELS = 100_000_000

EMPTY = "empty file"
TRUNCATED = "truncated: the file ends before the image does"
BOMB = "text or a colour profile in it unpacks to more than any image needs"


class Unreadable(ValueError):
    """An Unreadable says in a few words, for people, what is wrong with a file."""


def opened(path: Path, depth: int = 16) -> Image.Image:
    """Returns the first frame of a file, upright, in its own mode; of pixels with 16 bits, which use `depth` of them
    where that is less, 8 are left. Raises Unreadable for whatever is wrong with the file, and warns of nothing.
    """
    with _open(path) as image:
        frame = image if depth == 16 else narrowed(image, depth)
        with _quiet(image):
            frame.load()
        _turn_upright(frame)
        return frame


def peak(path: Path) -> int | None:
    """Returns the largest value that a picture with 16 bits has in any colour, None for another picture. Raises
    Unreadable for whatever is wrong with the file, of one with 8 bits in its header alone.
    """
    with _open(path) as image:
        if not is_wide(image):
            return None
        with _quiet(image):
            values = wide_values(image)
        return None if values is None else int(values[..., :3].max() if values.ndim == 3 else values.max())


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """Yields a file whose header was read. Whatever goes wrong in the block is Unreadable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow's, about large images and odd metadata
        try:
            state = path.stat()
            if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for
                raise Unreadable("not a file")
            if state.st_size == 0:
                raise Unreadable(EMPTY)
            with Image.open(path, formats=formats()) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Unreadable(_too_many(image.width * image.height))
                yield image
        except (Unreadable, MemoryError):
            raise
        except Exception as error:  # decoders raise what they like for a broken file
            raise Unreadable(_reason(error, path)) from error


@contextmanager
def _quiet(image: Image.Image) -> Iterator[None]:
    """Keeps from the terminal, while the block runs, what libtiff itself writes there about a file."""
    if image.format != "TIFF":
        yield
        return
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


def _reason(error: Exception, path: Path) -> str:
    said = str(error)
    if isinstance(error, Image.DecompressionBombError) and (found := re.search(r"\((\d+) pixels", said)):
        return _too_many(int(found[1]))
    if isinstance(error, UnidentifiedImageError):
        if needs_heif(path.name):
            return f"HEIC, which pillow-heif decodes and is not here: {GET_HEIF}"
        return f"no whole image of a kind that is read ({', '.join(formats())})"
    if "MAX_TEXT" in said:
        return BOMB
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {os.strerror(error.errno)}"
    if isinstance(error, EOFError) or re.search("truncated|not large enough", said, re.IGNORECASE):
        return TRUNCATED
    return f"damaged: {said or type(error).__name__}"
