"""Into which orders a question is cut. What is asked decides, not what is still lacking nor who is there to work, so
that a rerun makes the same orders.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple


class Piece(NamedTuple):
    """A piece is some episodes of one shard."""

    shard: int
    episodes: list[int]


def cut(
    episodes: Sequence[int], configurations: Sequence[str], shard: int, parallel: int
) -> tuple[list[Piece], dict[str, int]]:
    """Returns the pieces of a question, and to which part of the configurations each belongs; an order is a piece for a
    part. There is a piece for each shard, a run of so many (`shard`) episodes. Where these are fewer than `parallel`,
    they are cut into fewer episodes, and the configurations then into parts, as even as can be: so many orders there
    are at least, or one for each problem.
    """
    shards = [list(own) for _, own in groupby(episodes, key=lambda episode: episode // shard)]
    longest, cuts = max(map(len, shards), default=1), 1
    while cuts < longest and sum(min(cuts, len(own)) for own in shards) < parallel:
        cuts += 1
    pieces = [Piece(own[0] // shard, own[first::cuts]) for own in shards for first in range(cuts) if first < len(own)]
    count = max(1, min(len(configurations), -(-parallel // max(1, len(pieces)))))
    return pieces, {name: rank * count // len(configurations) for rank, name in enumerate(configurations)}


def parts(names: Sequence[str], part_of: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Yields the configurations of each order, of those that lack the same episodes: those of one part, `most` of them
    at most, 0 for any number.
    """
    for _, group in groupby(names, key=part_of.__getitem__):
        part = list(group)
        step = most or len(part)
        yield from (part[first : first + step] for first in range(0, len(part), step))
