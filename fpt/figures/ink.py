"""Attention and sets of patches on an image: in ink, in light, and by their borders."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from fpt.figures.coverage import smallest_cover

DARK, PALE = 0.2, 0.8  # what is left of an image's brightness: unlit, and at its darkest below ink


def attended(
    image: UInt8[np.ndarray, "height width 3"],
    attention: Float[np.ndarray, " patches"],
    other: Float[np.ndarray, " patches"],
    key: Bool[np.ndarray, " patches"] | None,
    kind: str,
    grid: tuple[int, int],
) -> tuple[UInt8[np.ndarray, "height width 3"], str]:
    """Returns an image under a map of attention, and what is said below. A "map" is in ink, on one scale with the
    `other` map of the image; of a "cover" the fewest patches that hold 95 % are lit.
    """
    if not np.isfinite(attention).all():
        return lit(image, np.zeros(len(attention)), grid), "not finite"
    cover = smallest_cover(attention[None])[0]
    if kind == "cover":
        return lit(image, cover.astype(float), grid), f"{cover.sum()} of {len(cover)}"
    said = f"95 % in {cover.sum()}" if key is None else f"{100 * attention[key].sum():.0f} % on key"
    return inked(image, attention / np.nanmax([attention, other]), grid), said


def inked(
    image: UInt8[np.ndarray, "height width 3"], weight: Float[np.ndarray, " patches"], grid: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Returns a pale grey image, in darker ink where there is more weight (0 to 1)."""
    import matplotlib

    ink = matplotlib.colormaps["BuPu"](_spread(weight, grid, image.shape))[..., :3]
    grey = image.mean(-1, keepdims=True) - image.mean(-1).min()
    drawn: np.ndarray = 255 * ink * (PALE + (1 - PALE) * grey / max(grey.max(), 1))
    return drawn.astype(np.uint8)


def lit(
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


def outline(
    axis: Any, chosen: Bool[np.ndarray, " patches"], grid: tuple[int, int], colour: str, dashes: Any, width: float
) -> None:
    """Draws the border of a set of patches, on white, which parts it from images of any colour."""
    from matplotlib.collections import LineCollection

    edges = border(chosen, grid)
    axis.add_collection(LineCollection(edges, colors="white", linewidths=width + 0.5, capstyle="projecting"))
    axis.add_collection(LineCollection(edges, colors=colour, linewidths=width, linestyles=[dashes]))


def border(
    chosen: Bool[np.ndarray, " patches"], grid: tuple[int, int]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Returns the sides between a chosen patch and one that is not, as ends (column, row) in patches."""
    inside = np.pad(chosen.reshape(grid), 1)
    across = np.argwhere(inside[1:, 1:-1] != inside[:-1, 1:-1])
    along = np.argwhere(inside[1:-1, 1:] != inside[1:-1, :-1])
    return [((x, y), (x + 1, y)) for y, x in across.tolist()] + [((x, y), (x, y + 1)) for y, x in along.tolist()]
