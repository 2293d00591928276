"""Randomness is an argument: everything random in an episode is a pure function of (seed, episode, purpose)."""

from typing import Literal

import numpy as np

Purpose = Literal[
    "episode", "adapter", "batches", "head", "outsiders", "base pictures", "validation pictures", "novel pictures"
]
# Place in the key, then in the counter: a further purpose must leave alone the streams that results were drawn from.
_CODES: dict[Purpose, tuple[int, int]] = {
    "episode": (0, 0),
    "adapter": (1, 0),
    "batches": (2, 0),
    "head": (0, 1),
    "outsiders": (1, 1),
    # an episode of each split, where splits share classes: the same index would draw the same classes in all of them
    "base pictures": (0, 2),
    "validation pictures": (1, 2),
    "novel pictures": (2, 2),
}
_PLACES = 3


def generator(seed: int, episode: int, purpose: Purpose) -> np.random.Generator:
    """Returns a counter-based generator (Philox, Salmon et al., SC 2011) with a stream of its own for each purpose."""
    place, counter = _CODES[purpose]
    key = np.array([seed, episode * _PLACES + place], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, counter], np.uint64)))
