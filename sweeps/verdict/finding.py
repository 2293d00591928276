"""What a sweep found, and what follows from it alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from fpt.registry import SOLVERS
from pipeline.config import HyperParameters, Run
from sweeps.search.record import SearchRecord
from sweeps.statistics.classes import FEW
from sweeps.statistics.estimates import SIGNIFICANCE, Estimate
from sweeps.verdict.confidence import Confidence
from sweeps.verdict.landscape import Scored
from sweeps.verdict.mistakes import Mistakes

BASELINE = "no prompts"
FROZEN = "frozen features"
PROMPTED = "best with prompts"  # beside a winner that has none
TOGETHER = "best together"  # the mean of several
TWIN = "best without its prompts"


def takes_prompts(run: Run) -> bool:
    """Says whether a run is steered by prompts: its solver takes them, and their loss counts."""
    return SOLVERS[run.solver.name].steered and run.prompts.alpha > 0


@dataclass(frozen=True)
class Compared:
    """A setting is compared on the final episodes. `estimate` is None where an episode failed; `difference` is to the
    yardstick, `p` its two-sided paired p-value, `p_holm` the same corrected for how many settings were compared with
    it. These are over classes where those are few (over pictures, where classes are the same as in the search), and
    else over episodes; `over_episodes` and `over_classes` are the difference in both ways, `bounds` where it lies
    (95 %) whatever the distribution over episodes.
    """

    name: str
    run: Run
    config_hash: str
    estimate: Estimate | None
    difference: Estimate | None
    localisation: Mapping[str, float | None]
    p: float | None = None
    p_holm: float | None = None
    over_episodes: Estimate | None = None
    over_classes: Estimate | None = None
    bounds: tuple[float, float] | None = None

    @property
    def differs(self) -> bool:
        """Returns whether it can be told from the yardstick."""
        return self.difference is not None and self.p_holm is not None and self.p_holm < SIGNIFICANCE

    @property
    def worse(self) -> bool:
        """Returns whether it is told to be worse than the yardstick."""
        return self.differs and self.difference is not None and self.difference.mean < 0


@dataclass(frozen=True)
class Audit:
    """An audit says what a race in which nobody is stopped would have found: a winner, its lead over the sweep's winner
    on the unseen episodes (None where they are the same, or an episode failed), and the problems that the race took
    (`searched`) and that the audit took.
    """

    best: Run
    lead: Estimate | None
    searched: int
    full: int


@dataclass(frozen=True)
class About:
    """This is what a verdict is about: images (`data`, in words), how many `classes` and `pictures` of them the final
    episodes drew from, which `part` of the split that is, the backbone, and the day (ISO) on which it was judged.
    `again` is what the other evaluation drew from, in words. With `same_classes` the search saw the same classes, in
    other pictures.
    """

    data: str
    classes: int
    pictures: int
    backbone: str
    date: str
    part: str = "all"
    again: str = ""
    same_classes: bool = False


@dataclass(frozen=True)
class Finding:
    """A finding is the `record` of a sweep's search, and its verdict.

    `yardstick` is what all settings are compared with, by name: the harder, on the final episodes, of the best without
    prompts and the best on frozen features; `other` is the difference to the other of them of the best setting with
    prompts. `spent` counts problems, those of the ledger included; `lost` are episodes that no worker survived, by
    name: they are left out for all settings. `twin` is the winner against itself without prompts, where it is worse
    than the yardstick: that need not be for its prompts. `again` is the best with prompts against the yardstick on
    other episodes. Of the trials that did all episodes of the race the truly best is among so many (`may_be_best`),
    with 95 %, and among so many (`best_if_symmetric`) if differences are symmetric. `tried` are all trials that have a
    score, `validation` is the winner's, and so are `confidence` and `mistakes`.
    """

    record: SearchRecord
    validation: Estimate
    compared: dict[str, Compared]
    spent: int
    hashes: list[str]
    lost: tuple[str, ...] = ()
    again: Compared | None = None
    may_be_best: int = 1
    best_if_symmetric: int = 1
    tried: tuple[Scored, ...] = ()
    audit: Audit | None = None
    yardstick: str = BASELINE
    other: Compared | None = None
    twin: Compared | None = None
    about: About | None = None
    confidence: Confidence | None = None
    mistakes: Mistakes | None = None

    @property
    def best(self) -> Compared:
        """Returns how the winner did on the final episodes."""
        return self.compared["best"]

    @property
    def prompted(self) -> Compared | None:
        """Returns how the best setting with prompts did there: the winner, or the best of those that lost to a winner
        without; None where no setting with prompts has a score.
        """
        return self.best if takes_prompts(self.best.run) else self.compared.get(PROMPTED)

    @property
    def baseline(self) -> Compared:
        """Returns how the yardstick did there."""
        return self.compared[self.yardstick]

    @property
    def few_classes(self) -> bool:
        """Returns whether intervals are over classes, or over pictures of the same classes."""
        return self.about is not None and (self.about.same_classes or self.about.classes < FEW)

    @property
    def values(self) -> HyperParameters:
        """Returns the winner's hyper-parameters."""
        return self.record.winner.values

    @property
    def importances(self) -> Mapping[str, float] | None:
        """Returns shares of the hyper-parameters, the largest first; None where they cannot be told."""
        return self.record.importances

    @property
    def whole(self) -> int:
        """Returns how many trials did all episodes of the race."""
        return len(self.record.whole)

    @property
    def stopped(self) -> int:
        """Returns how many of those that raced did not do all of them."""
        return len(self.record.racers) - self.whole

    @property
    def outcome(self) -> str:
        """Returns the verdict in two words."""
        if self.best.estimate is None or self.baseline.estimate is None:
            return "no verdict"
        if not takes_prompts(self.best.run):
            return "no prompts"
        if self.best.difference is None or not self.best.differs or not self._beats_both:
            return "no winner"
        if self.best.difference.mean > 0:
            return "prompts help"
        return "prompts harm" if self.twin is not None and self.twin.worse else "no winner"

    @property
    def _beats_both(self) -> bool:
        """Returns whether a gain over the harder yardstick is told of the other too, to which it is larger but may be
        less sure.
        """
        gain = self.best.difference
        if gain is None or gain.mean < 0 or self.other is None:
            return True
        return self.other.p is None or self.other.p < SIGNIFICANCE
