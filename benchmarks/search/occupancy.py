"""How busy a search keeps the workers that its plan is for: `python -m benchmarks.search.occupancy [--workers 64]`.

A sweep is played through in time that is made up: its plan's generations, the orders that the dispatcher cuts them
into, what waits for what, and a race that stops nobody; then its verdict, step by step. A problem takes 1 on average,
log-normally spread by 0.3, one on frozen features 0.1; a generation's proposals take 0.2.
"""

import argparse
import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.config import Compute
from pipeline.dispatch.cutting import cut, parts
from sweeps.schema.space import Range
from sweeps.schema.sweep import Final, Search
from sweeps.search.plan import Plan, orders_at_a_time, plan_of
from sweeps.verdict.yardstick import RATES

SPREAD, PROPOSING, FROZEN = 0.3, 0.2, 0.1
CLASSIFIERS, JUDGED = 6, 4  # on frozen features; settings: the best, none, the paper's, and several together
NAMED = {"no prompts": {"alpha": 0.0}, "paper defaults": {"alpha": 7.0}}


class Question(NamedTuple):
    """A question has orders, each of so many problems, and comes when as many questions before it have ended."""

    orders: list[int]
    after: int
    takes: float = 1.0  # a problem


def orders(episodes: range, settings: int, parallel: int) -> list[int]:
    """Returns how many problems each order of a question has."""
    names = [f"{i:06d}" for i in range(settings)]
    pieces, part_of = cut(episodes, names, Compute().shard, parallel)
    return [len(piece.episodes) * len(part) for piece in pieces for part in parts(names, part_of, 0)]


def of_search(plan: Plan, at_a_time: int) -> list[Question]:
    """Returns the questions of a search in turn."""
    asked = [
        Question(orders(plan.episodes(i), size, at_a_time), plan.follows_from(i))
        for i, size in enumerate(plan.generations)
    ]
    for start, stop in zip((0, *plan.rungs), plan.rungs, strict=False):
        asked.append(Question(orders(range(start, stop), plan.racers, at_a_time), len(asked)))
    return asked


def of_verdict(plan: Plan, at_a_time: int, before: int) -> list[Question]:
    """Returns the questions of a verdict in turn: rates without prompts, halved at each rung, beside the first of which
    frozen features are; the final evaluation, and beside it the winner on other classes; what it has to beat there.
    """
    final, asked, left = range(Final().episodes), list[Question](), RATES + 2
    for start, stop in zip((0, *plan.rungs), plan.rungs, strict=False):
        asked.append(Question(orders(range(start, stop), left, at_a_time), before + len(asked)))
        if start == 0:
            asked.append(Question(orders(range(plan.rungs[-1]), CLASSIFIERS, at_a_time), before, FROZEN))
        left = -(-left // 2)
    chosen = before + len(asked)
    asked.append(Question(orders(final, JUDGED + Final().ensemble - 1, at_a_time), chosen))
    asked.append(Question(orders(final, 1, at_a_time), chosen))
    asked.append(Question(orders(final, 1, at_a_time), chosen + 2, FROZEN))
    return asked


def busy(asked: Sequence[Question], workers: int, seed: int) -> float:
    """Returns the share of the workers' time, from the first question to the end of the last, that they are at work."""
    rng = np.random.default_rng(seed)
    free = [0.0] * workers  # when each worker is free
    worked, ended = 0.0, list[float]()
    for question in asked:  # first come, first served
        begins = max(ended[: question.after], default=0.0) + PROPOSING
        last = begins
        for problems in question.orders:
            takes = question.takes * float(rng.lognormal(-(SPREAD**2) / 2, SPREAD, problems).sum())
            start = max(heapq.heappop(free), begins)
            heapq.heappush(free, start + takes)
            worked, last = worked + takes, max(last, start + takes)
        ended.append(last)
    return worked / (workers * max(ended))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 8, 16, 64, 256])
    parser.add_argument("--problems", type=int, nargs="+", default=[1500, 5000, 20000])
    arguments = parser.parse_args()
    print(
        "| workers | problems of the search | generations | busy: search | whole sweep |",
        "|---|---|---|---|---|",
        sep="\n",
    )
    space = {"lr": Range(low=0.001, high=0.1, log=True)}
    for workers in arguments.workers:
        for problems in arguments.problems:
            search = Search(space=space, problems=problems, parallel=workers, first=NAMED)
            plan, at_a_time = plan_of(search), orders_at_a_time(search)
            asked = of_search(plan, at_a_time)
            whole = [*asked, *of_verdict(plan, at_a_time, len(asked))]
            shares = [
                f"{100 * float(np.median([busy(them, workers, seed) for seed in range(20)])):.0f} %"
                for them in (asked, whole)
            ]
            print(f"| {workers} | {problems} | {len(plan.generations)} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
