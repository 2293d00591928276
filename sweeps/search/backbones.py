"""Which backbones a search tries its settings on: those whose frozen classifiers may be the best of all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fpt.registry import SOLVERS
from pipeline.config import BACKBONE, HyperParameters, Run, plain_run, with_backbone, with_hyper_parameters
from pipeline.session import Session
from sweeps.schema.space import Dimension, backbones_of
from sweeps.schema.sweep import Search, Sweep
from sweeps.search.record import Backbones, RacedBackbone
from sweeps.statistics.estimates import estimate, paired_difference
from sweeps.statistics.racing import racing
from sweeps.terminal.progress import Progress, shown

FIRST = 20_000_000  # the first episode of the race: none of any search's, which settings are chosen by
RUNGS = (8, 16, 32, 64)  # episodes done in all, after which backbones are judged


def runs_of(sweep: Sweep) -> dict[str, Run]:
    """Returns the run on each backbone of the search's space, by what the space calls it; the run alone, without a
    name, where there is none.
    """
    labels = backbones_of(sweep.search.space) if sweep.search else ()
    return {label: with_backbone(plain_run(sweep), label) for label in labels} or {"": plain_run(sweep)}


@contextmanager
def about_backbone(label: str) -> Iterator[None]:
    """Has a mistake in the block name the backbone of the space that it is about, if it is about one."""
    try:
        yield
    except ValueError as error:
        if not label:
            raise
        hint = "; backbones: {LABEL: {name: ..., weights: FILE}} gives a file a name" if "/" in label else ""
        raise ValueError(f"search.space.{BACKBONE}, {label}: {error}{hint}") from error


def frozen_classifiers(space: Mapping[str, Dimension]) -> list[HyperParameters]:
    """Returns the settings of all classifiers on frozen features, on each backbone of a space."""
    places: list[HyperParameters] = [{BACKBONE: label} for label in backbones_of(space)] or [{}]
    names = [name for name, solver in SOLVERS.items() if not solver.trained]
    return [{**place, "name": name, "embeddings": False} for place in places for name in names]


def problems_to_race(search: Search) -> int:
    """Counts the problems that racing the backbones takes at most."""
    several = len(backbones_of(search.space)) > 1 and search.frozen_race
    return RUNGS[-1] * len(frozen_classifiers(search.space)) if several else 0


def race_backbones(search: Search, searched: Run, session: Session) -> Backbones:
    """Returns how the backbones of a search's space did, of which those stay in it that may be the best. `searched` is
    the run as the search draws its episodes.

    The classifiers on frozen features race, on all backbones at once, on validation episodes that nothing else sees. A
    backbone stays while one of its classifiers is in the race (racing.py), so that the backbone of the truly best
    classifier is left out with probability `search.delta` at most. Raises RuntimeError where all have failed.
    """
    labels = backbones_of(search.space)
    on = {label: with_backbone(searched, label).backbone for label in labels}
    if not problems_to_race(search):
        return Backbones(tuple(RacedBackbone(label, on[label]) for label in labels))
    progress = Progress(problems_to_race(search))
    with shown(progress, session):
        return _raced(search, searched, session, progress)


def _raced(search: Search, searched: Run, session: Session, progress: Progress) -> Backbones:
    settings = {f"{place}": values for place, values in enumerate(frozen_classifiers(search.space))}
    seen: dict[str, list[float | None]] = {name: [] for name in settings}
    rule, left, done, problems = racing(len(settings), search.delta), set(settings), 0, 0
    for place, rung in enumerate(RUNGS):
        going = [name for name in settings if name in left]
        there = list(dict.fromkeys(str(settings[name][BACKBONE]) for name in going))
        if place and len(there) == 1:
            break
        progress.note = f"frozen features of {', '.join(there)}: {rung} validation episodes"
        runs = [with_hyper_parameters(searched, settings[name]) for name in going]
        rows = session.solve(runs, range(FIRST + done, FIRST + rung))
        for name, own in zip(going, rows, strict=True):
            seen[name] += [row["accuracy"] for row in own]
        problems, done = problems + sum(map(len, rows)), rung
        left = rule(place + 1, {name: seen[name] for name in going})
    if not left:
        raise RuntimeError("no classifier on frozen features did all its episodes without a failure, on any backbone")
    step = session.sampler(searched).step
    return Backbones(tuple(_told(search, searched, settings, seen, left, step)), problems)


def _told(
    search: Search,
    searched: Run,
    settings: Mapping[str, HyperParameters],
    seen: Mapping[str, list[float | None]],
    left: set[str],
    step: float,
) -> Iterator[RacedBackbone]:
    """Yields each backbone with its best classifier, and how far that is from the best of all."""
    whole = {name: [one for one in own if one is not None] for name, own in seen.items() if None not in own}
    means = {name: sum(own) / len(own) for name, own in whole.items() if own}
    best = max((name for name in means if name in left), key=lambda name: means[name])
    stay = {settings[name][BACKBONE] for name in left}
    for label in backbones_of(search.space):
        of_label = [name for name in means if settings[name][BACKBONE] == label]
        backbone = with_backbone(searched, label).backbone
        if not of_label:
            yield RacedBackbone(label, backbone, stays=False)
            continue
        # Of those that did most episodes, for a classifier that was stopped early may have been lucky.
        own = max(of_label, key=lambda name: (name in left, len(whole[name]), means[name]))
        both = min(len(whole[own]), len(whole[best]))
        apart = None if own == best else paired_difference(whole[own][:both], whole[best][:both], step)
        accuracy = estimate(whole[own], step)
        yield RacedBackbone(label, backbone, str(settings[own]["name"]), accuracy, apart, label in stay)


def narrowed(search: Search, raced: Backbones) -> Search:
    """Returns the search over the backbones that stay. A named setting that names no backbone is on the best of them;
    one on a backbone that was left out is left out with it.
    """
    kept, best = tuple(one.label for one in raced.left), raced.best.label
    space = {**search.space, BACKBONE: search.space[BACKBONE].model_copy(update={"choices": kept})}  # type: ignore[union-attr]
    first = {name: {BACKBONE: best, **values} for name, values in search.first.items()}
    warm = [{BACKBONE: best, **values} for values in search.warm]
    return search.model_copy(
        update={
            "space": space,
            "first": {name: values for name, values in first.items() if values[BACKBONE] in kept},
            "warm": tuple(values for values in warm if values[BACKBONE] in kept),
        }
    )
