"""A sweep from end to end: checks, search, final evaluation, report."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fpt.phases import phase
from pipeline.checks import check_run
from pipeline.config import BACKBONE, HyperParameters, Run, plain_run, with_hyper_parameters
from pipeline.dispatch.generations import StoppingRule
from pipeline.dispatch.status import Status
from pipeline.limits import check_weights, limits_of
from pipeline.opening import open_session
from pipeline.session import Session
from pipeline.storage.folder import Home
from pipeline.storage.ledger import Ledger
from pipeline.storage.locking import held_alone
from pipeline.storage.masking import without_secrets
from sweeps.gate.ready import say_ready
from sweeps.lookup.duration import Foreseen, foreseen, kind_of
from sweeps.report.backbones import in_a_note, tags_of_backbones, told_of
from sweeps.report.text import as_markdown
from sweeps.schema.identity import NOT_OF_A_SWEEP, sweep_identity
from sweeps.schema.space import backbones_of, check_space, corners, in_patches, shared
from sweeps.schema.sweep import Search, Sweep, searched_run
from sweeps.search.backbones import about_backbone, narrowed, race_backbones, runs_of
from sweeps.search.earlier import with_earlier
from sweeps.search.pace import in_problems
from sweeps.search.plan import RUNGS, Plan, orders_at_a_time, plan_of
from sweeps.search.tuning import search_settings
from sweeps.statistics.estimates import numbers
from sweeps.statistics.halving import halving
from sweeps.statistics.racing import racing
from sweeps.statistics.t_racing import t_racing
from sweeps.terminal.messages import say
from sweeps.terminal.progress import Progress, shown
from sweeps.terminal.spans import about
from sweeps.terminal.story import story_written
from sweeps.tracking.fields import Data, check_registrable, compute_tags, data_of, parameters_of_sweep, tags_of
from sweeps.tracking.node_metrics import watched
from sweeps.tracking.provenance import code_tags, environment_tags
from sweeps.tracking.reading import check_tracking
from sweeps.tracking.recording import recorded
from sweeps.tracking.store import tracking_uri
from sweeps.tracking.tracker import Tracker
from sweeps.tracking.views import arrangement
from sweeps.verdict.extent import parts_of
from sweeps.verdict.finding import BASELINE, FROZEN, Finding
from sweeps.verdict.judge import judge, problems_to_judge
from sweeps.verdict.proven import rows_behind

if TYPE_CHECKING:
    from sweeps.report.charts.album import Picture


def check_sweep(sweep: Sweep) -> Search:
    """Returns the search of a sweep. Raises ValueError, in one sentence, for everything that can be known to be wrong
    before anything is written.
    """
    search = sweep.search
    if search is None:
        raise ValueError("search must be in CONFIG for a sweep but is missing")
    if search.split == sweep.episodes.split:
        raise ValueError(
            f"search.split must differ from episodes.split, or the winner is judged on classes it was chosen by, "
            f"but both are {search.split!r}"
        )
    check_space(search.space, sweep.solver.name)
    plan_of(search)
    for label, run in runs_of(sweep).items():
        with about_backbone(label):
            searched = searched_run(run, search)
            check_run(searched, "search.split")
            check_run(run)
            for values in corners(search.space, sweep.solver.name):
                own = {name: value for name, value in values.items() if name != BACKBONE}
                _check_setting(searched, own, {name: f"search.space.{name}" for name in search.space})
            for name, values in search.first.items():
                if values.get(BACKBONE, label) == label:
                    own = {of: value for of, value in values.items() if of != BACKBONE}
                    _check_setting(searched, own, dict.fromkeys(own, f"search.first.{name}"))
    if sweep.fit.support is not None:
        from sweeps.classifiers.winner import check_support  # torch, which nothing else here waits for

        check_support(sweep)
    if sweep.tracking.registers:
        check_registrable(sweep.name)
    check_tracking(tracking_uri(sweep), sweep.name)
    for label, run in runs_of(sweep).items():
        with about_backbone(label):
            check_weights(run)
    return search


def _check_setting(run: Run, values: HyperParameters, places: Mapping[str, str]) -> None:
    """Raises ValueError for a setting that the backbone or the data set cannot serve, naming where it stands: `places`
    are those of hyper-parameters.
    """
    try:
        check_run(with_hyper_parameters(run, values))
    except ValueError as error:
        named = re.match(r"(?:prompts|solver)\.(\w+) ", str(error))
        if named is None or named[1] not in places:
            raise
        hint = "; {low: 0.02, high: 0.2, share: true} stands for shares of them" if named[1] == "patches" else ""
        raise ValueError(f"{places[named[1]]}: {error}{hint if 'space' in places[named[1]] else ''}") from error


def with_shares_in_patches(sweep: Sweep) -> Sweep:
    """Returns the sweep with ranges of shares as ranges of its backbone's patches, of the fewest that any of several
    has: these are searched and recorded, and tell one sweep from another.
    """
    search = sweep.search
    if search is None or not shared(search.space):
        return sweep
    patches = []
    for label, run in runs_of(sweep).items():
        with about_backbone(label):
            patches.append(limits_of(run).patches)
    space = in_patches(search.space, min(patches))
    return sweep.model_copy(update={"search": search.model_copy(update={"space": space})})


def stopping_rule(search: Search) -> StoppingRule:
    """Returns the rule by which trials go on after a rung, as the search wants it."""
    if search.stop == "halving":
        return halving(search.keep)
    plan = plan_of(search)
    if search.stop == "racing":
        return racing(plan.racers, search.delta)
    rungs = len(RUNGS if search.minutes else plan.rungs)  # how many fit into the minutes is not known yet
    return t_racing(plan.racers, max(1, rungs - 1), search.delta)


def planned_problems(sweep: Sweep, search: Search, plan: Plan) -> int:
    """Returns how many (setting, episode) problems a sweep has, as far as is known before it runs; a race stops some
    more.
    """
    keep = halving(search.keep) if search.stop == "halving" else lambda rung, left: set(left)
    left: dict[str, list[float | None]] = {f"0.{i}": [0.0] for i in range(plan.racers)}
    total = plan.problems - plan.racers * plan.rungs[-1]
    for rung, (start, stop) in enumerate(zip((0, *plan.rungs), plan.rungs, strict=False)):
        if rung > 0:
            left = {trial: left[trial] for trial in keep(rung, left)}
        total += len(left) * (stop - start)
    return total + problems_to_judge(sweep, search, plan)


def run_sweep(sweep: Sweep, address: str | None) -> tuple[Finding, dict[str, str], Status]:
    """Runs a sweep, or goes on with it where the same command stopped. Returns what it found, where MLflow and the
    report have it, and what the dispatcher says of the work.

    Raises ValueError for bad input, before anything is written.
    """
    with phase("checks"):
        sweep = with_shares_in_patches(sweep)
        search = check_sweep(sweep)
        home = Home(sweep.home)
        search = with_earlier(search, searched_run(sweep, search), home)
        sweep = sweep.model_copy(update={"search": search})
    with held_alone(home.local / "locks" / f"sweep-{sweep_identity(sweep, {})}.lock", f"this sweep, {sweep.name},"):
        return _run(sweep, search, home, address)


def _run(sweep: Sweep, search: Search, home: Home, address: str | None) -> tuple[Finding, dict[str, str], Status]:
    rule, parallel = stopping_rule(search), orders_at_a_time(search)
    gate = partial(say_ready, sweep, [(searched_run(sweep, search), "search.split")], home)
    runs = runs_of(sweep)
    run, backbones = next(iter(runs.values())), [run.backbone for run in runs.values() if backbones_of(search.space)]
    with open_session(run, home, address, rule, parallel=parallel, gate=gate, backbones=backbones) as session:
        inputs = session.found.described()
        identity = sweep_identity(sweep, inputs)
        place = f"sweeps/{identity}"
        raced = None
        if backbones:
            raced = race_backbones(search, searched_run(sweep, search), session)
            for line in told_of(search.first, raced):
                say(f"fpt: {line}")
            search, session = narrowed(search, raced), session.only([one.backbone for one in raced.left])
        minutes = search.minutes
        search = in_problems(search, searched_run(sweep, search), session, home.local / place)
        if minutes is not None:
            sweep = _with_problems(sweep, search)
        plan = plan_of(search)
        with phase("MLflow"):
            tracker, code = Tracker(tracking_uri(sweep), sweep.name), code_tags("sweep")
            splits = {"search": search.split, "final": sweep.episodes.split}
            data = _data(sweep, splits, session, home)
            tags = {**tags_of(sweep, "sweep"), **code, **environment_tags(session.found), **compute_tags(sweep)}
            tracker.start(
                f"sweep {identity}",
                f"{sweep.name} {identity}",
                parameters_of_sweep(sweep, inputs, NOT_OF_A_SWEEP),
                {**tags, **tags_of_backbones(raced)},
                data,
            )
        progress = Progress(planned_problems(sweep, search, plan) + (raced.problems if raced else 0))
        kind = kind_of(sweep, session.found.device)
        _foresee(progress, foreseen(home, identity, kind, progress.planned, session.status().wanted))
        story = story_written(session, home, place, sweep.name, progress.planned, kind)
        with TemporaryDirectory(prefix=".winner-", dir=home.local) as beside, recorded(tracker), story as session:
            tracker.arrange(arrangement(search.space))
            tracker.describe(f"**Searching:** {plan.looks} looks at settings, none has ended yet.{in_a_note(raced)}")
            if raced is not None:
                searched, out = ([one.label for one in them] for them in (raced.left, raced.out))
                session.note("backbones raced", searched=searched, left_out=out, problems=raced.problems)
            session.note("phase", name="search")
            folder = home.local / place
            show, watch = shown(progress, session), watched(tracker, session)
            with ThreadPoolExecutor(1) as aside, show, watch:
                record = search_settings(sweep, search, plan, session, tracker, progress, home, identity, code, data)
                record = replace(record, backbones=raced)
                tracker.describe(f"**Final evaluation:** the race of {len(record.racers)} settings has ended.")
                session.note("phase", name="final evaluation")
                winner = record.winner
                store = session.store_of(with_hyper_parameters(plain_run(sweep), winner.values))
                judged = sweep.model_copy(update={"episodes": parts_of(sweep, session).first.episodes})
                episode = aside.submit(_first_episode, judged, winner.values, store, folder)
                finding = judge(sweep, search, plan, session, record, progress)
            session.note("phase", name="report")
            from sweeps.classifiers.winner import keep_winner, tell_of_winner
            from sweeps.report.files import write_report  # matplotlib, when there is something to draw
            from sweeps.report.surest import draw_surest

            if again := session.keep():
                say(f"fpt: {again} rows that the ledger did not hold any more were written to it again")
            rows = rows_behind(finding, Ledger(home.uri_of("ledger")))
            solved = [episode.result(), *draw_surest(finding, store, folder)]
            files = write_report(finding, sweep, solved, rows, folder)
            home.keep(files)
            kept = keep_winner(tracker, finding, sweep, store, folder, Path(beside))
            measured = _summarise(tracker, finding, sweep, files)
            tell_of_winner(tracker, kept, finding, sweep, measured, data)
            work = session.status()
    where = {
        "tracking_uri": without_secrets(tracker.tracking_uri),
        "experiment": tracker.experiment,
        "run_id": tracker.run_id,
        "report": str(next(file for file in files if file.name == "report.html")),
    }
    return finding, where, work


def _foresee(progress: Progress, seen: Foreseen | None) -> None:
    """Says about how long a sweep will take, where something tells."""
    if seen is not None:
        progress.foreseen = about(seen.least, seen.most)
        say(
            f"fpt: {progress.foreseen} for {seen.problems:,} episodes on {seen.workers} workers, by {seen.source}; "
            "less where the ledger holds some of them"
        )


def _with_problems(sweep: Sweep, search: Search) -> Sweep:
    """Returns the sweep with the problems of a search instead of its minutes."""
    assert sweep.search is not None
    told = {"problems": search.problems, "minutes": search.minutes}
    return sweep.model_copy(update={"search": sweep.search.model_copy(update=told)})


def _data(sweep: Sweep, splits: Mapping[str, str], session: Session, home: Home) -> list[Data]:
    """Returns what the sweep reads: the splits, in each size that a backbone takes."""
    each = {session.stores[one]: found for one, found in session.found.each.items()} or {session.store: session.found}
    return [one for store, of in each.items() for one in data_of(sweep, splits, store, home, of.dataset_fingerprint)]


def _first_episode(sweep: Sweep, winner: HyperParameters, store: Path, folder: Path) -> "Picture":
    """Draws the picture while workers judge, for torch and matplotlib take seconds to load."""
    from sweeps.report.first_episode import draw_first_episode

    return draw_first_episode(sweep, winner, store, folder)


def _summarise(tracker: Tracker, finding: Finding, sweep: Sweep, files: list[Path]) -> list[str]:
    """Records what was found, and returns the names of its metrics."""
    best, plain, frozen = finding.best, finding.compared[BASELINE], finding.compared.get(FROZEN)
    metrics = {
        "episodes": best.estimate.episodes if best.estimate else None,
        "accuracy": best.estimate.mean if best.estimate else None,
        "ci95": best.estimate.ci95 if best.estimate else None,
        "baseline_accuracy": plain.estimate.mean if plain.estimate else None,
        "frozen_accuracy": frozen.estimate.mean if frozen is not None and frozen.estimate else None,
        "difference": best.difference.mean if best.difference else None,
        "difference_ci95": best.difference.ci95 if best.difference else None,
        "p": best.p,
        "p_holm": best.p_holm,
        "again_difference": finding.again.difference.mean if finding.again and finding.again.difference else None,
        **best.localisation,
    }
    for trial in finding.tried:
        behind, behind_ci95 = numbers(trial.difference)
        scored = {"score": trial.score, "to_best": behind, "to_best_ci95": behind_ci95}
        tracker.score(trial.name, trial.episodes + trial.looks, scored)
    tracker.summarise(
        metrics,
        best.estimate.episodes if best.estimate else sweep.final.episodes,
        description(as_markdown(finding, sweep), files),
        files,
        {"verdict": finding.outcome, "yardstick": finding.yardstick},
        finding.record.winner.name,
    )
    return list(metrics)


def description(report: str, files: Sequence[Path]) -> str:
    """Returns a report as the description of its run: after its first paragraph, the verdict, it says what the run's
    files are.
    """
    first, _, rest = report.partition("\n\n")
    others = ", ".join(file.name for file in files if file.name != "best.yaml")
    named = f"The winner is the artifact `best.yaml`, which runs again with `fpt run best.yaml`; others: {others}."
    return f"{first}\n\n{named}\n\n{rest}"
