"""Scores of an episode's queries as few bytes, of which all that tells how sure a classifier was can be worked out."""

import numpy as np
from jaxtyping import Float

KEPT = np.dtype("<f2")  # two bytes a score: differences to the highest keep three digits
LARGEST = float(np.finfo(KEPT).max)
LEAST = float(np.finfo(KEPT).smallest_subnormal)  # that a score is kept apart from the highest by


def kept_scores(scores: Float[np.ndarray, "query way"]) -> bytes:
    """Returns by how much the score of each class is below the highest of its query, in half precision: 2 bytes each.

    That loses nothing of a softmax but a constant, and the class of the highest score, the first of equal ones, stays
    the only one at 0. Raises ValueError for scores that are not finite.
    """
    values = scores.astype(float)
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite to be kept but are not")
    below = np.minimum(values - values.max(1, keepdims=True), -LEAST)
    below[np.arange(len(values)), values.argmax(1)] = 0.0
    return bytes(np.maximum(below, -LARGEST).astype(KEPT).data)


def scores_of(content: bytes, way: int) -> Float[np.ndarray, "query way"]:
    """Returns what `kept_scores` keeps of scores of so many classes. Raises ValueError for bytes that are no rows of
    so many.
    """
    if way < 1 or len(content) % (KEPT.itemsize * way):
        raise ValueError(f"scores must be rows of {way} but have {len(content)} bytes")
    return np.frombuffer(content, KEPT).reshape(-1, way).astype(float)
