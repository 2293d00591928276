"""How busy a search keeps the workers that its plan is for: `python -m benchmarks.search.occupancy [--workers 64]`.

A search is played through in time that is made up: its plan's generations, the orders that the dispatcher cuts them
into, what waits for what, and a race that stops nobody. A problem takes 1 on average, log-normally spread by 0.3; a
generation's proposals take 0.2.
"""

import argparse
import heapq

import numpy as np

from pipeline.config import Compute
from pipeline.dispatch.cutting import cut, parts
from sweeps.schema.space import Range
from sweeps.schema.sweep import Search
from sweeps.search.plan import Plan, orders_at_a_time, plan_of

SPREAD, PROPOSING = 0.3, 0.2
NAMED = {"no prompts": {"alpha": 0.0}, "paper defaults": {"alpha": 7.0}}


def orders(episodes: range, settings: int, parallel: int) -> list[int]:
    """Returns how many problems each order of a question has."""
    names = [f"{i:06d}" for i in range(settings)]
    pieces, part_of = cut(episodes, names, Compute().shard, parallel)
    return [len(piece.episodes) * len(part) for piece in pieces for part in parts(names, part_of, 0)]


def questions(plan: Plan, at_a_time: int) -> list[tuple[list[int], int]]:
    """Returns the orders of each generation and rung in turn, and how many of those before must have ended."""
    looks = [orders(plan.episodes(i), size, at_a_time) for i, size in enumerate(plan.generations)]
    asked = [(own, plan.follows_from(i)) for i, own in enumerate(looks)]
    for start, stop in zip((0, *plan.rungs), plan.rungs, strict=False):
        asked.append((orders(range(start, stop), plan.racers, at_a_time), len(asked)))
    return asked


def busy(search: Search, workers: int, seed: int) -> float:
    """Returns the share of the workers' time, from the first proposal to the end of the race, that they are at work."""
    rng, asked = np.random.default_rng(seed), questions(plan_of(search), orders_at_a_time(search))
    free = [0.0] * workers  # when each worker is free
    ends, worked, ended = list[float](), 0.0, list[float]()
    for own, needs in asked:  # first come, first served
        begins = max(ended[:needs], default=0.0) + PROPOSING
        last = begins
        for problems in own:
            takes = float(rng.lognormal(-(SPREAD**2) / 2, SPREAD, problems).sum())
            start = max(heapq.heappop(free), begins)
            heapq.heappush(free, start + takes)
            worked, last = worked + takes, max(last, start + takes)
        ended.append(last)
        ends.append(last)
    return worked / (workers * max(ends))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 8, 16, 64])
    parser.add_argument("--problems", type=int, nargs="+", default=[1500, 5000])
    arguments = parser.parse_args()
    print("| workers | problems | generations | busy |", "|---|---|---|---|", sep="\n")
    space = {"lr": Range(low=0.001, high=0.1, log=True)}
    for workers in arguments.workers:
        for problems in arguments.problems:
            search = Search(space=space, problems=problems, parallel=workers, first=NAMED)
            shares = [busy(search, workers, seed) for seed in range(20)]
            generations = len(plan_of(search).generations)
            print(f"| {workers} | {problems} | {generations} | {100 * float(np.median(shares)):.0f} % |")


if __name__ == "__main__":
    main()
