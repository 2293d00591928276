"""The last word on a sweep: the winner and what it has to beat, chosen on validation episodes, are judged on episodes
that no trial saw.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf

import numpy as np

from fpt.registry import rows_of
from pipeline.config import BACKBONE, HyperParameters, Run, plain_run, with_backbone, with_hyper_parameters
from pipeline.session import Session
from pipeline.storage.ledger import Row
from sweeps.schema.sweep import Search, Sweep, searched_run
from sweeps.search.plan import Plan
from sweeps.search.record import SearchRecord, Trial
from sweeps.statistics.estimates import SIGNIFICANCE, Estimate, estimate, paired_difference
from sweeps.statistics.racing import in_the_race
from sweeps.statistics.rows import accuracies_of, summary
from sweeps.statistics.t_racing import in_the_race_if_symmetric
from sweeps.terminal.progress import Progress
from sweeps.verdict.calibrating import runs_with_scores, told_by_scores
from sweeps.verdict.comparing import Drawn, compare_all, harder
from sweeps.verdict.extent import Parts, about, length_of, parts_of
from sweeps.verdict.finding import (
    BASELINE,
    FROZEN,
    PROMPTED,
    TOGETHER,
    TWIN,
    Audit,
    Compared,
    Finding,
    takes_prompts,
)
from sweeps.verdict.landscape import Scored
from sweeps.verdict.yardstick import Yardsticks, choose, most_problems

AUDITED = "best of all"
OTHER_PROMPTS = {"scaled": "contrast", "contrast": "scaled"}  # judged beside the winner's where the truth is known
Rows = list[Row]  # of a setting, by episode


def problems_to_judge(sweep: Sweep, search: Search, plan: Plan) -> int:
    """Counts the problems that `judge` takes, as far as is known before the search."""
    again = 2 * sweep.final.again * sweep.final.episodes
    sure = 2 * min(sweep.final.confidence, sweep.final.episodes)
    audit = plan.rungs[-1] * search.audit * plan.racers
    return most_problems(search, plan) + audit + _most_judged(sweep, search) + again + sure


def _most_judged(sweep: Sweep, search: Search) -> int:
    """Counts the problems of the settings that are compared, as if all were different."""
    named = sum(values.get("alpha") != 0 for values in search.first.values())
    return (3 + named + 2 * sweep.final.masks + bool(sweep.final.ensemble)) * sweep.final.episodes


def judge(
    sweep: Sweep, search: Search, plan: Plan, session: Session, record: SearchRecord, progress: Progress
) -> Finding:
    """Evaluates the winner beside both yardsticks, the named first settings and the true masks.

    Raises RuntimeError where there is no winner.
    """
    winner, searched = record.winner, searched_run(sweep, search)
    step = session.sampler(searched).step
    values_of = {trial.name: trial.values for trial in record.trials}
    tried = {name: with_hyper_parameters(searched, values) for name, values in values_of.items()}
    raced = {trial.name: tried[trial.name] for trial in record.racers}
    scored = [trial for trial in record.trials if trial.score is not None]
    racers = [trial for trial in scored if trial.name in raced]
    accuracies = session.accuracies([(tried[trial.name], trial.raced) for trial in racers])
    on_validation = {trial.name: own for trial, own in zip(racers, accuracies, strict=True)}
    progress.planned = record.problems + problems_to_judge(sweep, search, plan)
    progress.note = "choosing what prompts have to beat, on validation episodes"
    yardsticks = choose(search, plan, session, searched, record)
    progress.planned += yardsticks.problems - most_problems(search, plan)
    prompted = best_with_prompts(record, tried)
    lost = prompted.values if prompted is not None and not takes_prompts(tried[winner.name]) else None
    parts = parts_of(sweep, session)
    reported = parts.first
    settings = _compared_settings(sweep, search, reported, record, yardsticks, lost)
    different = len({run.model_dump_json() for run in settings.values()})  # the winner may be one that was named
    alike = plain_run(sweep, search.split)  # validation episodes that are like those of the verdict
    asked_of = winner if prompted is None else prompted
    apart: list[HyperParameters] = [asked_of.values, yardsticks.plain, yardsticks.frozen]
    length = length_of(sweep, session, searched, alike, apart, asked_of.raced or plan.rungs[-1])
    count, problems = length.episodes, yardsticks.problems + length.problems
    progress.planned += length.problems
    progress.planned += different * count - _most_judged(sweep, search)
    progress.planned += 2 * sweep.final.again * (count - sweep.final.episodes)
    best_of_all = _best_of_all(session, raced, plan.rungs[-1], progress) if search.audit else winner.name
    if best_of_all != winner.name:
        settings[AUDITED] = with_hyper_parameters(reported, values_of[best_of_all])
        progress.planned += count
    progress.note = f"final evaluation: {different} settings on {count} unseen episodes"
    twice = {_asked(settings): _elsewhere(settings[_asked(settings)], parts)} if sweep.final.again else {}
    sure = runs_with_scores(with_hyper_parameters(alike, winner.values), settings["best"])
    most = min(sweep.final.confidence, sweep.final.episodes)
    questions: list[tuple[list[Run], range]] = [(list(them.values()), range(count)) for them in (settings, twice)]
    final, ahead, *scored_rows = session.solve_all([*questions, *(([run], range(most)) for run in sure if most)])
    rows = dict(zip(settings, final, strict=True))
    hashes = session.hashes([*settings.values(), *tried.values(), *yardsticks.runs, *length.runs])
    yardstick, asked = harder(rows), _asked(settings)
    drawn = _drawn(session, reported, rows["best"])
    compared = compare_all(settings, hashes[: len(settings)], list(rows.values()), drawn, yardstick)
    twin = None
    if compared["best"].worse and takes_prompts(settings["best"]):  # which need not be for its prompts
        progress.planned += count
        alone = with_hyper_parameters(settings["best"], {"alpha": 0})
        (own,) = session.solve([alone], [row["episode"] for row in rows["best"]])
        if len(own) == len(rows["best"]):  # none was lost since
            hashes.insert(len(settings), *session.hashes([alone]))
            settings[TWIN], rows[TWIN] = alone, own
            compared = compare_all(settings, hashes[: len(settings)], list(rows.values()), drawn, yardstick)
            twin = _beside(session, settings, rows, drawn, ("best", TWIN))
    other = _beside(session, settings, rows, drawn, (asked, BASELINE if yardstick == FROZEN else FROZEN))
    again = _again(session, settings, parts, count, dict(zip(twice, ahead, strict=True)), yardstick) if twice else {}
    by_scores = told_by_scores(session, [(run, own) for run, (own,) in zip(sure, scored_rows, strict=False)])
    hashes += session.hashes(sure) if most else []
    judged = dict(zip(hashes, map(len, rows.values()), strict=False))  # equal settings are solved once
    audit = None
    if search.audit:
        lead = _lead(rows[AUDITED], rows["best"]) if AUDITED in settings else None
        audit = Audit(settings.get(AUDITED, settings["best"]), lead, record.raced, len(raced) * plan.rungs[-1])
    whole = [on_validation[trial.name] for trial in record.whole]
    return Finding(
        record=record,
        validation=estimate(on_validation[winner.name], step),
        compared=compared,
        spent=record.problems + problems + sum(judged.values()) + _solved(again) + by_scores.problems,
        hashes=sorted({*hashes, *(one.config_hash for one in again.values())}),
        lost=session.status().lost,
        again=again[asked] if again else None,
        may_be_best=len(in_the_race(whole, plan.racers, SIGNIFICANCE)),
        best_if_symmetric=len(in_the_race_if_symmetric(whole, SIGNIFICANCE)),
        tried=tuple(
            _scored(trial, on_validation.get(trial.name, ()), on_validation[winner.name], step) for trial in scored
        ),
        audit=audit,
        yardstick=yardstick,
        other=other,
        twin=twin,
        about=about(
            sweep,
            session,
            parts,
            str(winner.values.get(BACKBONE, sweep.backbone.name)),
            len(np.unique(drawn.classes)),
            datetime.now(UTC).date().isoformat(),
        ),
        confidence=by_scores.confidence,
        mistakes=by_scores.mistakes,
    )


def _beside(
    session: Session, settings: Mapping[str, Run], rows: Mapping[str, Rows], drawn: Drawn, names: tuple[str, str]
) -> Compared:
    """Returns the first of two settings compared with the second alone."""
    pair = {name: settings[name] for name in names}
    hashes = session.hashes(list(pair.values()))
    return compare_all(pair, hashes, [rows[name] for name in names], drawn, names[1])[names[0]]


def _solved(compared: Mapping[str, Compared]) -> int:
    return sum(one.estimate.episodes for one in compared.values() if one.estimate is not None)


def _drawn(session: Session, run: Run, rows: Sequence[Row]) -> Drawn:
    sampler, way = session.sampler(run), run.episodes.way
    episodes = [sampler[row["episode"]] for row in rows]
    return Drawn(
        np.stack([sampler.classes_of(row["episode"]) for row in rows]),
        np.stack([episode.support.reshape(way, -1) for episode in episodes]),
        np.stack([episode.query.reshape(way, -1) for episode in episodes]),
        run.dataset.hold_out == "pictures",
    )


def best_with_prompts(record: SearchRecord, tried: Mapping[str, Run]) -> Trial | None:
    """Returns the most accurate of the trials with prompts that did all episodes; where none did, the one with the
    highest score; of equals the earlier. None where no trial with prompts has a score.
    """
    whole = [trial for trial in record.whole if takes_prompts(tried[trial.name])]
    scored = [trial for trial in record.trials if trial.score is not None and takes_prompts(tried[trial.name])]
    return max(whole or scored, key=lambda trial: trial.score or 0.0, default=None)


def _scored(trial: Trial, own: Sequence[float], winners: Sequence[float], step: float) -> Scored:
    """Returns a trial beside the winner: on the race's first episodes, which both did, or as the model of all looks has
    them.
    """
    assert trial.score is not None
    curve = [
        Estimate(report.accuracy, report.ci95, report.episodes)
        for report in trial.reports
        if report.accuracy is not None and report.ci95 is not None
    ]
    if not own:
        to_winner = trial.to_winner or Estimate(0.0, inf, 0)
    elif list(own) == list(winners[: len(own)]):
        to_winner = Estimate(0.0, 0.0, len(own))
    else:
        to_winner = paired_difference(own, winners[: len(own)], step)
    seconds = trial.seconds / max(1, trial.episodes)
    return Scored(trial.values, trial.score, to_winner, trial.name, tuple(curve), seconds, trial.episodes - trial.raced)


def _compared_settings(
    sweep: Sweep,
    search: Search,
    reported: Run,
    record: SearchRecord,
    yardsticks: Yardsticks,
    lost: HyperParameters | None,
) -> dict[str, Run]:
    """Returns what the final episodes judge, by name. `lost` is the best setting with prompts where the winner has
    none: whether prompts help is a question that every sweep answers.
    """
    best = with_hyper_parameters(reported, record.winner.values)
    prompted = best if lost is None else with_hyper_parameters(reported, lost)
    settings = {"best": best, BASELINE: with_hyper_parameters(reported, yardsticks.plain)}
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
        if (other := OTHER_PROMPTS.get(prompted.prompts.variant)) is not None and prompted.prompts.contrast > 0:
            settings[f"{other} prompts"] = with_hyper_parameters(prompted, {"variant": other})
    if len(members := best_together(record, sweep.final.ensemble)) > 1:
        together = (
            reported
            if BACKBONE not in record.winner.values
            else with_backbone(reported, record.winner.values[BACKBONE])
        )
        settings[TOGETHER] = together.model_copy(update={"ensemble": members})
    settings[FROZEN] = with_hyper_parameters(reported if BACKBONE in yardsticks.frozen else best, yardsticks.frozen)
    return settings


def best_together(record: SearchRecord, count: int) -> tuple[HyperParameters, ...]:
    """Returns so many of the settings that did all episodes of the race, the best of them, that adapt as much as the
    winner, on its backbone, which they leave out.
    """
    best = sorted(record.whole, key=lambda trial: -(trial.accuracy or 0.0))
    sizes = ("blocks", "embeddings", BACKBONE)
    same = [one.values for one in best if all(one.values.get(of) == record.winner.values.get(of) for of in sizes)]
    return tuple({of: value for of, value in values.items() if of != BACKBONE} for values in same[:count])


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


def _asked(settings: Mapping[str, Run]) -> str:
    """Returns the name of the setting whose difference to the yardstick is the sweep's question: with prompts, where
    any has them.
    """
    return PROMPTED if PROMPTED in settings else "best"


def _elsewhere(run: Run, parts: Parts) -> Run:
    """Returns the same configuration on episodes of the other part."""
    return run.model_copy(update={"episodes": parts.other.episodes})


def _again(
    session: Session, settings: Mapping[str, Run], parts: Parts, count: int, solved: Mapping[str, Rows], yardstick: str
) -> dict[str, Compared]:
    """Compares the best setting with prompts, which was `solved` on episodes of the other part, and the yardstick there
    once more: chance does not repeat itself.
    """
    pair = {name: _elsewhere(settings[name], parts) for name in (*solved, yardstick)}
    (ours,) = solved.values()
    (theirs,) = session.solve([pair[yardstick]], range(count))
    there = {row["episode"] for row in theirs}  # one may have been lost since
    ours = [row for row in ours if row["episode"] in there]
    drawn = _drawn(session, parts.other, ours)
    return compare_all(pair, session.hashes(list(pair.values())), [ours, theirs], drawn, yardstick)
