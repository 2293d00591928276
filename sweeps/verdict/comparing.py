"""Settings side by side on the final episodes: each accuracy, and each difference to the harder of the yardsticks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from pipeline.config import Run
from pipeline.storage.ledger import Row
from sweeps.statistics.betting import bounds
from sweeps.statistics.classes import FEW, class_p_value, over_classes
from sweeps.statistics.estimates import Estimate, estimate, holm, paired_difference, paired_p_value
from sweeps.statistics.pictures import over_pictures, picture_p_value
from sweeps.statistics.rows import LOCALISATION, accuracies_of, summary
from sweeps.verdict.finding import BASELINE, FROZEN, Compared

Rows = Sequence[Row]  # of a setting, by episode


@dataclass(frozen=True)
class Drawn:
    """This is what episodes were drawn of: the `classes` of each, in the order of its labels, and the pictures of each
    class in its support and its queries. With `same_classes` a verdict is about these classes, and other pictures.
    """

    classes: Int[np.ndarray, "episodes way"]
    support: Int[np.ndarray, "episodes way shot"]
    query: Int[np.ndarray, "episodes way query"]
    same_classes: bool = False

    @property
    def few(self) -> bool:
        """Returns whether more episodes tell too little, for there are few classes, or few pictures of these ones."""
        return self.same_classes or len(np.unique(self.classes)) < FEW

    def over(self, values: Float[np.ndarray, "episodes way"], over_episodes: Estimate) -> Estimate:
        """Returns an estimate over what else there might have been: other classes, or other pictures of these."""
        if self.same_classes:
            return over_pictures(values, self.classes, (self.support, self.query), over_episodes)
        return over_classes(values, self.classes, over_episodes)

    def p_value(self, differences: Float[np.ndarray, "episodes way"], over: Estimate, over_episodes: float) -> float:
        """Returns the p-value that belongs to `over`."""
        if self.same_classes:
            return picture_p_value(over, over_episodes)
        return class_p_value(differences, self.classes, over_episodes)


@dataclass(frozen=True)
class Difference:
    """A difference on the same episodes: over episodes, over classes or pictures too, and the p-value of each."""

    episodes: Estimate
    beyond: Estimate
    p_episodes: float | None
    p_beyond: float | None
    bounds: tuple[float, float]

    @staticmethod
    def of(ours: Rows, theirs: Rows, drawn: Drawn) -> "Difference | None":
        """Returns the difference of two settings, None where an episode of either failed."""
        own, other = accuracies_of(ours), accuracies_of(theirs)
        if not own or not other:
            return None
        step = 1 / ours[0]["queries"]
        judged = paired_difference(own, other, step)
        apart = by_class(ours) - by_class(theirs)
        several = len(own) > 1
        p = paired_p_value(own, other, step) if several else None
        beyond = drawn.over(apart, judged)
        p_beyond = None if p is None else drawn.p_value(apart, beyond, p)
        return Difference(judged, beyond, p, p_beyond, bounds((np.array(own) - np.array(other)).tolist()))


def by_class(rows: Rows) -> Float[np.ndarray, "episodes way"]:
    """Returns which share of its queries each class of each episode had right."""
    hits = np.array([row["class_hits"] for row in rows], float)
    return np.asarray(hits * hits.shape[1] / rows[0]["queries"])


def harder(rows: Mapping[str, Rows]) -> str:
    """Returns the yardstick that is the more accurate on these episodes, the frozen features where they are equal; the
    one that is left where the other failed.
    """
    means = {name: summary(rows[name])["accuracy"] for name in (FROZEN, BASELINE) if name in rows}
    known = {name: mean for name, mean in means.items() if mean is not None}
    return max(known, key=lambda name: known[name]) if known else BASELINE


def compare_all(
    settings: Mapping[str, Run],
    hashes: Sequence[str],
    rows: Sequence[Rows],
    drawn: Drawn,
    yardstick: str,
) -> dict[str, Compared]:
    """Returns every setting beside the yardstick, with p-values corrected for how many differ from it. Below FEW
    classes, what is told is the interval over classes, or over pictures, and its p-value.
    """
    hash_of, rows_of = dict(zip(settings, hashes, strict=True)), dict(zip(settings, rows, strict=True))
    few = drawn.few
    compared, p_values = dict[str, Compared](), dict[str, float]()
    for name, own in rows_of.items():
        accuracies, metrics = accuracies_of(own), summary(own)
        judged = estimate(accuracies, 1 / own[0]["queries"]) if accuracies else None
        apart = None if name == yardstick else Difference.of(own, rows_of[yardstick], drawn)
        p = None if apart is None else apart.p_beyond if few else apart.p_episodes
        if p is not None and hash_of[name] != hash_of[yardstick]:
            p_values[hash_of[name]] = p
        compared[name] = Compared(
            name=name,
            run=settings[name],
            config_hash=hash_of[name],
            estimate=drawn.over(by_class(own), judged) if few and judged else judged,
            difference=None if apart is None else apart.beyond if few else apart.episodes,
            over_episodes=None if apart is None else apart.episodes,
            over_classes=None if apart is None else apart.beyond,
            bounds=None if apart is None else apart.bounds,
            localisation={key: metrics[key] for key in LOCALISATION},
            p=p_values.get(hash_of[name]),
        )
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return {name: replace(one, p_holm=corrected.get(one.config_hash)) for name, one in compared.items()}
