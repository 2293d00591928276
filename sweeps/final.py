"""The last word on a sweep: winner and baseline, chosen on validation episodes, are judged on ones no trial saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from pipeline.config import FROZEN, HyperParameters, Run, plain_run, with_hyper_parameters
from pipeline.session import Session
from sweeps.config import Search, Sweep
from sweeps.progress import Progress
from sweeps.proposals import Proposals
from sweeps.statistics import Estimate, estimate, paired_difference
from sweeps.trial import LOCALISATION, summary

BASELINE = "no prompts"


@dataclass(frozen=True)
class Compared:
    """A setting on the final episodes. `estimate` is None where an episode failed; `difference` is to the baseline."""

    name: str
    run: Run
    config_hash: str
    estimate: Estimate | None
    difference: Estimate | None
    localisation: Mapping[str, float | None]


@dataclass(frozen=True)
class Finding:
    """What a sweep found. `spent` counts problems, those of the ledger included; `lost` are episodes that no worker
    survived, by name: they are left out for all settings.
    """

    values: HyperParameters
    validation: Estimate
    compared: dict[str, Compared]
    trials: int
    stopped: int
    spent: int
    hashes: list[str]
    lost: tuple[str, ...] = ()

    @property
    def best(self) -> Compared:
        return self.compared["best"]

    @property
    def baseline(self) -> Compared:
        return self.compared[BASELINE]


def judge(sweep: Sweep, search: Search, session: Session, proposals: Proposals, progress: Progress) -> Finding:
    """Evaluates the winner beside alpha = 0, the named first settings, the true masks and the frozen features.

    Raises RuntimeError where no trial did all its episodes without a failure.
    """
    order = sorted(proposals.reports, key=lambda trial: [int(part) for part in trial.split(".")])
    scores = {
        trial: proposals.reports[trial][-1]["accuracy"]
        for trial in order
        if proposals.reports[trial][-1]["rung"] == len(search.rungs)
        and proposals.reports[trial][-1]["accuracy"] is not None
    }
    if not scores:
        raise RuntimeError("no trial did all its episodes without a failure; lower rates in search.space may help")
    winner = max(scores, key=lambda trial: scores[trial])
    searched, reported = plain_run(sweep, search.split), plain_run(sweep)
    tried = [with_hyper_parameters(searched, proposals.values[trial]) for trial in order]
    progress.note = "choosing the baseline, alpha = 0, on validation episodes"
    baseline, baseline_rows = _best_without_prompts(search, session, searched, proposals.values, winner)
    progress.planned += baseline_rows  # most of them are in the ledger already
    best = with_hyper_parameters(reported, proposals.values[winner])
    settings = {"best": best, BASELINE: with_hyper_parameters(reported, baseline)}
    settings |= {
        name: with_hyper_parameters(reported, values)
        for name, values in search.first.items()
        if values.get("alpha") != 0
    }
    if sweep.final.masks and best.prompts.alpha > 0:
        settings["true masks"] = with_hyper_parameters(best, {"variant": "masks"})
    head = best.solver.head  # what fine-tuning starts from is the yardstick for it
    settings["frozen features"] = with_hyper_parameters(best, {"name": head if head in FROZEN else "protonet"})
    progress.note = f"final evaluation: {len(settings)} settings on {sweep.final.episodes} unseen episodes"
    rows = _solve(session, list(settings.values()), sweep.final.episodes)
    hashes = ray.get(session.dispatcher.hashes_of.remote([*settings.values(), *tried]))
    compared = {
        name: _compare(name, settings[name], hashes[i], rows[i], rows[list(settings).index(BASELINE)])
        for i, name in enumerate(settings)
    }
    best_rows = _solve(session, [with_hyper_parameters(searched, proposals.values[winner])], search.rungs[-1])[0]
    spent = sum(proposals.reports[trial][-1]["episodes"] for trial in order)
    return Finding(
        values=proposals.values[winner],
        validation=estimate([row["accuracy"] for row in best_rows]),
        compared=compared,
        trials=len(order),
        stopped=len(order) - len(scores),
        spent=spent + baseline_rows + sum(len(own) for own in rows),
        hashes=sorted(set(hashes)),
        lost=tuple(ray.get(session.dispatcher.status.remote())["lost"]),
    )


def _best_without_prompts(
    search: Search, session: Session, searched: Run, values: Mapping[str, HyperParameters], winner: str
) -> tuple[HyperParameters, int]:
    """The best alpha = 0 by the search's own episodes: those that were tried, and the winner without its prompts.

    Without prompts the rate is all that is left to choose, and a fair baseline has chosen it too. Also returns how many
    problems that took.
    """
    twin: HyperParameters = {**values[winner], "alpha": 0.0}
    candidates: list[HyperParameters] = [twin]
    candidates += [tried for tried in values.values() if tried.get("alpha") == 0 and tried != twin]
    rows = _solve(session, [with_hyper_parameters(searched, candidate) for candidate in candidates], search.rungs[-1])
    means = [summary(own)["accuracy"] or 0.0 for own in rows]
    return candidates[means.index(max(means))], sum(len(own) for own in rows)


def _solve(session: Session, runs: Sequence[Run], episodes: int) -> list[list[dict[str, Any]]]:
    rows: list[list[dict[str, Any]]] = ray.get(session.dispatcher.solve.remote(list(runs), list(range(episodes))))
    return rows


def _compare(
    name: str, run: Run, config_hash: str, rows: list[dict[str, Any]], baseline: list[dict[str, Any]]
) -> Compared:
    failed = any(row["failed"] for row in rows)
    accuracies = [row["accuracy"] for row in rows]
    paired = not failed and not any(row["failed"] for row in baseline) and name != BASELINE
    metrics = summary(rows)
    return Compared(
        name=name,
        run=run,
        config_hash=config_hash,
        estimate=None if failed else estimate(accuracies),
        difference=paired_difference(accuracies, [row["accuracy"] for row in baseline]) if paired else None,
        localisation={key: metrics[key] for key in LOCALISATION},
    )
