"""Pictures of an episode: its images, prompts and predictions, and where attention is before and after fine-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from fpt.figures.coverage import smallest_cover
from fpt.figures.ink import attended, outline
from fpt.figures.page import (
    GAP,
    LETTERS,
    LINE,
    RIGHT,
    RIGHT_COLOUR,
    SMALL,
    SPACE,
    WIDTH,
    WRONG,
    WRONG_COLOUR,
    Page,
    page_at,
)

ATTENTION = ("map", "cover", "both")

LEFT, TITLE, HEADING = 0.74, 0.36, 0.22  # inches
COLUMNS = (5, 8)  # fewest and most side by side
COVER_COLOUR = "#000000"  # of the border of what is lit, on white: it is seen on black pictures and on white ones

Patches = Bool[np.ndarray, "images patches"] | None


@dataclass(frozen=True)
class Shown:
    """Holds images of one kind, and their classes. Attention (to patches, summing to 1) has no patches where the
    backbone has none to show. `prompts` are those of support images, `predicted` the classes that queries were taken
    for.
    """

    heading: str
    images: UInt8[np.ndarray, "images height width 3"]
    names: Sequence[str]
    before: Float[np.ndarray, "images patches"]
    after: Float[np.ndarray, "images patches"]
    key: Patches = None
    prompts: Patches = None
    predicted: Sequence[str] | None = None

    @property
    def count(self) -> int:
        return len(self.images)


def draw_episode(
    parts: Sequence[Shown], grid: tuple[int, int], title: tuple[str, str], path: Path, attention: str, looking: str
) -> Path:
    """One column an image, at most eight side by side: the image, then attention before and after fine-tuning.

    Attention is ink, both maps of an image on one scale ("map"); or the fewest patches that hold 95 % of it are lit
    ("cover"); or first the one and then the other ("both"). `looking` is what it is called. The same arguments give the
    same bytes. Raises ValueError for another kind of attention.
    """
    if attention not in ATTENTION:
        raise ValueError(f"attention must be one of {', '.join(ATTENTION)} but got {attention!r}")
    kinds = [kind for kind in ATTENTION[:2] if attention in (kind, "both")] if grid[0] else []
    height = TITLE + sum(_height(part, _columns(parts), len(kinds)) for part in parts) + LINE * (1 + bool(kinds))
    with page_at(path, height, grid) as page:
        page.write(LETTERS + 1, title[0], weight="bold")
        page.write(LETTERS, title[1])
        page.down = TITLE
        for part in parts:
            _draw(page, part, kinds, _columns(parts))
        _legend(page, parts, kinds, looking)
    return path


def _height(part: Shown, columns: int, kinds: int) -> float:
    """Returns the height of all that `_draw` draws of it."""
    each = (1 + (part.predicted is not None)) * LINE + (1 + 2 * kinds) * (_side(columns) + SPACE) + 2 * kinds * LINE
    return HEADING + ceil(part.count / columns) * (each + SPACE)


def _columns(parts: Sequence[Shown]) -> int:
    fewest, most = COLUMNS
    even = [ceil(part.count / max(1, ceil(part.count / most))) for part in parts]  # bands of a part: none much shorter
    return max(fewest, *even)


def _side(columns: int) -> float:
    """Returns the side of an image."""
    return (WIDTH - LEFT - 0.05) / columns - GAP


def _left_of(column: int, side: float) -> float:
    return LEFT + column * (side + GAP)


def _draw(page: Page, part: Shown, kinds: Sequence[str], columns: int) -> None:
    page.down += SPACE
    page.put(SPACE, LETTERS, part.heading, weight="bold")
    page.down += HEADING - SPACE
    for first in range(0, part.count, columns):
        _band(page, part, range(first, min(first + columns, part.count)), kinds, _side(columns))
        page.down += SPACE


def _band(page: Page, part: Shown, chosen: range, kinds: Sequence[str], side: float) -> None:
    _names(page, part, chosen, side)
    _label(page, "prompts" if part.prompts is not None else "images", side)
    for column, i in enumerate(chosen):
        axis = page.image(_left_of(column, side), side, part.images[i])
        if part.predicted is not None:
            right = part.predicted[i] == part.names[i]
            axis.spines[:].set(color=RIGHT_COLOUR if right else WRONG_COLOUR, linewidth=1.8)
        page.outlines(axis, _of(part.key, i), _of(part.prompts, i))
    page.down += side + SPACE
    for kind in kinds:
        for when, maps, others in (("before", part.before, part.after), ("after", part.after, part.before)):
            _label(page, f"attention\n{when}" if kind == "map" else f"patches with\n95 % {when}", side)
            for column, i in enumerate(chosen):
                key = _of(part.key, i)
                image, said = attended(part.images[i], maps[i], others[i], key, kind, page.grid)
                axis = page.image(_left_of(column, side), side, image)
                if kind == "cover" and np.isfinite(maps[i]).all():
                    outline(axis, smallest_cover(maps[i][None])[0], page.grid, COVER_COLOUR, "-", 0.8)
                page.outlines(axis, key)
                axis.set_xlabel(said, size=SMALL, labelpad=1.5)
            page.down += side + SPACE + LINE


def _of(patches: Patches, i: int) -> Bool[np.ndarray, " patches"] | None:
    return None if patches is None else patches[i]


def _names(page: Page, part: Shown, chosen: range, side: float) -> None:
    middles, wide = [_left_of(column, side) + side / 2 for column in range(len(chosen))], side + GAP / 2
    for middle, i in zip(middles, chosen, strict=True):
        page.centred(middle, wide, part.names[i])
    page.down += LINE
    if part.predicted is None:
        return
    for middle, i in zip(middles, chosen, strict=True):
        if part.predicted[i] == part.names[i]:
            page.put(middle, LETTERS, RIGHT, ha="center", color=RIGHT_COLOUR, weight="bold")
        else:
            page.centred(middle, wide, part.predicted[i], f"{WRONG} ", color=WRONG_COLOUR)
    page.down += LINE


def _label(page: Page, text: str, side: float) -> None:
    """Writes what a row of images shows, left of its middle."""
    top, page.down = page.down, page.down + side / 2
    page.put(LEFT - 0.06, LETTERS, text, ha="right", va="center", linespacing=1.25)
    page.down = top


def _legend(page: Page, parts: Sequence[Shown], kinds: Sequence[str], looking: str) -> None:
    notes = {
        "map": f"the darker, the more {looking}, before and after on one scale",
        "cover": f"lit: the fewest patches that hold 95 % of {looking}",
    }
    marks = [(f"{RIGHT} right", RIGHT_COLOUR), (f"{WRONG} wrong, and the class predicted", WRONG_COLOUR)]
    page.legend(
        LEFT,
        any(part.prompts is not None for part in parts),
        any(part.key is not None for part in parts),
        marks if any(part.predicted is not None for part in parts) else [],
        "; ".join(notes[kind] for kind in kinds),
    )
