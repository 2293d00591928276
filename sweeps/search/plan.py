"""What a search is going to do, as its configuration says it: how many settings are looked at, and who races."""

from dataclasses import dataclass
from math import ceil

from sweeps.schema.sweep import Search

DEFAULT_PROBLEMS = 1500
LOOK = 2  # episodes of a look: one tells as much for its price, but there is more to write down
BATCH = 16  # looks of a generation: fewer are proposed on hardly more evidence, more on less
START = 1 / 3  # share of the looks that fill the space before a model proposes any
RACE = 1 / 3  # share of the problems that the race takes at most
RUNGS = (0.16, 0.24, 0.32, 0.48, 0.64, 1.0)  # of the episodes of the race


@dataclass(frozen=True)
class Plan:
    """A plan has as many looks as `generations` hold, each a setting on LOOK episodes that all of its generation share,
    and then a race of at most so many settings (`racers`), which are judged after each of `rungs`, episodes done in
    all.
    """

    generations: tuple[int, ...]
    racers: int
    rungs: tuple[int, ...]

    @property
    def looks(self) -> int:
        """Returns how many looks there are."""
        return sum(self.generations)

    @property
    def problems(self) -> int:
        """Returns how many problems the search takes at most: the race stops some."""
        return LOOK * self.looks + self.racers * self.rungs[-1]

    def episodes(self, generation: int) -> range:
        """Returns the episodes of a generation of looks: none of the race's."""
        first = self.rungs[-1] + LOOK * generation
        return range(first, first + LOOK)


def least_problems(search: Search) -> int:
    """Returns the fewest problems that a search can take: as many looks as race, and a race of two episodes."""
    racers, last = search.finalists + len(search.first), search.rungs[-1] if search.rungs else 2
    return racers * (LOOK + last)


def plan_of(search: Search) -> Plan:
    """Returns the plan of a search: a third of its problems are for the race, unless it says how many looks
    (`trials`) or which `rungs`. With `more` looks the first of them stay as they are.

    Raises ValueError for problems that are fewer than what its race takes.
    """
    racers = search.finalists + len(search.first)
    problems = search.problems or DEFAULT_PROBLEMS
    if search.rungs is not None:
        rungs = search.rungs
    else:
        last = max(
            2, round(RACE * (problems if search.trials is None else LOOK * search.trials / (1 - RACE))) // racers
        )
        rungs = tuple(dict.fromkeys(max(1, round(share * last)) for share in RUNGS))
    looks = search.trials or (problems - racers * rungs[-1]) // LOOK
    if looks < racers:
        what, least = ("trials", racers) if search.trials else ("problems", racers * (rungs[-1] + LOOK))
        raise ValueError(
            f"search.{what} must be at least {least} for a race of {racers} settings on {rungs[-1]} episodes but is "
            f"{search.trials or problems}; fewer search.finalists or search.rungs need fewer"
        )
    batch = search.parallel * ceil(BATCH / search.parallel) if search.parallel < BATCH else search.parallel
    start = min(looks, batch * ceil(START * looks / batch))
    return Plan((start, *_batches(looks - start, batch), *_batches(search.more, batch)), racers, rungs)


def _batches(looks: int, batch: int) -> list[int]:
    return [min(batch, looks - first) for first in range(0, looks, batch)]
