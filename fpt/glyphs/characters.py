"""The characters of GlyphScenes, drawn with the fonts that matplotlib ships.

The class list is a data file beside this module. `python -m fpt.glyphs.characters` makes it again: every character that
enough faces can draw is compared with every other, near-duplicates are dropped, the rest are split at random into base,
validation and novel classes.
"""

import json
import unicodedata
from functools import cache
from importlib.resources import files
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

FACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    "STIXGeneral",
)
MASTER = 96  # pixels: glyphs are drawn once at this font size, then turned and resized
SPLIT_SHARES = {"base": 0.72, "validation": 0.12, "novel": 0.16}
BRAILLE = range(0x2800, 0x2900)  # too alike at this size
CONTEXT = 6  # base classes that every class shares as distractors


@cache
def classes() -> dict[str, dict[str, list[int]]]:
    """Returns the class list: split -> character -> indices into FACES of the faces that draw it, in class order.

    The key "context" holds the base characters that all classes share as distractors.
    """
    listing: dict[str, dict[str, list[int]]] = json.loads(
        files(__package__).joinpath("data/classes.json").read_text(encoding="utf-8")
    )
    return listing


@cache
def characters(split: str) -> tuple[str, ...]:
    """Returns the characters of a split in class order. Raises ValueError for an unknown split."""
    if split not in classes():
        raise ValueError(f"split must be one of {', '.join(classes())} but got {split!r}")
    return tuple(classes()[split])


@cache
def faces_of(character: str) -> tuple[int, ...]:
    """Returns indices into FACES of the faces that draw a character. Raises ValueError for one that is not a class."""
    for members in classes().values():
        if character in members:
            return tuple(members[character])
    raise ValueError(f"character must be in the class list but got {character!r}")


@cache
def _font(face: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_font_path(face)), MASTER)


def _font_path(face: int) -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{FACES[face]}.ttf"


def master_glyph(character: str, face: int) -> Image.Image:
    """Draws the character in one face, cropped to its ink: an 8-bit coverage image, empty (0 x 0) where there is no
    ink.
    """
    canvas = Image.new("L", (3 * MASTER, 3 * MASTER))
    ImageDraw.Draw(canvas).text((MASTER, MASTER), character, fill=255, font=_font(face))
    return canvas.crop(canvas.getbbox() or (0, 0, 0, 0))


@cache
def glyph(character: str, face: int, size: int, turn: int) -> UInt8[np.ndarray, "height width"]:
    """Draws the coverage, 0 to 255, of a character turned by `turn` degrees, its longer side `size` pixels."""
    turned = master_glyph(character, face).rotate(turn, Image.Resampling.BICUBIC, expand=True)
    turned = turned.crop(turned.getbbox())
    scale = size / max(turned.size)
    width, height = (max(1, round(side * scale)) for side in turned.size)
    return np.asarray(turned.resize((width, height), Image.Resampling.BOX))


def _search(least_faces: int, most_alike: float, seed: int) -> dict[str, dict[str, list[int]]]:
    """Returns the characters with enough faces and no near-duplicate before them, split at random."""
    from matplotlib.ft2font import FT2Font

    drawable: dict[str, list[int]] = {}
    for face in range(len(FACES)):
        for code in FT2Font(str(_font_path(face))).get_charmap():
            if unicodedata.category(chr(code))[0] not in "MC" and code not in BRAILLE:
                drawable.setdefault(chr(code), []).append(face)
    kept: list[str] = []
    looks: list[np.ndarray] = []
    for character in sorted(character for character, faces in drawable.items() if len(faces) >= least_faces):
        look = _look(character, drawable[character])
        if look is None or (looks and float(np.max(np.stack(looks) @ look)) > most_alike):
            continue
        kept.append(character)
        looks.append(look)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(kept))
    bounds = np.cumsum([0] + [round(share * len(kept)) for share in SPLIT_SHARES.values()])
    bounds[-1] = len(kept)
    listing: dict[str, dict[str, list[int]]] = {}
    for split, start, stop in zip(SPLIT_SHARES, bounds[:-1], bounds[1:], strict=True):
        chosen = sorted(kept[i] for i in order[start:stop])
        listing[split] = {character: drawable[character] for character in chosen}
    base = sorted(listing["base"])
    context = [base[i] for i in np.linspace(0, len(base) - 1, CONTEXT + 2).round().astype(int)[1:-1]]
    listing["context"] = {character: listing["base"][character] for character in context}
    return listing


def _look(character: str, faces: list[int], side: int = 20) -> np.ndarray | None:
    """Returns the mean rendition, blurred by its `side` x `side` size, as a unit vector; None for too little or too
    thin ink.
    """
    renditions = [master_glyph(character, face) for face in faces]
    if any(min(image.size) < 0.15 * MASTER or max(image.size) > 1.5 * MASTER for image in renditions):
        return None
    mean = np.mean([_square(image, side) for image in renditions], axis=0)
    centred = mean - mean.mean()
    return np.asarray(centred / np.linalg.norm(centred)).ravel()


def _square(image: Image.Image, side: int) -> np.ndarray:
    """Fits the glyph into a square, with its aspect kept."""
    scale = side / max(image.size)
    resized = image.resize([max(1, round(length * scale)) for length in image.size], Image.Resampling.BOX)
    canvas = np.zeros((side, side))
    top, left = (side - resized.height) // 2, (side - resized.width) // 2
    canvas[top : top + resized.height, left : left + resized.width] = np.asarray(resized)
    return canvas


if __name__ == "__main__":
    found = _search(least_faces=8, most_alike=0.9, seed=0)
    target = Path(__file__).parent / "data" / "classes.json"
    rows = [
        f"  {json.dumps(split)}: {{\n    "
        + ",\n    ".join(f"{json.dumps(character)}: {json.dumps(faces)}" for character, faces in members.items())
        + "\n  }"
        for split, members in found.items()
    ]
    target.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    print({split: len(members) for split, members in found.items()})
