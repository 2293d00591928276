"""The picture of single mistakes: a query that was taken for another class, beside what both classes were told by."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from fpt.figures.ink import attended
from fpt.figures.lettering import printable, shortened
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
    Patches,
    page_at,
)

# Inches; names in a heading are no wider than NAMED, and images of the query, of its class and of the other are APART.
TITLE, HEADING, NAMED, APART = 0.38, 0.16, 2.2, 0.16
MAPS = ("attention before", "attention after")


@dataclass(frozen=True)
class Support:
    """These are support images of one class, with their prompts and key entities where there are any."""

    images: UInt8[np.ndarray, "images height width 3"]
    prompts: Bool[np.ndarray, "images patches"] | None
    key: Bool[np.ndarray, "images patches"] | None


@dataclass(frozen=True)
class Mistaken:
    """A query of class `true` was taken for class `held`, with this probability. Attention (to patches, summing to 1)
    has no patches where the backbone has none to show.
    """

    where: str
    true: str
    held: str
    probability: float
    query: UInt8[np.ndarray, "height width 3"]
    before: Float[np.ndarray, " patches"]
    after: Float[np.ndarray, " patches"]
    key: Patches
    of_true: Support
    of_held: Support


def draw_mistakes(
    mistakes: Sequence[Mistaken], grid: tuple[int, int], title: tuple[str, str], path: Path, looking: str
) -> Path:
    """One band a mistake: the query, attention on it before and after fine-tuning, both on one scale, and support
    images of its class and of the one it was taken for. `looking` is what attention is called. The same arguments give
    the same bytes.
    """
    maps = MAPS if grid[0] else ()
    columns = 1 + len(maps) + max(len(one.of_true.images) + len(one.of_held.images) for one in mistakes)
    side = (WIDTH - 2 * SPACE - 2 * APART + GAP) / columns - GAP
    band = HEADING + LINE + side + LINE * bool(maps) + 2 * SPACE
    with page_at(path, TITLE + len(mistakes) * band + 2 * LINE, grid) as page:
        page.write(LETTERS + 1, title[0], weight="bold")
        page.write(LETTERS, title[1])
        page.down = TITLE
        for number, mistake in enumerate(mistakes):
            page.down = TITLE + number * band
            _band(page, mistake, maps, side)
        page.down = TITLE + len(mistakes) * band
        _legend(page, mistakes, looking if maps else "")
    return path


def _band(page: Page, mistake: Mistaken, maps: Sequence[str], side: float) -> None:
    true, held = (shortened(printable(name), 72 * NAMED, LETTERS) for name in (mistake.true, mistake.held))
    told = f"{true}, taken for {held} with a probability of {100 * mistake.probability:.1f} %: {mistake.where}"
    page.write(LETTERS, told, weight="bold")
    page.down += HEADING - LINE
    x = SPACE
    page.centred(x + side / 2, side, "query")
    for place, name in enumerate(maps, 1):
        page.centred(x + place * (side + GAP) + side / 2, side, name)
    named = page.down
    page.down += LINE
    page.image(x, side, mistake.query).spines[:].set(color=WRONG_COLOUR, linewidth=1.8)
    page.outlines(page.figure.axes[-1], mistake.key)
    x += side + GAP
    both = (mistake.before, mistake.after)[: len(maps)]
    for own, other in zip(both, reversed(both), strict=True):
        image, said = attended(mistake.query, own, other, mistake.key, "map", page.grid)
        axis = page.image(x, side, image)
        page.outlines(axis, mistake.key)
        axis.set_xlabel(said, size=SMALL, labelpad=1.5)
        x += side + GAP
    for support, name, mark, colour in (
        (mistake.of_true, mistake.true, RIGHT, RIGHT_COLOUR),
        (mistake.of_held, mistake.held, WRONG, WRONG_COLOUR),
    ):
        x += APART
        wide = len(support.images) * (side + GAP) - GAP
        top, page.down = page.down, named
        page.centred(x + wide / 2, wide, name, f"{mark} ", color=colour)
        page.down = top
        x = _supports(page, support, x, side)


def _supports(page: Page, support: Support, x: float, side: float) -> float:
    """Draws the images of one class, and returns where the next begins."""
    for i, image in enumerate(support.images):
        key, prompts = (None if one is None else one[i] for one in (support.key, support.prompts))
        page.outlines(page.image(x, side, image), key, prompts)
        x += side + GAP
    return x


def _legend(page: Page, mistakes: Sequence[Mistaken], looking: str) -> None:
    with_key = any(one.key is not None for one in mistakes)
    below = "its share on the key entity" if with_key else "the fewest patches that hold 95 % of it"
    note = f"the darker, the more {looking}, before and after fine-tuning on one scale; below: {below}"
    marks = [
        (f"{RIGHT} support of the true class", RIGHT_COLOUR),
        (f"{WRONG} support of the class that the query was taken for", WRONG_COLOUR),
    ]
    page.legend(
        SPACE,
        any(one.of_true.prompts is not None for one in mistakes),
        with_key,
        marks,
        note if looking else "",
    )
