"""Fits how sure the winner may be on validation episodes that no trial saw, and judges that on novel ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import softmax

from fpt.classifier.calibration import Calibration, Promise
from fpt.problems.keeping import scores_of
from pipeline.config import Run
from pipeline.data.sampler import EpisodeSampler
from pipeline.session import Session
from pipeline.storage.ledger import Row
from sweeps.statistics.classes import over_classes
from sweeps.statistics.estimates import estimate
from sweeps.statistics.promises import highest_risk, log_loss, lowest_kept, share_of, temperature_of
from sweeps.statistics.reliability import bins_of, calibration_error, told_apart
from sweeps.verdict.confidence import Confidence, Kept, Unknown
from sweeps.verdict.mistakes import Mistakes, mistakes_of

COVERAGE = 0.9  # of the sets of classes
RECOGNISED = 0.95  # of pictures of the episodes' classes, which are not held to be of none of them
TRIED = np.arange(4, 41) / 40  # shares of queries that limits answer; of fewer answers too little can be promised


@dataclass(frozen=True)
class Asked:
    """This is what was asked in some episodes of one shape: the classes that each drew, `scores` of its queries, class
    by class, and of its outsiders.
    """

    drawn: Int[np.ndarray, "episodes way"]
    scores: Float[np.ndarray, "episodes query way"]
    outsiders: Float[np.ndarray, "episodes outsiders way"]

    @property
    def labels(self) -> Int[np.ndarray, "episodes query"]:
        count, queries, way = self.scores.shape
        return np.tile(np.arange(way).repeat(queries // way), (count, 1))

    @property
    def right(self) -> Bool[np.ndarray, "episodes query"]:
        return np.asarray(self.scores.argmax(-1) == self.labels)

    def every_other(self, first: int) -> "Asked":
        """Returns every second episode, from `first` on."""
        return Asked(self.drawn[first::2], self.scores[first::2], self.outsiders[first::2])

    def divided(self, temperature: float) -> "Asked":
        """Returns it with scores that are divided by a temperature."""
        return Asked(self.drawn, self.scores / temperature, self.outsiders / temperature)

    @property
    def highest(self) -> Float[np.ndarray, "episodes query"]:
        """Returns the highest probability of each query."""
        return np.asarray(softmax(self.scores, -1).max(-1))

    @property
    def highest_of_outsiders(self) -> Float[np.ndarray, "episodes outsiders"]:
        return np.asarray(softmax(self.outsiders, -1).max(-1))

    @property
    def of_truth(self) -> Float[np.ndarray, "episodes query"]:
        """Returns the probability of each query's true class."""
        return np.asarray(np.exp(-log_loss(self.scores, self.labels)))


def runs_with_scores(searched: Run, judged: Run) -> tuple[Run, Run]:
    """Returns runs that keep scores: on validation episodes that no trial saw, and on those of the verdict."""
    fresh = searched.episodes.model_copy(update={"scores": True, "seed": searched.episodes.seed + 1})
    same = judged.episodes.model_copy(update={"scores": True})
    return searched.model_copy(update={"episodes": fresh}), judged.model_copy(update={"episodes": same})


@dataclass(frozen=True)
class Told:
    """This is what episodes with scores tell, and how many `problems` that took; None where an episode failed, or they
    are too few to be halved.
    """

    problems: int
    confidence: Confidence | None = None
    mistakes: Mistakes | None = None


def told_by_scores(session: Session, rows: Sequence[tuple[Run, Sequence[Row]]]) -> Told:
    """Returns what the rows of two runs tell, of which the first is fitted and the other judged; nothing where there
    are none.
    """
    problems = sum(len(own) for _, own in rows)
    samplers = [session.sampler(run) for run, _ in rows]
    asked = [_asked(own, sampler) for (_, own), sampler in zip(rows, samplers, strict=True)]
    if len(asked) < 2 or (fitted := asked[0]) is None or (judged := asked[1]) is None or len(fitted.scores) < 2:
        return Told(problems)
    calibration = calibrated(fitted, rows[0][0].episodes.shot)
    probabilities = softmax(judged.divided(calibration.temperature).scores, -1)
    episodes = [row["episode"] for row in rows[1][1]]
    mistakes = mistakes_of(samplers[1].names, episodes, judged.drawn, probabilities)
    return Told(problems, judged_by(calibration, judged), mistakes)


def _asked(rows: Sequence[Row], sampler: EpisodeSampler) -> Asked | None:
    way, queries = sampler.way, sampler.way * sampler.query
    kept = [content for row in rows if (content := row.get("scores")) is not None]
    if not kept or len(kept) < len(rows):
        return None
    scores = np.stack([scores_of(content, way) for content in kept])
    drawn = np.stack([sampler.classes_of(row["episode"]) for row in rows])
    return Asked(drawn, scores[:, :queries], scores[:, queries:])


def calibrated(asked: Asked, shot: int) -> Calibration:
    """Returns what is fitted: the temperature and the limits that are tried on every second episode, all that is
    promised on the others, which had no part in choosing what is tried.
    """
    first, other = asked.every_other(0), asked.every_other(1)
    temperature = temperature_of(first.scores, first.labels)
    first, other = first.divided(temperature), other.divided(temperature)
    limits = np.quantile(first.highest, 1 - TRIED)
    limits[-1] = 0.0
    outsiders = asked.outsiders.shape[1] > 0
    return Calibration(
        temperature=temperature,
        way=asked.drawn.shape[1],
        shot=shot,
        episodes=len(asked.scores),
        coverage=COVERAGE,
        in_set=lowest_kept(other.of_truth, COVERAGE),
        promises=promised(other, limits.tolist()),
        known=lowest_kept(other.highest, RECOGNISED) if outsiders else None,
        recognised=RECOGNISED if outsiders else None,
    )


def promised(asked: Asked, limits: Sequence[float]) -> tuple[Promise, ...]:
    """Returns what is promised of each limit, the most cautious first. A risk counts only as far as no more cautious
    limit has a higher one: tested in this order, none of many tests is one too many (Angelopoulos et al., Learn then
    Test, arXiv:2110.01052).
    """
    highest, wrong, risk = asked.highest, ~asked.right, 0.0
    promises = dict[float, Promise]()
    for limit in limits:
        answered = highest >= limit
        if answered.any():
            risk = max(risk, highest_risk(answered, wrong, asked.drawn))
            promises[risk] = Promise(float(limit), risk, float(answered.mean()))  # of one risk the boldest
    return tuple(promises.values())


def judged_by(calibration: Calibration, asked: Asked) -> Confidence:
    """Returns how a calibration does on other episodes."""
    after = asked.divided(calibration.temperature)
    step = 1 / asked.scores.shape[1]
    both, right = (asked, after), asked.right
    probabilities = softmax(after.scores, -1)
    sizes = (probabilities >= calibration.in_set).sum(-1)
    in_set = after.of_truth >= calibration.in_set
    covered = estimate(in_set.mean(1), step)
    of_classes = in_set.reshape(*asked.drawn.shape, -1).mean(-1)
    before_error, after_error = (calibration_error(one.highest, right) for one in both)
    before_loss, after_loss = (estimate(log_loss(one.scores, one.labels).mean(1)) for one in both)
    before_bins, after_bins = (bins_of(one.highest, right) for one in both)
    return Confidence(
        calibration=calibration,
        error=(before_error, after_error),
        loss=(before_loss, after_loss),
        covered=covered,
        covered_elsewhere=over_classes(of_classes, asked.drawn, covered),
        size=estimate(sizes.mean(1), step),
        sizes=tuple((np.bincount(sizes.ravel(), minlength=asked.drawn.shape[1] + 1) / sizes.size).tolist()),
        kept=tuple(_kept(promise, after, step) for promise in calibration.promises),
        bins=(before_bins, after_bins),
        unknown=_unknown(calibration, after, step),
    )


def _kept(promise: Promise, asked: Asked, step: float) -> Kept:
    answered = asked.highest >= promise.least
    missed, whole = (answered & ~asked.right).mean(1), answered.mean(1)
    return Kept(promise, share_of(missed.tolist(), whole.tolist(), step), estimate(whole, step))


def _unknown(calibration: Calibration, asked: Asked, step: float) -> Unknown | None:
    outsiders = asked.outsiders.shape[1]
    if calibration.known is None or not outsiders:
        return None
    others = asked.highest_of_outsiders
    return Unknown(
        apart=told_apart(asked.highest, others),
        caught=estimate((others < calibration.known).mean(1), 1 / outsiders),
        mistaken=estimate((asked.highest < calibration.known).mean(1), step),
    )
