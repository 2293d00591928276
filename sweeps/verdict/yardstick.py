"""What prompts have to beat: the best that is known without them, chosen on the search's own episodes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fpt.registry import SOLVERS
from pipeline.config import BACKBONE, HyperParameters, Run, with_hyper_parameters
from pipeline.session import Session
from pipeline.storage.ledger import Row
from sweeps.schema.space import Range, backbones_of, dimensions
from sweeps.schema.sweep import Search
from sweeps.search.backbones import frozen_classifiers
from sweeps.search.plan import Plan
from sweeps.search.record import SearchRecord
from sweeps.statistics.halving import halving
from sweeps.statistics.rows import summary

RATES = 16  # more, over so few decades, are closer than a rate needs to be
SINGLE = 1e-9  # share of candidates that is left in the end: one
BELOW = 10.0  # times lower than the search's are the lowest rates


@dataclass(frozen=True)
class Yardsticks:
    """Yardsticks are the best setting without prompts, fine-tuned like the winner, and the best classifier on frozen
    features. They were chosen among `runs`, which took so many `problems`.
    """

    plain: HyperParameters
    frozen: HyperParameters
    problems: int
    runs: tuple[Run, ...] = ()


def candidates(search: Search, searched: Run, record: SearchRecord) -> list[HyperParameters]:
    """Returns settings without prompts, of which the best is one yardstick: the winner without its prompts; the
    settings without prompts that raced; and the winner at RATES rates, from a tenth of the lowest that it may try to
    the highest, and at 0, the head that fine-tuning starts from. All of these are on each backbone of the space, for
    what prompts have to beat is the best that is known without them.

    Without prompts a rate is most of what is left to choose, and it has been looked for as hard as the winner's own.
    """
    twin: HyperParameters = {**record.winner.values, "alpha": 0.0}
    twins: list[HyperParameters] = [{**twin, BACKBONE: one} for one in backbones_of(search.space)] or [twin]
    tried = [trial.values for trial in record.racers if trial.values.get("alpha") == 0]
    solver = with_hyper_parameters(searched, twin).solver.name
    rates: list[HyperParameters] = []
    known = dimensions(search.space, solver).get("lr")
    if known is not None and isinstance(known[1], Range):
        lowest, highest = known[1].low / BELOW, known[1].high
        steps = np.geomspace(lowest, highest, RATES)
        rates = [{**one, "lr": float(f"{rate:.3g}")} for one in twins for rate in steps]
    if SOLVERS[solver].trained:
        rates += [{**one, "epochs": 0} for one in twins]
    different = {
        with_hyper_parameters(searched, values).model_dump_json(): values for values in (*rates, *tried, *twins, twin)
    }
    return list(reversed(different.values()))  # of equals the earlier is taken: what was tried, not what was made up


def most_problems(search: Search, plan: Plan) -> int:
    """Counts the problems that choosing yardsticks takes, as far as is known before a search."""
    frozen, places = len(frozen_classifiers(search.space)), max(1, len(backbones_of(search.space)))
    left, total, done = (RATES + 2) * places, 0, 0
    for rung in plan.rungs:
        total += left * (rung - done)
        left, done = max(1, -(-left // 2)), rung
    return total + frozen * plan.rungs[-1]


def choose(search: Search, plan: Plan, session: Session, searched: Run, record: SearchRecord) -> Yardsticks:
    """Returns the yardsticks: of all candidates the better half goes on after each rung of the race; every classifier
    on frozen features does all its episodes, while the candidates do those of the first rung.
    """
    settings = candidates(search, searched, record)
    frozen = frozen_classifiers(search.space)
    tried, beside = ([with_hyper_parameters(searched, one) for one in them] for them in (settings, frozen))
    first, rows = session.solve_all([(tried, range(plan.rungs[0])), (beside, range(plan.rungs[-1]))])
    best, problems = _best(tried, first, plan.rungs, session)
    means = [summary(own)["accuracy"] or 0.0 for own in rows]
    chosen = frozen[means.index(max(means))]
    return Yardsticks(settings[best], chosen, problems + sum(map(len, rows)), (*tried, *beside))


def _best(
    tried: Sequence[Run], rows: Sequence[Sequence[Row]], rungs: Sequence[int], session: Session
) -> tuple[int, int]:
    """Returns the place of the best, and how many problems that took; `rows` are those of the first rung."""
    left = {f"0.{place}": place for place in range(len(tried))}
    accuracies: dict[str, list[float | None]] = {name: [] for name in left}
    problems = 0
    for rung, done in enumerate(rungs):
        if rung > 0:
            rows = session.solve([tried[place] for place in left.values()], range(rungs[rung - 1], done))
        problems += sum(map(len, rows))
        accuracies = {
            name: [*accuracies[name], *(row["accuracy"] for row in own)] for name, own in zip(left, rows, strict=True)
        }
        goes_on = halving(0.5 if rung < len(rungs) - 1 else SINGLE)(rung, accuracies)
        left = {name: left[name] for name in left if name in goes_on} or left
    return next(iter(left.values())), problems
