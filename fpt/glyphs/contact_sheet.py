"""A contact sheet of scenes: `python -m fpt.glyphs.contact_sheet FILE`. One row a class, its key glyph outlined."""

import sys
from pathlib import Path

import numpy as np

from fpt.glyphs.characters import characters
from fpt.glyphs.scenes import scene


def contact_sheet(path: Path, split: str = "novel", classes: int = 5, scenes: int = 8) -> Path:
    """Draws scenes of classes spread over a split."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(classes, scenes, figsize=(scenes, classes), layout="constrained", squeeze=False)
    for row, class_index in enumerate(np.linspace(0, len(characters(split)) - 1, classes + 2)[1:-1].astype(int)):
        for column in range(scenes):
            drawn, axis = scene(split, int(class_index), column), axes[row, column]
            axis.imshow(drawn.image)
            ink_rows, ink_columns = np.nonzero(drawn.mask)
            top, left = ink_rows.min() - 2, ink_columns.min() - 2
            height, width = np.ptp(ink_rows) + 4, np.ptp(ink_columns) + 4
            axis.add_patch(pyplot.Rectangle((left, top), width, height, fill=False, edgecolor="white", linewidth=1))
            axis.set_xticks([])
            axis.set_yticks([])
            if column == 0:
                axis.set_ylabel(f"U+{ord(drawn.glyphs[drawn.key]):04X}", fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


if __name__ == "__main__":
    print(contact_sheet(Path(sys.argv[1])))
