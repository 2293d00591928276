"""A page of images: a figure that is filled from top to bottom, in one style for all pictures of episodes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from fpt.figures.ink import outline
from fpt.figures.lettering import FONT, printable, shortened, width_of

# Of the Okabe-Ito palette, told apart by the colour-blind: vermilion, blue, bluish green.
PROMPT_COLOUR, KEY_COLOUR, RIGHT_COLOUR = "#d55e00", "#0072b2", "#009e73"
WRONG_COLOUR = PROMPT_COLOUR
RIGHT, WRONG = "✓", "✗"

# Inches: a printed page's width, and at so many dots an inch twice a README's.
WIDTH, GAP, DOTS = 7.2, 0.07, 250
LINE, SPACE = 0.135, 0.05
LETTERS, SMALL = 7.0, 6.5  # points
DASHES = (0, (2.2, 1.4))

Patches = Bool[np.ndarray, " patches"] | None


class Page:
    """A page shows images of `grid` patches; `down` inches of its height are filled."""

    def __init__(self, figure: Any, grid: tuple[int, int]) -> None:
        self.figure, self.grid = figure, grid
        self.height = float(figure.get_figheight())
        self.down = SPACE

    def write(self, size: float, text: str, **style: Any) -> None:
        """Writes a line from the left, without its middle where it is longer than the page is wide."""
        self.put(SPACE, size, shortened(text, 72 * (WIDTH - 2 * SPACE), size), **style)
        self.down += LINE

    def put(self, x: float, size: float, text: str, **style: Any) -> None:
        """Writes text at `x` inches from the left; class names are no formulas, whatever $ they have."""
        placed = {"va": "baseline", "family": FONT, "parse_math": False, **style}
        y = self.down + (0.76 * size / 72 if placed["va"] == "baseline" else 0)  # accents leave names on one line
        self.figure.text(x / WIDTH, 1 - y / self.height, text, size=size, **placed)

    def centred(self, x: float, wide: float, name: str, lead: str = "", **style: Any) -> None:
        """Writes a class name with its middle at `x`, at most `wide` inches of it."""
        self.put(x, LETTERS, shortened(printable(name), 72 * wide, LETTERS, lead), ha="center", **style)

    def image(self, x: float, side: float, image: UInt8[np.ndarray, "height width 3"]) -> Any:
        """Draws an image at `x` inches from the left, and returns its axis, whose coordinates are patches."""
        place = x / WIDTH, (self.height - self.down - side) / self.height
        axis = self.figure.add_axes((*place, side / WIDTH, side / self.height))
        enlarged = max(image.shape[:2]) < side * DOTS
        smoothed = "nearest" if enlarged else "antialiased"  # pixels with edges make half the file
        extent = 0, self.grid[1] or 1, self.grid[0] or 1, 0
        axis.imshow(image, extent=extent, aspect="auto", interpolation=smoothed)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_linewidth(0.5)
        return axis

    def outlines(self, axis: Any, key: Patches, prompts: Patches = None) -> None:
        """Draws the borders of key entity and prompts."""
        if key is not None:
            outline(axis, key, self.grid, KEY_COLOUR, DASHES, 0.9)
        if prompts is not None:
            outline(axis, prompts, self.grid, PROMPT_COLOUR, "-", 1.1)

    def legend(self, x: float, with_prompts: bool, with_key: bool, marks: Sequence[tuple[str, str]], note: str) -> None:
        """Says from `x` on what lines and `marks` (texts and their colours) mean, and below that a note."""
        from matplotlib.lines import Line2D

        left = x
        known: list[tuple[str, Any, str]] = [(PROMPT_COLOUR, "-", "prompt patches")] if with_prompts else []
        known += [(KEY_COLOUR, DASHES, "key entity")] if with_key else []
        for colour, dashes, name in known:
            y = 1 - (self.down + 0.4 * LINE) / self.height
            line = Line2D([x / WIDTH, (x + 0.25) / WIDTH], [y, y], color=colour, linestyle=dashes, linewidth=1.4)
            self.figure.add_artist(line)
            self.put(x + 0.3, SMALL, name)
            x += 0.3 + width_of(name, SMALL) / 72 + 0.2
        for text, colour in marks:
            self.put(x, SMALL, text, color=colour)
            x += width_of(text, SMALL) / 72 + 0.2
        self.down += LINE
        if note:
            self.put(left, SMALL, note)


@contextmanager
def page_at(path: Path, height: float, grid: tuple[int, int]) -> Iterator[Page]:
    """Yields an empty page of so many inches, whatever style the user prefers, and writes it as a PNG when the block
    ends. The same page gives the same bytes.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context("default"):
        figure = Figure((WIDTH, height), dpi=DOTS)
        FigureCanvasAgg(figure)
        yield Page(figure, grid)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", pil_kwargs={"optimize": True})
