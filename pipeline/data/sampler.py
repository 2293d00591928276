"""The episode sampler: episode i is a pure function of (seed, i) and the classes to draw from."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from fpt.randomness import Purpose, generator
from pipeline.config import Episodes
from pipeline.data.pictures import small_in_a_part, too_few_pictures
from pipeline.data.store import SplitClasses

LEAVE_OUT = "--set dataset.small_classes=leave_out draws from the other classes"
# What an episode of a split is drawn by where splits share classes.
_BY_SPLIT: dict[str, Purpose] = {
    "base": "base pictures",
    "validation": "validation pictures",
    "novel": "novel pictures",
}


@dataclass(frozen=True)
class DrawnEpisode:
    """An episode holds rows of the image store, class by class, with labels 0 .. way - 1. Support and query are
    disjoint.
    """

    index: int
    support: Int[np.ndarray, " support"]
    labels: Int[np.ndarray, " support"]
    query: Int[np.ndarray, " query"]
    query_labels: Int[np.ndarray, " query"]


class EpisodeSampler:
    """A sampler draws `way` classes, and from each of them `shot` support and `query` query images, without repetition,
    and then `more` query images. Those of another `purpose` are other episodes.

    It raises ValueError for more ways than classes, and names a class that has too few images.
    """

    def __init__(
        self,
        classes: Mapping[str, Int[np.ndarray, " images"]],
        way: int,
        shot: int,
        query: int,
        seed: int,
        purpose: Purpose = "episode",
        more: int = 0,
    ) -> None:
        if len(classes) < 2:
            raise ValueError(
                f"episodes.shot + episodes.query must be as many images as 2 classes have but {len(classes)} have "
                f"{shot} + {query}; fpt data validate says which were left out, and what will do"
            )
        if not 2 <= way <= len(classes):
            raise ValueError(f"episodes.way must be from 2 to {len(classes)}, the classes there are, but got {way}")
        for name, rows in classes.items():
            if len(rows) < shot + query + more:
                raise ValueError(
                    f"episodes.shot + episodes.query must be at most {len(rows)}, the images of class {name!r}, "
                    f"but got {shot} + {query + more}; {LEAVE_OUT}"
                )
        self.names, self.rows = list(classes), list(classes.values())
        self.way, self.shot, self.query, self.seed, self.purpose = way, shot, query + more, seed, purpose
        self.more = more

    @property
    def step(self) -> float:
        """Returns what one query is worth: the least difference of two accuracies."""
        return 1 / (self.way * self.query)

    def classes_of(self, index: int) -> Int[np.ndarray, " way"]:
        """Returns the classes of an episode, by their place in the mapping, in the order of its labels."""
        return self._classes(generator(self.seed, index, self.purpose))

    def _classes(self, random: np.random.Generator) -> Int[np.ndarray, " way"]:
        return random.choice(len(self.rows), self.way, replace=False)

    def __getitem__(self, index: int) -> DrawnEpisode:
        random = generator(self.seed, index, self.purpose)
        classes, count = self._classes(random), self.shot + self.query - self.more
        drawn = [random.choice(self.rows[i], count, replace=False) for i in classes]
        if self.more:  # drawn last: the others are those of an episode without
            left = [np.setdiff1d(self.rows[i], own) for i, own in zip(classes, drawn, strict=True)]
            more = [random.choice(rows, self.more, replace=False) for rows in left]
            drawn = [np.concatenate(pair) for pair in zip(drawn, more, strict=True)]
        ways = np.arange(self.way)
        return DrawnEpisode(
            index,
            support=np.concatenate([rows[: self.shot] for rows in drawn]),
            labels=ways.repeat(self.shot),
            query=np.concatenate([rows[self.shot :] for rows in drawn]),
            query_labels=ways.repeat(self.query),
        )

    def outsiders(self, index: int) -> Int[np.ndarray, " outsiders"]:
        """Returns rows of pictures of other classes than an episode's: one each of as many classes as it has, or of
        all others where these are fewer.
        """
        random = generator(self.seed, index, "outsiders")
        others = np.setdiff1d(np.arange(len(self.rows)), self.classes_of(index))
        drawn = random.choice(others, min(self.way, len(others)), replace=False)
        return np.array([random.choice(self.rows[i]) for i in drawn], int)


def sampler_of(
    classes: Mapping[str, Int[np.ndarray, " images"]], wanted: Episodes, small_classes: str
) -> EpisodeSampler:
    """Returns the sampler of the wanted part of a split's classes; those with too few images are left out where
    `Dataset.small_classes` says so. Where splits share classes, those are left out that have too few in any split, so
    that all splits draw from the same ones.

    Raises ValueError as EpisodeSampler does.
    """
    least = wanted.shot + wanted.query
    if isinstance(classes, SplitClasses) and classes.parts:
        small = small_in_a_part(classes.parts, least)
        if small and small_classes == "refuse":
            said = too_few_pictures(small, wanted.shot, wanted.query)
            raise ValueError(f"{said}; {LEAVE_OUT}")
        large = part_of({name: rows for name, rows in classes.items() if name not in small}, wanted.part)
        purpose = _BY_SPLIT[classes.split]
        return EpisodeSampler(
            large, wanted.way, wanted.shot, wanted.query, wanted.seed, purpose, _more(large.values(), wanted)
        )
    parts = part_of(classes, wanted.part)
    kept = {name: rows for name, rows in parts.items() if len(rows) >= least or small_classes == "refuse"}
    more = _more(kept.values(), wanted)
    return EpisodeSampler(kept, wanted.way, wanted.shot, wanted.query, wanted.seed, more=more)


def _more(classes: Iterable[Int[np.ndarray, " images"]], wanted: Episodes) -> int:
    """Returns how many query images of each class there are beyond those that an episode must have."""
    least = wanted.shot + wanted.query
    spare = min((len(rows) for rows in classes), default=least) - least
    return max(0, min(spare, (wanted.query_up_to or 0) - wanted.query))


def part_of(classes: Mapping[str, Int[np.ndarray, " _"]], part: str) -> Mapping[str, Int[np.ndarray, " _"]]:
    """Returns the part of a split that `Episodes.part` names: halves of the classes by a digest of their names, halves
    of a class's images by one of its name and their order in the store; of an odd number the first half has one more.
    """
    if part == "all":
        return classes
    which, what = part.split()
    half = slice(None, None, 2) if which == "first" else slice(1, None, 2)
    if what == "classes":
        chosen = set(sorted(classes, key=_digest)[half])
        return {name: rows for name, rows in classes.items() if name in chosen}
    return {name: rows[sorted(_shuffled(name, len(rows))[half])] for name, rows in classes.items()}


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _shuffled(name: str, count: int) -> list[int]:
    return sorted(range(count), key=lambda place: _digest(f"{name} {place}"))
