"""Scenes: one key glyph of the scene's class among distractors, on a coloured noise background.

Every scene is a pure function of (split, class, index): its randomness comes from a generator keyed by them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt8

from fpt.glyphs.characters import characters, faces_of, glyph

VERSION = 3  # raise it when scenes change: packed ones are drawn again
SIDE = 64  # pixels
CONTEXT_SHARE = 0.9  # how often a distractor comes from the context that all classes share
PLACEMENTS = 8  # random places tried for each glyph; the one that overlaps least is taken
SPLIT_CODES = {"base": 0, "validation": 1, "novel": 2}


@dataclass(frozen=True)
class Style:
    """Says how hard glyphs are to read: longer sides (pixels), turns (degrees), least distance in RGB to the
    background.
    """

    sizes: tuple[int, ...] = (12, 15, 18, 21)
    turns: tuple[int, ...] = (-30, -15, 0, 15, 30)
    least_contrast: float = 50.0


DEFAULT = Style()
# Pre-training begins with glyphs that are easy to read and ends with ones somewhat larger than the data set's.
LARGE = Style(sizes=(22, 25, 28, 31), turns=(-16, -8, 0, 8, 16), least_contrast=90.0)
MEDIUM = Style(sizes=(15, 18, 21, 24))


@dataclass(frozen=True)
class Scene:
    """Holds an image; `glyphs`, the characters drawn in it back to front; `owner`, which of them each pixel shows, or
    -1.
    """

    image: UInt8[np.ndarray, "height width 3"]
    owner: Int[np.ndarray, "height width"]
    glyphs: tuple[str, ...]
    key: int

    @property
    def mask(self) -> Bool[np.ndarray, "height width"]:
        """Is true where the key glyph shows."""
        return np.asarray(self.owner == self.key)


def scene(split: str, class_index: int, index: int, distractors: int = 2) -> Scene:
    """Draws scene `index` of a class: its key glyph and `distractors` others, all drawn alike.

    Distractors are base classes, mostly from the context. Raises ValueError for an unknown split, or a class or number
    of distractors outside its range.
    """
    if split not in SPLIT_CODES:
        raise ValueError(f"split must be one of {', '.join(SPLIT_CODES)} but got {split!r}")
    members = characters(split)
    if not 0 <= class_index < len(members):
        raise ValueError(f"class_index must be from 0 to {len(members) - 1} in split {split} but got {class_index}")
    if distractors < 0:
        raise ValueError(f"distractors must be at least 0 but got {distractors}")
    stream = np.uint64(SPLIT_CODES[split] << 32 | class_index)
    random = np.random.Generator(np.random.Philox(key=np.array([stream, index], np.uint64)))
    key_character = members[class_index]
    drawn = [key_character]
    while len(drawn) <= distractors:
        pool = characters("context") if random.random() < CONTEXT_SHARE else characters("base")
        candidate = pool[random.integers(len(pool))]
        if candidate not in drawn:
            drawn.append(candidate)
    order = random.permutation(len(drawn))
    return compose([drawn[i] for i in order], key=int(np.argmin(order)), random=random)


def compose(drawn: list[str], key: int, random: np.random.Generator, style: Style = DEFAULT) -> Scene:
    """Draws characters in random faces, sizes, turns, colours and places, the first at the back."""
    image, mean_colour = _background(random)
    owner = np.full((SIDE, SIDE), -1, np.int8)
    boxes: list[tuple[int, int, int, int]] = []
    for position, character in enumerate(drawn):
        faces = faces_of(character)
        coverage = glyph(
            character,
            faces[random.integers(len(faces))],
            style.sizes[random.integers(len(style.sizes))],
            style.turns[random.integers(len(style.turns))],
        )
        height, width = coverage.shape
        top, left = _place(height, width, boxes, random)
        bottom, right = top + height, left + width
        boxes.append((top, left, bottom, right))
        window = np.s_[top:bottom, left:right]
        colour = random.uniform(0, 255, 3)
        while (away := colour - mean_colour) @ away < style.least_contrast**2:
            colour = random.uniform(0, 255, 3)
        opacity = coverage[..., None] / np.float32(255)
        image[window] += opacity * (colour.astype(np.float32) - image[window])
        owner[window][coverage > coverage.max() // 2] = position  # thin strokes cover no pixel whole
    return Scene(np.clip(image, 0, 255).astype(np.uint8), owner, tuple(drawn), key)


def _place(
    height: int, width: int, boxes: list[tuple[int, int, int, int]], random: np.random.Generator
) -> tuple[int, int]:
    """Returns top and left of the tried place that overlaps the boxes drawn so far least."""
    tops = random.integers(0, SIDE - height + 1, PLACEMENTS)
    lefts = random.integers(0, SIDE - width + 1, PLACEMENTS)
    overlap = np.zeros(PLACEMENTS)
    for top, left, bottom, right in boxes:
        rows = np.minimum(tops + height, bottom) - np.maximum(tops, top)
        columns = np.minimum(lefts + width, right) - np.maximum(lefts, left)
        overlap += np.maximum(rows, 0) * np.maximum(columns, 0)
    best = int(overlap.argmin())
    return int(tops[best]), int(lefts[best])


def _background(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns a colour with blotches of 8 pixels and fine grain, and the mean colour."""
    mean = random.uniform(40, 215, 3).astype(np.float32)
    blotches = random.uniform(-40, 40, (SIDE // 8 + 1, SIDE // 8 + 1, 3)).astype(np.float32)
    knots = len(blotches)
    rows = (_INTERPOLATION @ blotches.reshape(knots, knots * 3)).reshape(SIDE, knots, 3)
    smooth = _INTERPOLATION @ rows  # y, x, colour
    grain = random.integers(-12, 13, (SIDE, SIDE, 3), np.int8)
    return mean + smooth + grain, mean


def _linear_interpolation(side: int, step: int) -> np.ndarray:
    """Returns the weights of linear interpolation: rows are pixels, columns knots every `step` pixels."""
    place = np.arange(side, dtype=np.float32)[:, None] / step
    weights: np.ndarray = np.maximum(0, 1 - np.abs(place - np.arange(side // step + 1, dtype=np.float32)))
    return weights


_INTERPOLATION = _linear_interpolation(SIDE, 8)
