"""What the winner mistakes for what on novel episodes: pairs of classes, single classes, and the surest mistakes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sweeps.statistics.estimates import Estimate, estimate

TOLD = 10  # of each kind
LEAST_EPISODES = 8  # that a class was in, below which nothing is told of it


@dataclass(frozen=True)
class Pair:
    """Of `asked` queries of class `true` in episodes that had the class `held` too, so many were `mistaken` for it."""

    true: str
    held: str
    mistaken: int
    asked: int


@dataclass(frozen=True)
class OfClass:
    """A class had this share of its queries right, with an interval over the episodes that it was in."""

    name: str
    right: Estimate


@dataclass(frozen=True)
class Mistake:
    """In an episode, query number `query` of class `true`, from 0 on, was held to be of class `held`, with this
    probability.
    """

    episode: int
    query: int
    true: str
    held: str
    probability: float


@dataclass(frozen=True)
class Mistakes:
    """These are the pairs that are mistaken most often, the classes that are right least often, and the mistakes of
    the highest probability, the worst of each first.
    """

    pairs: tuple[Pair, ...]
    classes: tuple[OfClass, ...]
    surest: tuple[Mistake, ...]


def mistakes_of(
    names: Sequence[str],
    episodes: Sequence[int],
    drawn: Int[np.ndarray, "episodes way"],
    probabilities: Float[np.ndarray, "episodes query way"],
) -> Mistakes:
    """Returns what was mistaken in some episodes, whose queries lie class by class. `names` are those of the classes,
    which `drawn` counts by.
    """
    count, queries, way = probabilities.shape
    label = np.arange(way).repeat(queries // way)
    held = probabilities.argmax(-1)
    true_class, held_class = drawn[:, label], np.take_along_axis(drawn, held, 1)
    right = held == label
    return Mistakes(
        _pairs(names, drawn, true_class[~right], held_class[~right], queries // way),
        _classes(names, drawn, right.reshape(count, way, -1)),
        _surest(names, episodes, (true_class, held_class), probabilities.max(-1), right),
    )


def _pairs(
    names: Sequence[str], drawn: np.ndarray, true: Int[np.ndarray, " mistakes"], held: np.ndarray, each: int
) -> tuple[Pair, ...]:
    counted = Counter(zip(true.tolist(), held.tolist(), strict=True))
    worst = sorted(counted, key=lambda pair: (-counted[pair], pair))[:TOLD]
    together = [int(((drawn == one).any(1) & (drawn == other).any(1)).sum()) for one, other in worst]
    return tuple(
        Pair(names[one], names[other], counted[one, other], each * episodes)
        for (one, other), episodes in zip(worst, together, strict=True)
    )


def _classes(
    names: Sequence[str], drawn: np.ndarray, right: Bool[np.ndarray, "episodes way each"]
) -> tuple[OfClass, ...]:
    shares, step = right.mean(-1), 1 / right.shape[-1]
    of_class = {int(one): shares[drawn == one] for one in np.unique(drawn)}
    known = {one: own for one, own in of_class.items() if len(own) >= LEAST_EPISODES}
    worst = sorted(known, key=lambda one: (known[one].mean(), one))[:TOLD]
    return tuple(OfClass(names[one], estimate(known[one], step)) for one in worst)


def _surest(
    names: Sequence[str],
    episodes: Sequence[int],
    classes: tuple[np.ndarray, np.ndarray],
    highest: Float[np.ndarray, "episodes query"],
    right: Bool[np.ndarray, "episodes query"],
) -> tuple[Mistake, ...]:
    true, held = classes
    each = (highest.shape[1]) // len(np.unique(true[0]))
    order = np.argsort(-np.where(right, -1, highest), axis=None, kind="stable")[: min(TOLD, int((~right).sum()))]
    places = [divmod(int(place), highest.shape[1]) for place in order]
    return tuple(
        Mistake(episodes[i], j % each, names[true[i, j]], names[held[i, j]], float(highest[i, j])) for i, j in places
    )
