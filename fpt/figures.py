"""Pictures of an episode: support images, their prompts, and where [CLS] looks before and after fine-tuning."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

PROMPT_COLOUR = "#d55e00"  # vermilion and blue of the Okabe-Ito palette, told apart by the colour-blind
KEY_COLOUR = "#0072b2"


def draw_episode(
    images: UInt8[np.ndarray, "images height width 3"],
    names: list[str],
    prompts: Bool[np.ndarray, "images patches"],
    key: Bool[np.ndarray, "images patches"] | None,
    before: Float[np.ndarray, "images patches"],
    after: Float[np.ndarray, "images patches"],
    grid: tuple[int, int],
    title: str,
    path: Path,
) -> Path:
    """One column an image, three rows: the image with its prompt patches outlined, [CLS] attention before and after.

    Attention is shown as brightness of the image, both maps of an image on one scale. The key entity's patches, where
    they are known, are outlined too.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    count = len(images)
    figure, axes = pyplot.subplots(3, count, figsize=(1.25 * count + 0.9, 4.6), squeeze=False, layout="constrained")
    labels = ("prompts", "[CLS] attention\nbefore", "[CLS] attention\nafter")
    for column in range(count):
        shown = (None, before[column], after[column])
        most = max(float(before[column].max()), float(after[column].max()))
        for row, attention in enumerate(shown):
            axis = axes[row, column]
            axis.imshow(images[column] if attention is None else _lit(images[column], attention / most, grid))
            axis.set_xticks([])
            axis.set_yticks([])
            if column == 0:
                axis.set_ylabel(labels[row], fontsize=9)
            if row == 0:
                axis.set_title(names[column], fontsize=9)
            elif key is not None:
                axis.set_xlabel(f"{100 * float(shown[row] @ key[column]):.0f} % on key", fontsize=8)
        if key is not None:
            _outline(axes[0, column], key[column], images[column].shape[:2], grid, KEY_COLOUR, "--")
        _outline(axes[0, column], prompts[column], images[column].shape[:2], grid, PROMPT_COLOUR, "-")
    handles = [Line2D([], [], color=PROMPT_COLOUR, label="prompt patches")]
    if key is not None:
        handles.append(Line2D([], [], color=KEY_COLOUR, linestyle="--", label="key entity"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    pyplot.close(figure)
    return path


def _lit(
    image: UInt8[np.ndarray, "height width 3"], light: Float[np.ndarray, " patches"], grid: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """The image, dark where there is no light."""
    height, width = image.shape[0] // grid[0], image.shape[1] // grid[1]
    spread = np.kron(light.reshape(grid), np.ones((height, width)))[..., None]
    return (image * (0.12 + 0.88 * spread)).astype(np.uint8)


def _outline(
    axis: object,
    chosen: Bool[np.ndarray, " patches"],
    size: tuple[int, ...],
    grid: tuple[int, int],
    colour: str,
    style: str,
) -> None:
    """Draws the border of a set of patches."""
    inside = np.pad(chosen.reshape(grid), 1)
    height, width = size[0] / grid[0], size[1] / grid[1]
    for row in range(grid[0] + 1):
        for column in range(grid[1] + 1):
            here = inside[row + 1, column + 1] if row < grid[0] and column < grid[1] else False
            x, y = column * width - 0.5, row * height - 0.5
            if column < grid[1] and here != inside[row, column + 1]:
                axis.plot([x, x + width], [y, y], color=colour, linestyle=style, linewidth=1.4)  # type: ignore[attr-defined]
            if row < grid[0] and here != inside[row + 1, column]:
                axis.plot([x, x], [y, y + height], color=colour, linestyle=style, linewidth=1.4)  # type: ignore[attr-defined]
