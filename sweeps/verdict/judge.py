"""The last word on a sweep: winner and baseline, chosen on validation episodes, are judged on ones no trial saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

from fpt.registry import SOLVERS
from pipeline.config import HyperParameters, Run, plain_run, with_hyper_parameters
from pipeline.session import Session
from pipeline.storage.ledger import Row
from sweeps.schema.sweep import Final, Search, Sweep
from sweeps.search.proposals import Proposals
from sweeps.statistics.estimates import SURE, Estimate, estimate, holm, paired_difference, paired_p_value
from sweeps.statistics.rows import LOCALISATION, accuracies_of, summary
from sweeps.terminal.progress import Progress
from sweeps.verdict.landscape import Scored, importances

BASELINE = "no prompts"
AUDITED = "best of all"
Rows = list[Row]  # of a setting, by episode


@dataclass(frozen=True)
class Compared:
    """A setting on the final episodes. `estimate` is None where an episode failed; `difference` is to the baseline, `p`
    its two-sided paired p-value, `p_holm` the same corrected for how many settings were compared with the baseline.
    """

    name: str
    run: Run
    config_hash: str
    estimate: Estimate | None
    difference: Estimate | None
    localisation: Mapping[str, float | None]
    p: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True)
class Audit:
    """What all trials on all validation episodes would have found: a winner, its lead over the sweep's own on the
    unseen episodes (None where they are one, or one failed), and the problems that the search took and that this took.
    """

    best: Run
    lead: Estimate | None
    searched: int
    full: int


@dataclass(frozen=True)
class Finding:
    """What a sweep found. `spent` counts problems, those of the ledger included; `lost` are episodes that no worker
    survived, by name: they are left out for all settings. `again` is the winner against the baseline on the episodes of
    another seed. Of the trials that did all validation episodes (`whole`) the truly best is one of so many
    (`may_be_best`), with 95 %. `tried` are all trials that have a score.
    """

    values: HyperParameters
    validation: Estimate
    compared: dict[str, Compared]
    trials: int
    stopped: int
    spent: int
    hashes: list[str]
    lost: tuple[str, ...] = ()
    again: Compared | None = None
    whole: int = 1
    may_be_best: int = 1
    tried: tuple[Scored, ...] = ()
    importances: dict[str, float] | None = None
    audit: Audit | None = None

    @property
    def best(self) -> Compared:
        return self.compared["best"]

    @property
    def baseline(self) -> Compared:
        return self.compared[BASELINE]


def problems_to_judge(sweep: Sweep, search: Search) -> int:
    """How many `judge` takes, as far as is known before the search."""
    again = 2 * sweep.final.again * sweep.final.episodes
    return search.rungs[-1] * (1 + search.audit * search.trials) + _most_judged(sweep, search) + again


def _most_judged(sweep: Sweep, search: Search) -> int:
    """Problems of the settings that are compared, if all are different."""
    named = sum(values.get("alpha") != 0 for values in search.first.values())
    return (3 + named + sweep.final.masks) * sweep.final.episodes


def winner_of(proposals: Proposals) -> str:
    """The name of the best trial. Raises RuntimeError where no trial did all its episodes without a failure."""
    if proposals.best is None:
        raise RuntimeError("no trial did all its episodes without a failure; lower rates in search.space may help")
    return proposals.best


def judge(sweep: Sweep, search: Search, session: Session, proposals: Proposals, progress: Progress) -> Finding:
    """Evaluates the winner beside alpha = 0, the named first settings, the true masks and the frozen features.

    Raises RuntimeError where there is none.
    """
    winner = winner_of(proposals)
    searched, reported = plain_run(sweep, search.split), plain_run(sweep)
    tried = {trial: with_hyper_parameters(searched, values) for trial, values in proposals.values.items()}
    seen = {trial: reports[-1]["episodes"] for trial, reports in proposals.reports.items()}
    scored = [trial for trial in tried if trial in proposals.scores]
    accuracies = session.accuracies([(tried[trial], seen[trial]) for trial in scored])
    on_validation = dict(zip(scored, accuracies, strict=True))
    progress.planned = sum(seen.values()) + problems_to_judge(sweep, search)
    progress.note = "choosing the baseline, alpha = 0, on validation episodes"
    baseline, baseline_rows = _best_without_prompts(search, session, searched, proposals.values, winner)
    progress.planned += baseline_rows - search.rungs[-1]  # most of them are in the ledger already
    settings = _compared_settings(sweep, search, reported, proposals.values[winner], baseline)
    different = len({run.model_dump_json() for run in settings.values()})  # the winner may be one that was named
    progress.planned += different * sweep.final.episodes - _most_judged(sweep, search)
    whole = _best_of_all(session, tried, search.rungs[-1], progress) if search.audit else winner
    if whole != winner:
        settings[AUDITED] = with_hyper_parameters(reported, proposals.values[whole])
        progress.planned += sweep.final.episodes
    rows = _precise(session, settings, sweep.final, progress)
    hashes = session.hashes([*settings.values(), *tried.values()])
    again = _again(session, settings, sweep, len(rows[0])) if sweep.final.again else None
    rivals = {trial: on_validation[trial] for trial in proposals.whole if trial != winner}
    judged = dict(zip(hashes, map(len, rows), strict=False))  # equal settings are solved once
    audit = None
    if search.audit:
        lead = _lead(rows[list(settings).index(AUDITED)], rows[0]) if whole != winner else None
        best = settings.get(AUDITED, settings["best"])
        audit = Audit(best, lead, sum(seen.values()), len(tried) * search.rungs[-1])
    return Finding(
        values=proposals.values[winner],
        validation=estimate(on_validation[winner]),
        compared=compare_all(settings, hashes[: len(settings)], rows),
        trials=len(tried),
        stopped=len(tried) - len(proposals.whole),
        spent=sum(seen.values()) + baseline_rows + sum(judged.values()) + (2 * len(rows[0]) if again else 0),
        hashes=sorted({*hashes, *([again.config_hash] if again else [])}),
        lost=session.status().lost,
        again=again,
        whole=1 + len(rivals),
        may_be_best=may_be_best(on_validation[winner], list(rivals.values())),
        tried=tuple(
            Scored(
                proposals.values[trial],
                proposals.scores[trial],
                paired_difference(own, on_validation[winner][: len(own)]),
                trial,
                tuple(Estimate(one["accuracy"], one["ci95"], one["episodes"]) for one in proposals.reports[trial]),
                proposals.reports[trial][-1]["seconds_per_episode"],
            )
            for trial, own in on_validation.items()
        ),
        importances=importances(proposals.study),
        audit=audit,
    )


def _compared_settings(
    sweep: Sweep, search: Search, reported: Run, won: HyperParameters, baseline: HyperParameters
) -> dict[str, Run]:
    """What the final episodes judge, by name."""
    best = with_hyper_parameters(reported, won)
    settings = {"best": best, BASELINE: with_hyper_parameters(reported, baseline)}
    settings |= {
        name: with_hyper_parameters(reported, values)
        for name, values in search.first.items()
        if values.get("alpha") != 0
    }
    if sweep.final.masks and best.prompts.alpha > 0:
        settings["true masks"] = with_hyper_parameters(best, {"variant": "masks"})
    head = best.solver.head  # what fine-tuning starts from is the yardstick for it
    frozen = head if head in SOLVERS and not SOLVERS[head].trained else "protonet"
    settings["frozen features"] = with_hyper_parameters(best, {"name": frozen})
    return settings


def _best_of_all(session: Session, tried: Mapping[str, Run], episodes: int, progress: Progress) -> str:
    """The trial that is best on all validation episodes once all have done them; of equals the earlier."""
    progress.note = f"audit: all {len(tried)} trials on all {episodes} validation episodes"
    rows = session.solve(list(tried.values()), range(episodes))
    means = {trial: summary(own)["accuracy"] for trial, own in zip(tried, rows, strict=True)}
    whole = {trial: mean for trial, mean in means.items() if mean is not None}
    return max(whole, key=lambda trial: whole[trial])


def _lead(ours: Rows, theirs: Rows) -> Estimate | None:
    best, chosen = accuracies_of(ours), accuracies_of(theirs)
    return None if best is None or chosen is None else paired_difference(best, chosen)


def _precise(session: Session, settings: Mapping[str, Run], final: Final, progress: Progress) -> list[Rows]:
    """Rows of all settings on as many episodes as the precision that is asked for takes.

    How many follows from how the differences spread on those so far, never from their mean (Stein, Annals of
    Mathematical Statistics 1945), so that the interval keeps its 95 %.
    """
    progress.note = f"final evaluation: {len(settings)} settings on {final.episodes} unseen episodes"
    rows = session.solve(list(settings.values()), range(final.episodes))
    while final.precision is not None:
        best, baseline = (accuracies_of(rows[list(settings).index(name)]) for name in ("best", BASELINE))
        if best is None or baseline is None:
            break
        wanted = episodes_for(paired_difference(best, baseline), final)
        if wanted <= len(best):
            break
        progress.planned += len(settings) * (wanted - len(best))
        progress.note = f"final evaluation: {wanted} episodes for ± {final.precision:g} points"
        rows = session.solve(list(settings.values()), range(wanted))
        if len(rows[0]) < wanted:  # some were lost
            break
    return rows


def episodes_for(difference: Estimate, final: Final) -> int:
    """How many bring half the interval of a difference down to `final.precision`, by its spread; `final.most` at most,
    and as many as it has where that is done or cannot be known (one episode).
    """
    assert final.precision is not None
    half = 100 * difference.ci95
    if half <= final.precision:
        return difference.episodes
    if not isfinite(half):
        return min(final.most, max(2, difference.episodes))
    return min(final.most, max(difference.episodes + 1, ceil(difference.episodes * (half / final.precision) ** 2)))


def _again(session: Session, settings: Mapping[str, Run], sweep: Sweep, count: int) -> Compared:
    """Winner and baseline on the episodes of the next seed: chance does not repeat itself."""
    drawn = sweep.episodes.model_copy(update={"seed": sweep.episodes.seed + 1})
    pair = {name: settings[name].model_copy(update={"episodes": drawn}) for name in ("best", BASELINE)}
    rows = session.solve(list(pair.values()), range(count))
    hashes = session.hashes(list(pair.values()))
    return compare_all(pair, hashes, rows)["best"]


def may_be_best(winner: Sequence[float], rivals: Sequence[Sequence[float]]) -> int:
    """How many of winner and rivals are left when those go that the winner beats with confidence, on episodes that all
    have done: with 95 % the truly best is among them.

    It would be missing only if whoever wins passed a test against it that is false, a one-sided paired t test at level
    0.05 / rivals; there are as many such tests as rivals (as in racing.py).
    """
    if len(winner) < 2:
        return 1 + len(rivals)
    return 1 + sum(paired_p_value(winner, rival) / 2 >= SURE / len(rivals) for rival in rivals)


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
    runs = [with_hyper_parameters(searched, candidate) for candidate in candidates]
    rows = session.solve(runs, range(search.rungs[-1]))
    means = [summary(own)["accuracy"] or 0.0 for own in rows]
    return candidates[means.index(max(means))], sum(len(own) for own in rows)


def compare_all(settings: Mapping[str, Run], hashes: Sequence[str], rows: Sequence[Rows]) -> dict[str, Compared]:
    """Every setting beside the baseline, with p-values corrected for how many differ from it."""
    accuracies = {name: accuracies_of(own) for name, own in zip(settings, rows, strict=True)}
    hash_of, baseline = dict(zip(settings, hashes, strict=True)), accuracies[BASELINE]
    p_values = {
        hash_of[name]: paired_p_value(own, baseline)
        for name, own in accuracies.items()
        if hash_of[name] != hash_of[BASELINE] and own and baseline and len(own) > 1
    }
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    compared = {}
    for (name, own), own_rows in zip(accuracies.items(), rows, strict=True):
        metrics = summary(own_rows)
        compared[name] = Compared(
            name=name,
            run=settings[name],
            config_hash=hash_of[name],
            estimate=estimate(own) if own else None,
            difference=paired_difference(own, baseline) if own and baseline and name != BASELINE else None,
            localisation={key: metrics[key] for key in LOCALISATION},
            p=p_values.get(hash_of[name]),
            p_holm=corrected.get(hash_of[name]),
        )
    return compared
