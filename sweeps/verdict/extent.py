"""What the final evaluation covers: which classes and pictures, how many episodes, and of what it therefore tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

from scipy.special import chdtri, stdtrit

from pipeline.config import HyperParameters, Run, plain_run, with_hyper_parameters
from pipeline.session import Session
from sweeps.schema.sweep import Final, Sweep
from sweeps.statistics.classes import FEW
from sweeps.statistics.estimates import NORMAL, Estimate, paired_difference
from sweeps.statistics.rows import accuracies_of
from sweeps.verdict.finding import About

SURE = 0.8  # that as many episodes as are planned bring the precision that was asked for


@dataclass(frozen=True)
class Parts:
    """Parts are the run of the final evaluation, and that of the one after it, `again`, which draws from `kind`."""

    first: Run
    other: Run
    kind: str


def parts_of(sweep: Sweep, session: Session) -> Parts:
    """Returns halves of the classes, where either has as many as an interval over classes needs; else halves of each
    class's pictures, where either has enough for an episode; else the same classes and pictures twice, in episodes of
    another seed. All classes and pictures are in the first where nothing comes after it.
    """
    run, wanted = plain_run(sweep), sweep.episodes
    if not sweep.final.again or wanted.part != "all":
        return Parts(run, _drawn(run, wanted.part), "the same classes and pictures")
    rows = session.sampler(run).rows
    if len(rows) // 2 >= max(wanted.way, FEW):
        return Parts(_drawn(run, "first classes", 0), _drawn(run, "other classes"), "other classes")
    if min(map(len, rows)) // 2 >= wanted.shot + wanted.query:
        kind = "other pictures of the same classes"
        return Parts(_drawn(run, "first pictures", 0), _drawn(run, "other pictures"), kind)
    return Parts(run, _drawn(run, "all"), "the same classes and pictures")


def _drawn(run: Run, part: str, later: int = 1) -> Run:
    """Returns the run on a part of its split, with episodes of a later seed."""
    episodes = run.episodes.model_copy(update={"part": part, "seed": run.episodes.seed + later})
    return run.model_copy(update={"episodes": episodes})


def about(sweep: Sweep, session: Session, parts: Parts, backbone: str, classes: int, date: str) -> About:
    """Returns what the verdict is about; `backbone` is the winner's."""
    dataset, rows = sweep.dataset, session.sampler(parts.first).rows
    data = "GlyphScenes" if dataset.source == "glyphs" else f"{dataset.source} {dataset.path}"
    return About(
        data=data,
        classes=classes,
        pictures=sum(map(len, rows)),
        backbone=backbone,
        date=date,
        part=parts.first.episodes.part,
        again=parts.kind if sweep.final.again else "",
        same_classes=dataset.hold_out == "pictures",
    )


@dataclass(frozen=True)
class Length:
    """A length is how many episodes are final, fixed before the first of them is drawn; `runs` were solved for it
    alone, which took so many `problems`.
    """

    episodes: int
    runs: tuple[Run, ...] = ()
    problems: int = 0


def length_of(
    sweep: Sweep, session: Session, searched: Run, alike: Run, settings: Sequence[HyperParameters], raced: int
) -> Length:
    """Returns as many final episodes as bring the interval down to the precision that is asked for, if the first of the
    settings differs from the others as on the `raced` validation episodes: those that were `searched`, or, where these
    ask more queries than the verdict's, others that are `alike`.
    """
    if sweep.final.precision is None:
        return Length(sweep.final.episodes)
    sampler = session.sampler(alike)
    apart = session.sampler(searched).more != sampler.more
    runs = [with_hyper_parameters(alike if apart else searched, values) for values in settings]
    solved = session.solve(runs, range(raced))
    own, *others = (accuracies_of(one) for one in solved)
    known = [paired_difference(own, other, sampler.step) for other in others if own and other]
    count = max((episodes_for(one, sweep.final) for one in known), default=sweep.final.episodes)
    return Length(count, tuple(runs), sum(map(len, solved))) if apart else Length(count)


def episodes_for(difference: Estimate, final: Final) -> int:
    """Returns how many episodes bring half the interval of a difference down to `final.precision`, in SURE of all
    cases, by its spread on other episodes; between `final.episodes` and `final.most`, which it is where the spread
    cannot be known (one episode).

    The number is fixed before the episodes that it is for are drawn, so that the interval keeps its 95 %: a spread
    estimated again on the episodes that one stops by would not (research on two stages: Stein, Annals of Mathematical
    Statistics 1945; benchmarks/README.md). The spread is taken at its upper limit.
    """
    assert final.precision is not None
    if not isfinite(difference.ci95):
        return final.most
    freedom = difference.episodes - 1
    spread = difference.ci95 / stdtrit(freedom, 0.975) * difference.episodes**0.5
    upper = spread * (freedom / chdtri(freedom, SURE)) ** 0.5
    wanted = ceil(float(NORMAL * 100 * upper / final.precision) ** 2)
    return min(max(final.episodes, wanted), max(final.most, final.episodes))
