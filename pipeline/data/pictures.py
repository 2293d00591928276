"""Classes that splits share: each split holds other pictures of them, which are divided by what they show."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Division:
    """A division says how the pictures of each class are divided: by `shares`, of each split in turn, which sum to 1,
    and by a seed.
    """

    shares: tuple[tuple[str, float], ...]
    seed: int

    def sizes(self, pictures: int) -> dict[str, int]:
        """Returns how many of a class's pictures each split gets."""
        sizes, cut, upto = {}, 0, 0.0
        for split, share in self.shares:
            upto += share
            end = pictures if split == self.shares[-1][0] else round(upto * pictures)
            sizes[split], cut = end - cut, end
        return sizes

    def splits_of(self, classes: Sequence[str], contents: UInt8[np.ndarray, "pictures 16"]) -> list[str]:
        """Returns the split of each picture, whose class and digest are given; pictures of a class differ.

        The pictures of a class are ranked by a digest of (seed, content) and the ranking is cut by the shares. So
        neither names nor the order of files matter, and a picture that is added or taken away moves at most one other
        of its class over each cut.
        """
        members: dict[str, list[tuple[bytes, int]]] = {}
        for row, (name, content) in enumerate(zip(classes, contents, strict=True)):
            digest = hashlib.sha256(f"{self.seed}\0".encode() + content.tobytes()).digest()
            members.setdefault(name, []).append((digest, row))
        found = [""] * len(classes)
        for ranked in map(sorted, members.values()):
            drawn = [split for split, size in self.sizes(len(ranked)).items() for _ in range(size)]
            for (_, row), split in zip(ranked, drawn, strict=True):
                found[row] = split
        return found


def parts_of_classes(splits: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Returns how many pictures of each class every split holds, by class and split, from the number of pictures by
    split and class. Where no two splits share a class, nothing is returned.
    """
    names = dict.fromkeys(name for classes in splits.values() for name in classes)
    parts = {name: {split: splits[split].get(name, 0) for split in sorted(splits)} for name in names}
    shared = any(sum(pictures > 0 for pictures in of_class.values()) > 1 for of_class in parts.values())
    return parts if shared else {}


def small_in_a_part(parts: Mapping[str, Mapping[str, int]], least: int) -> dict[str, Mapping[str, int]]:
    """Returns the classes of which some split holds fewer than `least` pictures, those with the fewest first."""
    small = {name: of_class for name, of_class in parts.items() if min(of_class.values()) < least}
    return dict(sorted(small.items(), key=lambda one: min(one[1].values())))


def too_few_pictures(small: Mapping[str, Mapping[str, int]], shot: int, query: int) -> str:
    """Returns what is wrong, in a sentence, with classes that are too small in a split."""
    name, of_class = next(iter(small.items()))
    others = f" (other classes with too few: {len(small) - 1})" if len(small) > 1 else ""
    return (
        f"episodes.shot + episodes.query must be at most {min(of_class.values())}, as class {name!r} has "
        f"{in_parts(of_class)}{others} and episodes of each split need that many, but got {shot} + {query}"
    )


def in_parts(of_class: Mapping[str, int]) -> str:
    """Returns how many pictures of a class each split holds, in words."""
    return " and ".join(f"{pictures} pictures in {split}" for split, pictures in of_class.items())
