"""What stands between pictures, as people have them, and a backbone: every kind becomes pixels of its size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fpt.pictures.reading import Unreadable, opened
from fpt.pictures.resizing import Resize
from fpt.pictures.squares import in_colour, square

ALLOWED = "paths, bytes of files, PIL images, or uint8 arrays (height x width, with 3 or 4 colours or none)"


@dataclass(frozen=True)
class Transform:
    """A transform says how pictures reach `size` pixels a side, and how many of the 16 bits that a pixel may have they
    use.
    """

    size: int
    how: Resize
    depth: int = 16

    def __call__(self, picture: Any) -> UInt8[np.ndarray, "size size 3"]:
        """Returns a picture's pixels. An array that has the backbone's size already is taken as it is, as a sweep packs
        it. Raises Unreadable for a file that cannot be read, and ValueError for what is no picture.
        """
        if isinstance(picture, (str, Path)):
            image = opened(Path(picture), self.depth)
        elif isinstance(picture, (bytes, bytearray, memoryview)):
            with NamedTemporaryFile() as file:  # the reader asks for a path, as it may have to read twice
                file.write(picture)
                file.flush()
                image = opened(Path(file.name), self.depth)
        elif isinstance(picture, Image.Image):
            image = picture
        else:
            array = np.asarray(picture)
            if (
                array.dtype != np.uint8
                or array.ndim not in (2, 3)
                or (array.ndim == 3 and array.shape[2] not in (3, 4))
            ):
                raise ValueError(f"X must hold {ALLOWED} but holds {_told(picture, array)}")
            if array.shape == (self.size, self.size, 3):
                return array
            image = Image.fromarray(np.ascontiguousarray(array))
        return np.asarray(square(in_colour(image), self.size, self.how))


def _told(picture: Any, array: np.ndarray) -> str:
    if array.dtype == object or array.ndim == 0:
        return f"{type(picture).__name__}"
    return f"an array of {array.dtype}, {' x '.join(map(str, array.shape))}"


def listed(pictures: Any) -> Sequence[Any]:
    """Returns pictures as a sequence. Raises ValueError for what is one picture, or no sequence."""
    if isinstance(pictures, (str, Path, bytes, Image.Image)):
        raise ValueError(f"X must be a sequence of pictures but is a single {type(pictures).__name__}")
    if hasattr(pictures, "toarray"):
        raise ValueError(f"X must be a sequence of {ALLOWED} but is a sparse matrix")
    if not hasattr(pictures, "__len__") or not hasattr(pictures, "__getitem__"):
        raise ValueError(f"X must be a sequence of {ALLOWED} but is a {type(pictures).__name__}")
    if isinstance(pictures, np.ndarray) and pictures.dtype != object and pictures.dtype.kind not in "US":
        if pictures.ndim not in (3, 4):
            raise ValueError(
                f"X must be a sequence of {ALLOWED} but is an array of shape {pictures.shape}; Reshape your data"
            )
        return list(pictures)
    return list(pictures.tolist() if isinstance(pictures, np.ndarray) else pictures)


def in_batches(
    pictures: Sequence[Any], transform: Transform, at_once: int
) -> Iterator[UInt8[np.ndarray, "batch size size 3"]]:
    """Yields the pixels of so many pictures at once. Raises ValueError, naming its place, for one that cannot be
    read.
    """
    for first in range(0, len(pictures), at_once):
        yield np.stack([_pixels(pictures, i, transform) for i in range(first, min(first + at_once, len(pictures)))])


def _pixels(pictures: Sequence[Any], i: int, transform: Transform) -> UInt8[np.ndarray, "size size 3"]:
    try:
        return transform(pictures[i])
    except Unreadable as error:
        named = f" ({pictures[i]})" if isinstance(pictures[i], (str, Path)) else ""
        raise ValueError(f"X[{i}]{named} must be a picture that can be read but is not: {error}") from error
