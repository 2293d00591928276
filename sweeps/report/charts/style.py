"""One style for all charts of a sweep: read in a black-and-white print and by the colour-blind."""

from collections.abc import Callable, Sequence
from functools import wraps
from math import isfinite
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from fpt.figures.lettering import FONT, printable, shortened

# Of the Okabe-Ito palette. Whatever a colour tells, a marker, a dash or a text tells too.
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
GREY, PALE = "0.4", "0.8"
TITLE, LETTERS, SMALL, TINY = 10.0, 9.0, 8.0, 7.0  # points
DOTS = 150  # an inch
STAR = {"marker": "*", "color": VERMILION, "markeredgecolor": "black", "linestyle": "none", "zorder": 5}

SETTINGS: dict[str, Any] = {
    "font.family": FONT,
    "font.size": LETTERS,
    "axes.titlesize": TITLE,
    "axes.titlelocation": "left",
    "axes.labelsize": LETTERS,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "text.parse_math": False,  # names are no formulas, whatever $ they have
}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_style(draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Has a function draw in this style, whatever the user prefers, and leaves that as it was."""

    @wraps(draw)
    def drawing(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        from matplotlib import style

        with style.context(["default", SETTINGS]):
            return draw(*arguments, **named)

    return drawing


def new_figure(width: float, height: float) -> Any:
    """Makes a matplotlib Figure of so many inches, which finds room for its texts itself."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


@in_style
def save(figure: Any, path: Path) -> Path:
    """Writes a PNG; the same figure gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS, format="png", metadata={"Software": None})
    return path


def legend_below(figure: Any, axis: Any, columns: int = 4) -> None:
    """Says what the markers of an axis mean, below all else, where the words hide nothing."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower left", ncols=columns)


def label(name: object, width: float, size: float) -> str:
    """Writes a name in letters that there are, no wider than so many inches."""
    return shortened(printable(f"{name} "), 72 * width, size)  # of one character alone it gives the code point too


def points(value: float, ci95: float) -> str:
    """Says a difference in points, with its interval if it has one: that of a single episode has none."""
    return f"{100 * value:+.1f}" + (f" ± {100 * ci95:.1f}" if isfinite(ci95) else "")


def shades(scores: Sequence[float]) -> tuple[Any, Any, bool]:
    """Returns colours for scores, the darker the better: scale, colour map, and whether the worst share its pale end.

    A few scores far below the others would make all those look alike, so they share that end; scores within a point
    look nearly alike.
    """
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, Normalize

    best, lowest = max(scores), min(scores)
    low = max(lowest, best - 3 * (best - float(np.median(scores))))
    darker = ListedColormap(colormaps["cividis_r"](np.linspace(0.1, 1, 256)))
    return Normalize(min(low, best - 1), best), darker, low > lowest
