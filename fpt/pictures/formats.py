"""Which kinds of image are read here: one list, of what Pillow decodes here, for walking and for decoding."""

import os
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec

import PIL
from PIL import Image, features

# Others of Pillow's run programs (EPS), or are no photographs. What needs a library that Pillow may lack names it.
FORMATS: dict[str, str | None] = {
    "JPEG": "jpg",
    "PNG": "zlib",
    "WEBP": "webp",
    "GIF": None,
    "BMP": None,
    "TIFF": None,
    "PPM": None,
    "AVIF": "avif",
    "JPEG2000": "jpg_2000",
}
HEIF = "HEIF"  # what pillow-heif registers with Pillow
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".heics", ".heifs", ".hif"})
GET_HEIF = "pip install pillow-heif"


@cache
def formats() -> tuple[str, ...]:
    """Returns the names of the formats that are decoded here, as Pillow has them; HEIF is one where pillow-heif is
    installed.
    """
    Image.init()
    known = [name for name, library in FORMATS.items() if library is None or features.check(library)]
    if find_spec("pillow_heif") is not None:
        from pillow_heif import register_heif_opener

        register_heif_opener()
        known.append(HEIF)
    return tuple(name for name in known if name in Image.OPEN)


@cache
def decoders() -> str:
    """Returns what decodes here, with versions: where it differs, so may what is decoded."""
    installed = f" with pillow-heif {version('pillow-heif')}" if HEIF in formats() else ""
    return f"{PIL.__version__}{installed}"


@cache
def suffixes() -> frozenset[str]:
    """Returns the suffixes, in lower case, of the formats that are decoded here. MPO is JPEG with more than one
    picture, of which the first is taken.
    """
    known = {*formats(), *(("MPO",) if "JPEG" in formats() else ())}
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in known)


def is_image(name: str) -> bool:
    """Returns whether a file is an image that is decoded here, by its suffix."""
    return _suffix(name) in suffixes()


def needs_heif(name: str) -> bool:
    """Returns whether a file is one that pillow-heif would decode and nothing here does, by its suffix."""
    return _suffix(name) in HEIF_SUFFIXES and HEIF not in formats()


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
