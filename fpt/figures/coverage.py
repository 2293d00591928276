"""How few patches hold most of an image's attention."""

import numpy as np
from jaxtyping import Bool, Float

COVERED = 0.95
ROUNDING = 1e-6  # of attention that was added up in float32


def smallest_cover(
    attention: Float[np.ndarray, "images patches"], share: float = COVERED
) -> Bool[np.ndarray, "images patches"]:
    """Returns the fewest patches of each image that hold at least `share` of its attention; of equal ones the first.

    As in the paper's pictures of attention. An image whose attention is not finite has none.
    """
    order = np.argsort(-attention, axis=1, kind="stable")
    held = np.take_along_axis(attention, order, 1).astype(np.float64).cumsum(1)
    enough = share * held[:, -1:] * (1 - ROUNDING)
    taken = (held - np.take_along_axis(attention, order, 1) < enough) & np.isfinite(held[:, -1:])
    cover = np.zeros(attention.shape, bool)
    np.put_along_axis(cover, order, taken, 1)
    return cover
