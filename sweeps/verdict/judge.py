"""The last word on a sweep: winner and baseline, chosen on validation episodes, are judged on episodes no trial saw."""

from collections.abc import Mapping, Sequence
from math import ceil, isfinite

from fpt.registry import SOLVERS, rows_of
from pipeline.config import HyperParameters, Run, plain_run, with_hyper_parameters
from pipeline.session import Session
from pipeline.storage.ledger import Row
from sweeps.schema.sweep import Final, Search, Sweep
from sweeps.search.record import SearchRecord, Trial
from sweeps.statistics.estimates import SIGNIFICANCE, Estimate, estimate, holm, paired_difference, paired_p_value
from sweeps.statistics.rows import LOCALISATION, accuracies_of, summary
from sweeps.terminal.progress import Progress
from sweeps.verdict.finding import BASELINE, PROMPTED, Audit, Compared, Finding, takes_prompts
from sweeps.verdict.landscape import Scored

AUDITED = "best of all"
Rows = list[Row]  # of a setting, by episode


def problems_to_judge(sweep: Sweep, search: Search) -> int:
    """Counts the problems that `judge` takes, as far as is known before the search."""
    again = 2 * sweep.final.again * sweep.final.episodes
    return search.rungs[-1] * (1 + search.audit * search.trials) + _most_judged(sweep, search) + again


def _most_judged(sweep: Sweep, search: Search) -> int:
    """Counts the problems of the settings that are compared, as if all were different."""
    named = sum(values.get("alpha") != 0 for values in search.first.values())
    return (3 + named + sweep.final.masks) * sweep.final.episodes


def judge(sweep: Sweep, search: Search, session: Session, record: SearchRecord, progress: Progress) -> Finding:
    """Evaluates the winner beside alpha = 0, the named first settings, the true masks and the frozen features.

    Raises RuntimeError where there is no winner.
    """
    winner, searched, reported = record.winner, plain_run(sweep, search.split), plain_run(sweep)
    values_of = {trial.name: trial.values for trial in record.trials}
    tried = {name: with_hyper_parameters(searched, values) for name, values in values_of.items()}
    in_search = sum(trial.episodes for trial in record.trials)
    scored = [trial for trial in record.trials if trial.score is not None]
    accuracies = session.accuracies([(tried[trial.name], trial.episodes) for trial in scored])
    on_validation = {trial.name: own for trial, own in zip(scored, accuracies, strict=True)}
    progress.planned = in_search + problems_to_judge(sweep, search)
    progress.note = "choosing the baseline, alpha = 0, on validation episodes"
    baseline, baseline_rows = _best_without_prompts(search, session, searched, record)
    progress.planned += baseline_rows - search.rungs[-1]  # most of them are in the ledger already
    prompted = best_with_prompts(record, tried)
    lost = prompted.values if prompted is not None and not takes_prompts(tried[winner.name]) else None
    settings = _compared_settings(sweep, search, reported, winner.values, baseline, lost)
    different = len({run.model_dump_json() for run in settings.values()})  # the winner may be one that was named
    progress.planned += different * sweep.final.episodes - _most_judged(sweep, search)
    best_of_all = _best_of_all(session, tried, search.rungs[-1], progress) if search.audit else winner.name
    if best_of_all != winner.name:
        settings[AUDITED] = with_hyper_parameters(reported, values_of[best_of_all])
        progress.planned += sweep.final.episodes
    rows = _precise(session, settings, sweep.final, progress)
    hashes = session.hashes([*settings.values(), *tried.values()])
    again = _again(session, settings, sweep, len(rows[0])) if sweep.final.again else {}
    judged = dict(zip(hashes, map(len, rows), strict=False))  # equal settings are solved once
    audit = None
    if search.audit:
        lead = _lead(rows[list(settings).index(AUDITED)], rows[0]) if AUDITED in settings else None
        best = settings.get(AUDITED, settings["best"])
        audit = Audit(best, lead, in_search, len(tried) * search.rungs[-1])
    rivals = [on_validation[trial.name] for trial in record.whole if trial.name != winner.name]
    return Finding(
        record=record,
        validation=estimate(on_validation[winner.name]),
        compared=compare_all(settings, hashes[: len(settings)], rows),
        spent=in_search + baseline_rows + sum(judged.values()) + (2 * len(rows[0]) if again else 0),
        hashes=sorted({*hashes, *(one.config_hash for one in again.values())}),
        lost=session.status().lost,
        again=again[_asked(settings)] if again else None,
        may_be_best=may_be_best(on_validation[winner.name], rivals),
        tried=tuple(_scored(trial, on_validation[trial.name], on_validation[winner.name]) for trial in scored),
        audit=audit,
    )


def best_with_prompts(record: SearchRecord, tried: Mapping[str, Run]) -> Trial | None:
    """Returns the most accurate of the trials with prompts that did all episodes; where none did, the one with the
    highest score; of equals the earlier. None where no trial with prompts has a score.
    """
    whole = [trial for trial in record.whole if takes_prompts(tried[trial.name])]
    scored = [trial for trial in record.trials if trial.score is not None and takes_prompts(tried[trial.name])]
    return max(whole or scored, key=lambda trial: trial.score or 0.0, default=None)


def _scored(trial: Trial, own: Sequence[float], winners: Sequence[float]) -> Scored:
    """Returns a trial beside the winner, on the first episodes, which both did."""
    assert trial.score is not None
    curve = [
        Estimate(report.accuracy, report.ci95, report.episodes)
        for report in trial.reports
        if report.accuracy is not None and report.ci95 is not None
    ]
    to_winner = paired_difference(own, winners[: len(own)])
    seconds = trial.reports[-1].seconds_per_episode
    return Scored(trial.values, trial.score, to_winner, trial.name, tuple(curve), seconds)


def _compared_settings(
    sweep: Sweep,
    search: Search,
    reported: Run,
    won: HyperParameters,
    baseline: HyperParameters,
    lost: HyperParameters | None,
) -> dict[str, Run]:
    """Returns what the final episodes judge, by name. `lost` is the best setting with prompts where the winner has
    none: whether prompts help is a question that every sweep answers.
    """
    best = with_hyper_parameters(reported, won)
    prompted = best if lost is None else with_hyper_parameters(reported, lost)
    settings = {"best": best, BASELINE: with_hyper_parameters(reported, baseline)}
    settings |= {
        name: with_hyper_parameters(reported, values)
        for name, values in search.first.items()
        if values.get("alpha") != 0
    }
    if lost is not None:
        settings[PROMPTED] = prompted
    if sweep.final.masks and takes_prompts(prompted):
        rows = rows_of(prompted.prompts.variant, prompted.prompts.rows)  # the same attention, led to the truth
        settings["true masks"] = with_hyper_parameters(prompted, {"variant": "masks", "rows": rows})
    head = best.solver.head  # what fine-tuning starts from is the yardstick for it
    frozen = head if head in SOLVERS and not SOLVERS[head].trained else "protonet"
    settings["frozen features"] = with_hyper_parameters(best, {"name": frozen, "embeddings": False})
    return settings


def _best_of_all(session: Session, tried: Mapping[str, Run], episodes: int, progress: Progress) -> str:
    """Returns the trial that is best on all validation episodes once all have done them; of equals the earlier."""
    progress.note = f"audit: all {len(tried)} trials on all {episodes} validation episodes"
    rows = session.solve(list(tried.values()), range(episodes))
    means = {trial: summary(own)["accuracy"] for trial, own in zip(tried, rows, strict=True)}
    whole = {trial: mean for trial, mean in means.items() if mean is not None}
    return max(whole, key=lambda trial: whole[trial])


def _lead(ours: Rows, theirs: Rows) -> Estimate | None:
    best, chosen = accuracies_of(ours), accuracies_of(theirs)
    return None if best is None or chosen is None else paired_difference(best, chosen)


def _precise(session: Session, settings: Mapping[str, Run], final: Final, progress: Progress) -> list[Rows]:
    """Returns rows of all settings on as many episodes as the precision that is asked for takes, of the difference
    between the best setting with prompts and the best without.

    How many follows from how the differences spread on those so far, never from their mean (Stein, Annals of
    Mathematical Statistics 1945), so that the interval keeps its 95 %.
    """
    asked = _asked(settings)
    progress.note = f"final evaluation: {len(settings)} settings on {final.episodes} unseen episodes"
    rows = session.solve(list(settings.values()), range(final.episodes))
    while final.precision is not None:
        ours, baseline = (accuracies_of(rows[list(settings).index(name)]) for name in (asked, BASELINE))
        if ours is None or baseline is None:
            break
        wanted = episodes_for(paired_difference(ours, baseline), final)
        if wanted <= len(ours):
            break
        progress.planned += len(settings) * (wanted - len(ours))
        progress.note = f"final evaluation: {wanted} episodes for ± {final.precision:g} points"
        rows = session.solve(list(settings.values()), range(wanted))
        if len(rows[0]) < wanted:  # some were lost
            break
    return rows


def episodes_for(difference: Estimate, final: Final) -> int:
    """Returns how many episodes bring half the interval of a difference down to `final.precision`, by its spread;
    `final.most` at most, and as many as it has where that is done or cannot be known (one episode).
    """
    assert final.precision is not None
    half = 100 * difference.ci95
    if half <= final.precision:
        return difference.episodes
    if not isfinite(half):
        return min(final.most, max(2, difference.episodes))
    return min(final.most, max(difference.episodes + 1, ceil(difference.episodes * (half / final.precision) ** 2)))


def _asked(settings: Mapping[str, Run]) -> str:
    """Returns the name of the setting whose difference to the baseline is the sweep's question: with prompts, where any
    has them.
    """
    return PROMPTED if PROMPTED in settings else "best"


def _again(session: Session, settings: Mapping[str, Run], sweep: Sweep, count: int) -> dict[str, Compared]:
    """Compares the best setting with prompts and the baseline on the episodes of the next seed: chance does not repeat
    itself.
    """
    drawn = sweep.episodes.model_copy(update={"seed": sweep.episodes.seed + 1})
    asked = _asked(settings)
    pair = {name: settings[name].model_copy(update={"episodes": drawn}) for name in (asked, BASELINE)}
    rows = session.solve(list(pair.values()), range(count))
    hashes = session.hashes(list(pair.values()))
    return compare_all(pair, hashes, rows)


def may_be_best(winner: Sequence[float], rivals: Sequence[Sequence[float]]) -> int:
    """Counts the winner and the rivals that it does not beat with confidence, on episodes that all have done: with 95 %
    the truly best is among them.

    It would be missing only if whoever wins passed a test against it that is false, a one-sided paired t test at level
    0.05 / rivals; there are as many such tests as rivals (as in racing.py).
    """
    if len(winner) < 2:
        return 1 + len(rivals)
    return 1 + sum(paired_p_value(winner, rival) / 2 >= SIGNIFICANCE / len(rivals) for rival in rivals)


def _best_without_prompts(
    search: Search, session: Session, searched: Run, record: SearchRecord
) -> tuple[HyperParameters, int]:
    """Returns the best setting with alpha = 0 by the search's own episodes, and how many problems that took. Candidates
    are those that were tried, and the winner without its prompts.

    Without prompts the rate is all that is left to choose, and a fair baseline has chosen it too.
    """
    twin: HyperParameters = {**record.winner.values, "alpha": 0.0}
    tried = [trial.values for trial in record.trials]
    candidates = [twin, *(values for values in tried if values.get("alpha") == 0 and values != twin)]
    runs = [with_hyper_parameters(searched, candidate) for candidate in candidates]
    rows = session.solve(runs, range(search.rungs[-1]))
    means = [summary(own)["accuracy"] or 0.0 for own in rows]
    return candidates[means.index(max(means))], sum(len(own) for own in rows)


def compare_all(settings: Mapping[str, Run], hashes: Sequence[str], rows: Sequence[Rows]) -> dict[str, Compared]:
    """Returns every setting beside the baseline, with p-values corrected for how many differ from it."""
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
