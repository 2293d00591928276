"""Randomness is an argument: everything random in an episode is a pure function of (seed, episode, purpose)."""

from typing import Literal

import numpy as np

Purpose = Literal["episode", "adapter", "batches"]
_CODES: dict[Purpose, int] = {"episode": 0, "adapter": 1, "batches": 2}


def generator(seed: int, episode: int, purpose: Purpose) -> np.random.Generator:
    """A counter-based generator (Philox, Salmon et al., SC 2011) with its own stream for each purpose."""
    key = np.array([seed, episode * len(_CODES) + _CODES[purpose]], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
