"""Pictures of an episode: its images, prompts and predictions, and where attention is before and after fine-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from fpt.figures.coverage import smallest_cover
from fpt.figures.lettering import FONT, printable, shortened, width_of

# Of the Okabe-Ito palette, told apart by the colour-blind: vermilion, blue, bluish green.
PROMPT_COLOUR, KEY_COLOUR, RIGHT_COLOUR = "#d55e00", "#0072b2", "#009e73"
WRONG_COLOUR = PROMPT_COLOUR
RIGHT, WRONG = "✓", "✗"
ATTENTION = ("map", "cover", "both")

# Inches: a printed page's width, and at so many dots an inch twice a README's.
WIDTH, LEFT, GAP, DOTS = 7.2, 0.74, 0.07, 250
TITLE, HEADING, LINE, SPACE = 0.36, 0.22, 0.135, 0.05
COLUMNS = (5, 8)  # fewest and most side by side
LETTERS, SMALL = 7.0, 6.5  # points
DARK, PALE = 0.2, 0.8  # what is left of an image's brightness: unlit, and at its darkest below ink
COVER_COLOUR = "#000000"  # of the border of what is lit, on white: it is seen on black pictures and on white ones
DASHES = (0, (2.2, 1.4))

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
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = [kind for kind in ATTENTION[:2] if attention in (kind, "both")] if grid[0] else []
    height = TITLE + sum(_height(part, _columns(parts), len(kinds)) for part in parts) + LINE * (1 + bool(kinds))
    with style.context("default"):  # whatever the user prefers
        figure = Figure((WIDTH, height), dpi=DOTS)
        FigureCanvasAgg(figure)
        page = _Page(figure, grid, _columns(parts))
        page.write(LETTERS + 1, title[0], weight="bold")
        page.write(LETTERS, title[1])
        page.down = TITLE
        for part in parts:
            page.draw(part, kinds)
        page.legend(parts, kinds, looking)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", pil_kwargs={"optimize": True})
    return path


def _height(part: Shown, columns: int, kinds: int) -> float:
    """Returns the height of all that `_Page.draw` draws of it."""
    each = (1 + (part.predicted is not None)) * LINE + (1 + 2 * kinds) * (_side(columns) + SPACE) + 2 * kinds * LINE
    return HEADING + ceil(part.count / columns) * (each + SPACE)


def _columns(parts: Sequence[Shown]) -> int:
    fewest, most = COLUMNS
    even = [ceil(part.count / max(1, ceil(part.count / most))) for part in parts]  # bands of a part: none much shorter
    return max(fewest, *even)


def _side(columns: int) -> float:
    """Returns the side of an image."""
    return (WIDTH - LEFT - 0.05) / columns - GAP


class _Page:
    """A figure that is filled from top to bottom; `down` inches of it are."""

    def __init__(self, figure: Any, grid: tuple[int, int], columns: int) -> None:
        self.figure, self.grid, self.columns, self.side = figure, grid, columns, _side(columns)
        self.height = float(figure.get_figheight())
        self.down = SPACE

    def write(self, size: float, text: str, **style: Any) -> None:
        self.put(SPACE, size, shortened(text, 72 * (WIDTH - 2 * SPACE), size), **style)
        self.down += LINE

    def put(self, x: float, size: float, text: str, **style: Any) -> None:
        """Writes text at `x` inches from the left; class names are no formulas, whatever $ they have."""
        placed = {"va": "baseline", "family": FONT, "parse_math": False, **style}
        y = self.down + (0.76 * size / 72 if placed["va"] == "baseline" else 0)  # accents leave names on one line
        self.figure.text(x / WIDTH, 1 - y / self.height, text, size=size, **placed)

    def draw(self, part: Shown, kinds: Sequence[str]) -> None:
        self.down += SPACE
        self.put(SPACE, LETTERS, part.heading, weight="bold")
        self.down += HEADING - SPACE
        for first in range(0, part.count, self.columns):
            self._band(part, range(first, min(first + self.columns, part.count)), kinds)
            self.down += SPACE

    def _band(self, part: Shown, chosen: range, kinds: Sequence[str]) -> None:
        self._names(part, chosen)
        self._label("prompts" if part.prompts is not None else "images")
        for column, i in enumerate(chosen):
            axis = self._axis(column, part.images[i])
            if part.predicted is not None:
                right = part.predicted[i] == part.names[i]
                axis.spines[:].set(color=RIGHT_COLOUR if right else WRONG_COLOUR, linewidth=1.8)
            self._outlines(axis, part.key, part.prompts, i)
        self.down += self.side + SPACE
        for kind in kinds:
            for when, maps in (("before", part.before), ("after", part.after)):
                self._label(f"attention\n{when}" if kind == "map" else f"patches with\n95 % {when}")
                for column, i in enumerate(chosen):
                    image, said = _attended(part, maps, i, kind, self.grid)
                    axis = self._axis(column, image)
                    if kind == "cover" and np.isfinite(maps[i]).all():
                        _outline(axis, smallest_cover(maps[i][None])[0], self.grid, COVER_COLOUR, "-", 0.8)
                    self._outlines(axis, part.key, None, i)
                    axis.set_xlabel(said, size=SMALL, labelpad=1.5)
                self.down += self.side + SPACE + LINE

    def _names(self, part: Shown, chosen: range) -> None:
        wide = 72 * (self.side + GAP / 2)
        for column, i in enumerate(chosen):
            self._centred(column, shortened(printable(part.names[i]), wide, LETTERS))
        self.down += LINE
        if part.predicted is None:
            return
        for column, i in enumerate(chosen):
            if part.predicted[i] == part.names[i]:
                self._centred(column, RIGHT, color=RIGHT_COLOUR, weight="bold")
            else:
                told = shortened(printable(part.predicted[i]), wide, LETTERS, f"{WRONG} ")
                self._centred(column, told, color=WRONG_COLOUR)
        self.down += LINE

    def _centred(self, column: int, text: str, **style: Any) -> None:
        self.put(LEFT + column * (self.side + GAP) + self.side / 2, LETTERS, text, ha="center", **style)

    def _label(self, text: str) -> None:
        """Writes what a row of images shows, left of its middle."""
        top, self.down = self.down, self.down + self.side / 2
        self.put(LEFT - 0.06, LETTERS, text, ha="right", va="center", linespacing=1.25)
        self.down = top

    def _axis(self, column: int, image: UInt8[np.ndarray, "height width 3"]) -> Any:
        """Returns an axis for an image, whose coordinates are patches."""
        place = LEFT + column * (self.side + GAP), self.height - self.down - self.side
        axis = self.figure.add_axes(
            (place[0] / WIDTH, place[1] / self.height, self.side / WIDTH, self.side / self.height)
        )
        enlarged = max(image.shape[:2]) < self.side * DOTS
        smoothed = "nearest" if enlarged else "antialiased"  # pixels with edges make half the file
        extent = 0, self.grid[1] or 1, self.grid[0] or 1, 0
        axis.imshow(image, extent=extent, aspect="auto", interpolation=smoothed)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_linewidth(0.5)
        return axis

    def _outlines(self, axis: Any, key: Patches, prompts: Patches, i: int) -> None:
        if key is not None:
            _outline(axis, key[i], self.grid, KEY_COLOUR, DASHES, 0.9)
        if prompts is not None:
            _outline(axis, prompts[i], self.grid, PROMPT_COLOUR, "-", 1.1)

    def legend(self, parts: Sequence[Shown], kinds: Sequence[str], looking: str) -> None:
        from matplotlib.lines import Line2D

        known = [
            (any(part.prompts is not None for part in parts), PROMPT_COLOUR, "-", "prompt patches"),
            (any(part.key is not None for part in parts), KEY_COLOUR, DASHES, "key entity"),
        ]
        x = LEFT
        for _, colour, dashes, name in (one for one in known if one[0]):
            y = 1 - (self.down + 0.4 * LINE) / self.height
            line = Line2D([x / WIDTH, (x + 0.25) / WIDTH], [y, y], color=colour, linestyle=dashes, linewidth=1.4)
            self.figure.add_artist(line)
            self.put(x + 0.3, SMALL, name)
            x += 0.3 + width_of(name, SMALL) / 72 + 0.2
        if any(part.predicted is not None for part in parts):
            self.put(x, SMALL, f"{RIGHT} right", color=RIGHT_COLOUR)
            x += width_of(f"{RIGHT} right", SMALL) / 72 + 0.2
            self.put(x, SMALL, f"{WRONG} wrong, and the class predicted", color=WRONG_COLOUR)
        self.down += LINE
        notes = {
            "map": f"the darker, the more {looking}, before and after on one scale",
            "cover": f"lit: the fewest patches that hold 95 % of {looking}",
        }
        if kinds:
            self.put(LEFT, SMALL, "; ".join(notes[kind] for kind in kinds))


def _attended(
    part: Shown, maps: Float[np.ndarray, "images patches"], i: int, kind: str, grid: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "height width 3"], str]:
    """Returns an image under one of its attention maps, and what is said below."""
    image, attention = part.images[i], maps[i]
    if not np.isfinite(attention).all():
        return _lit(image, np.zeros(len(attention)), grid), "not finite"
    cover = smallest_cover(attention[None])[0]
    if kind == "cover":
        return _lit(image, cover.astype(float), grid), f"{cover.sum()} of {len(cover)}"
    said = f"95 % in {cover.sum()}" if part.key is None else f"{100 * attention[part.key[i]].sum():.0f} % on key"
    return _inked(image, attention / np.nanmax([part.before[i], part.after[i]]), grid), said


def _inked(
    image: UInt8[np.ndarray, "height width 3"], weight: Float[np.ndarray, " patches"], grid: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Returns a pale grey image, in darker ink where there is more weight (0 to 1)."""
    import matplotlib

    ink = matplotlib.colormaps["BuPu"](_spread(weight, grid, image.shape))[..., :3]
    grey = image.mean(-1, keepdims=True) - image.mean(-1).min()
    inked: np.ndarray = 255 * ink * (PALE + (1 - PALE) * grey / max(grey.max(), 1))
    return inked.astype(np.uint8)


def _lit(
    image: UInt8[np.ndarray, "height width 3"], light: Float[np.ndarray, " patches"], grid: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Returns the image, dark where there is no light."""
    return (image * (DARK + (1 - DARK) * _spread(light, grid, image.shape)[..., None])).astype(np.uint8)


def _spread(
    values: Float[np.ndarray, " patches"], grid: tuple[int, int], shape: tuple[int, ...]
) -> Float[np.ndarray, "height width"]:
    """Returns for each pixel the value of its patch."""
    rows, columns = (np.arange(pixels) * patches // pixels for pixels, patches in zip(shape[:2], grid, strict=True))
    spread: np.ndarray = values.reshape(grid)[np.ix_(rows, columns)]
    return spread


def _outline(
    axis: Any, chosen: Bool[np.ndarray, " patches"], grid: tuple[int, int], colour: str, dashes: Any, width: float
) -> None:
    """Draws the border of a set of patches, on white, which parts it from images of any colour."""
    from matplotlib.collections import LineCollection

    edges = _border(chosen, grid)
    axis.add_collection(LineCollection(edges, colors="white", linewidths=width + 0.5, capstyle="projecting"))
    axis.add_collection(LineCollection(edges, colors=colour, linewidths=width, linestyles=[dashes]))


def _border(
    chosen: Bool[np.ndarray, " patches"], grid: tuple[int, int]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Returns the sides between a chosen patch and one that is not, as ends (column, row) in patches."""
    inside = np.pad(chosen.reshape(grid), 1)
    across = np.argwhere(inside[1:, 1:-1] != inside[:-1, 1:-1])
    along = np.argwhere(inside[1:-1, 1:] != inside[1:-1, :-1])
    return [((x, y), (x + 1, y)) for y, x in across.tolist()] + [((x, y), (x, y + 1)) for y, x in along.tolist()]
