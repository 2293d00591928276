"""Pictures of where a fitted classifier looked: each beside itself, bright where [CLS] attention is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from fpt.classifier.fitted import Fitted
from sweeps.classifiers.reading import Batch
from sweeps.classifiers.tables import Prediction

LEAST_SIDE = 224  # pixels that a picture is shown at
DARKEST = 0.25  # of a pixel that nobody looks at


def draw_looks(fitted: Fitted, batch: Batch, rows: Sequence[Prediction], first: int, folder: Path) -> list[Path]:
    """Draws where the classifier looked in each picture of a batch, into files that begin with their number."""
    folder.mkdir(parents=True, exist_ok=True)
    attention = fitted.attention(torch.from_numpy(batch.pixels)).float().cpu().numpy()
    files = []
    for i, (path, row, pixels) in enumerate(zip(batch.paths, rows, batch.pixels, strict=True)):
        file = folder / f"{first + i:06d} {_plain(path.stem)} as {_plain(row.label)}.png"
        side_by_side(pixels, attention[i].reshape(fitted.backbone.grid)).save(file)
        files.append(file)
    return files


def side_by_side(pixels: UInt8[np.ndarray, "size size 3"], attention: Float[np.ndarray, "height width"]) -> Image.Image:
    """Returns the picture, and beside it the picture lit by attention: full where that is largest."""
    side = max(LEAST_SIDE, len(pixels))
    plain = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    light = Image.fromarray((255 * attention / attention.max()).astype(np.uint8))
    lit = np.asarray(light.resize((side, side), Image.Resampling.BILINEAR))[..., None] / 255
    shown = np.asarray(plain) * (DARKEST + (1 - DARKEST) * lit)
    both = Image.new("RGB", (2 * side, side))
    both.paste(plain, (0, 0))
    both.paste(Image.fromarray(shown.astype(np.uint8)), (side, 0))
    return both


def _plain(name: str) -> str:
    """Returns a name as a part of a file's name: letters and digits of it, 40 at most."""
    return "".join(letter if letter.isalnum() and letter.isprintable() else "-" for letter in name)[:40]
