"""What a search is going to do, as its configuration says it: how many settings are looked at, and who races."""

from dataclasses import dataclass
from math import ceil

from sweeps.schema.sweep import Search

DEFAULT_PROBLEMS, A_WORKER = 1500, 40  # or so many for each worker, where that is more
SHORT = 1000  # problems, or looks, below which a look is one episode: with two, there is half as much to write down
FEW_WORKERS = 4
ROUNDS, MANY_ROUNDS = 4, 8  # of problems that all workers solve in a rung at least: few; as many as BATCH and more
BATCH = 16  # looks of a generation: fewer are proposed on hardly more evidence, more on less
START = 1 / 3  # share of the looks that fill the space before a model proposes any
RACE = 1 / 3  # share of the problems that the race takes at most
RUNGS = (0.16, 0.24, 0.32, 0.48, 0.64, 1.0)  # of the episodes of the race


@dataclass(frozen=True)
class Plan:
    """A plan has as many looks as `generations` hold, each a setting on so many episodes (`look`) that all of its
    generation share, and then a race of at most so many settings (`racers`), which are judged after each of `rungs`,
    episodes done in all. The first generations (`filling`) fill the space.
    """

    generations: tuple[int, ...]
    racers: int
    rungs: tuple[int, ...]
    look: int = 1
    filling: int = 1

    @property
    def looks(self) -> int:
        """Returns how many looks there are."""
        return sum(self.generations)

    @property
    def problems(self) -> int:
        """Returns how many problems the search takes at most: the race stops some."""
        return self.look * self.looks + self.racers * self.rungs[-1]

    def episodes(self, generation: int) -> range:
        """Returns the episodes of a generation of looks: none of the race's."""
        first = self.rungs[-1] + self.look * generation
        return range(first, first + self.look)

    def follows_from(self, generation: int) -> int:
        """Returns how many generations must have ended before a generation of looks is proposed: all but the one
        before, which is looked at in the meantime, so that no worker waits for proposals. Those that fill the space
        follow from none; where one does, the second follows from it.
        """
        return 0 if generation < self.filling else max(1, generation - 1)


def orders_at_a_time(search: Search) -> int:
    """Returns how many orders a question makes at least: one for each worker where they are few, and share what an
    episode costs all its settings; four where they are many, of which some are late.
    """
    return search.parallel if search.parallel <= FEW_WORKERS else 4 * search.parallel


def least_problems(search: Search) -> int:
    """Returns the fewest problems that a search can take: as many looks as race, and a race of two episodes."""
    racers, last = search.finalists + len(search.first), search.rungs[-1] if search.rungs else 2
    return racers * (1 + last)


def plan_of(search: Search) -> Plan:
    """Returns the plan of a search: a third of its problems are for the race, unless it says how many looks
    (`trials`) or which `rungs`. With `more` looks the first of them stay as they are.

    Raises ValueError for problems that are fewer than what its race takes.
    """
    racers = search.finalists + len(search.first)
    problems = search.problems or max(DEFAULT_PROBLEMS, A_WORKER * search.parallel)
    look = 1 if (search.trials or problems) < SHORT else 2
    if search.rungs is not None:
        rungs = search.rungs
    else:
        race = RACE * (problems if search.trials is None else look * search.trials / (1 - RACE))
        rounds = ROUNDS if search.parallel < BATCH else MANY_ROUNDS
        rungs = _rungs(max(2, round(race) // racers), -(-rounds * search.parallel // racers))
    looks = search.trials or (problems - racers * rungs[-1]) // look
    if looks < racers:
        what, least = ("trials", racers) if search.trials else ("problems", racers * (rungs[-1] + look))
        raise ValueError(
            f"search.{what} must be at least {least} for a race of {racers} settings on {rungs[-1]} episodes but is "
            f"{search.trials or problems}; fewer search.finalists or search.rungs need fewer"
        )
    batch = search.parallel * ceil(BATCH / search.parallel) if search.parallel < BATCH else search.parallel
    start = min(looks, batch * ceil(START * looks / batch))
    filling = _batches(start, batch)
    others = (*_batches(looks - start, batch), *_batches(search.more, batch))
    return Plan((*filling, *others), racers, rungs, look, len(filling))


def _rungs(last: int, apart: int) -> tuple[int, ...]:
    """Returns the usual rungs of a race of `last` episodes, but for those that are not so far apart."""
    kept = [0]
    for share in RUNGS:
        if share == 1 or (share * last - kept[-1] >= apart and (1 - share) * last >= apart):
            kept.append(max(1, round(share * last)))
    return tuple(dict.fromkeys(kept[1:]))


def _batches(looks: int, batch: int) -> list[int]:
    return [min(batch, looks - first) for first in range(0, looks, batch)]
