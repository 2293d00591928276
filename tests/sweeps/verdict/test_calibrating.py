"""What is fitted on some episodes and judged on others, on scores that are made up."""

import numpy as np
import pytest
from scipy.special import softmax

from fpt.classifier.calibration import Calibration
from fpt.problems.keeping import kept_scores
from pipeline.config import Run
from pipeline.data.sampler import EpisodeSampler
from sweeps.verdict.calibrating import Asked, Told, calibrated, judged_by, promised, runs_with_scores, told_by_scores
from tests.sweeps.verdict.stand_in import StandIn

WAY, QUERY = 4, 5
RUN = Run.model_validate({"episodes": {"way": WAY, "shot": 1, "query": QUERY}})


def asked(seed, episodes=60, temperature=2.0, outsiders=3):
    """Scores that are `temperature` times too large, of episodes of unequal difficulty; outsiders have lower ones."""
    random = np.random.default_rng(seed)
    labels = np.arange(WAY).repeat(QUERY)
    scores = random.normal(0, 1, (episodes, WAY * QUERY, WAY))
    scores += random.uniform(0.5, 4, (episodes, 1, 1)) * (labels[:, None] == np.arange(WAY))
    chances = softmax(scores, -1)
    others = random.normal(0, 1, (episodes, outsiders, WAY))
    drawn = np.stack([random.choice(50, WAY, replace=False) for _ in range(episodes)])
    assert chances.shape == scores.shape
    return Asked(drawn, temperature * scores, temperature * others)


class Session(StandIn):
    def sampler(self, run):
        return EpisodeSampler({f"class {i}": np.arange(20) for i in range(50)}, WAY, 1, QUERY, run.episodes.seed)


def rows_of(made):
    return [
        {"episode": i, "scores": kept_scores(np.concatenate([own, others]))}
        for i, (own, others) in enumerate(zip(made.scores, made.outsiders, strict=True))
    ]


def asked_rows(count=60):
    return list(zip(runs(), (rows_of(asked(seed, count)) for seed in (1, 2)), strict=True))


def runs():
    searched = RUN.model_copy(update={"episodes": RUN.episodes.model_copy(update={"split": "validation"})})
    return runs_with_scores(searched, RUN)


def test_it_is_fitted_on_fresh_episodes_of_the_search_and_judged_on_those_of_the_verdict():
    fitted, judged = runs()
    assert (fitted.episodes.split, fitted.episodes.seed, fitted.episodes.scores) == ("validation", 1, True)
    assert judged.episodes.model_copy(update={"scores": False}) == RUN.episodes
    assert judged.episodes.scores


def test_rows_tell_all_of_it():
    told = told_by_scores(Session(), asked_rows())
    found = told.confidence
    assert told.problems == 120
    assert told.mistakes.surest[0].probability > 0.5
    expected = calibrated(asked(1), 1)
    assert found.calibration.temperature == pytest.approx(expected.temperature, rel=1e-3)
    assert (found.calibration.way, found.calibration.shot, found.calibration.episodes) == (WAY, 1, 60)
    assert found.covered.episodes == 60
    assert found.unknown is not None


def test_without_scores_or_episodes_there_is_nothing_to_tell():
    (fitted, rows), judged = asked_rows()
    old = [(fitted, [*rows[:-1], {**rows[-1], "scores": None}]), judged]
    assert told_by_scores(Session(), old) == Told(120)
    assert told_by_scores(Session(), asked_rows(1)) == Told(2)
    assert told_by_scores(Session(), []) == Told(0)


def test_a_temperature_mends_probabilities_and_promises_are_kept_on_other_episodes():
    fitted = calibrated(asked(1, 400), 1)
    found = judged_by(fitted, asked(2, 400))
    before, after = found.error
    assert after.mean < 0.5 * before.mean
    assert found.loss[1].mean < found.loss[0].mean
    assert abs(found.covered.mean - 0.9) < found.covered.ci95 + 0.015
    assert found.covered_elsewhere.mean == found.covered.mean
    assert found.covered_elsewhere.ci95 >= found.covered.ci95
    assert sum(found.sizes) == pytest.approx(1)
    assert found.size.mean == pytest.approx(sum(size * share for size, share in enumerate(found.sizes)))
    for kept in found.kept:
        assert kept.wrong.mean - kept.wrong.ci95 <= kept.promise.risk
        assert kept.answered.mean == pytest.approx(kept.promise.answered, abs=0.05)
    assert found.kept_at(0.05).wrong.mean <= 0.05
    assert (
        found.kept_at(0.05).promise == fitted.promises[[one.risk <= 0.05 for one in fitted.promises].index(False) - 1]
    )
    assert found.kept_at(1e-9) is None


def test_pictures_of_other_classes_are_told_apart():
    found = judged_by(calibrated(asked(1, 200), 1), asked(2, 200))
    assert found.unknown.apart.mean > 0.6
    assert found.unknown.mistaken.mean == pytest.approx(0.05, abs=0.03)
    assert found.unknown.caught.mean > 2 * found.unknown.mistaken.mean
    without = calibrated(asked(1, outsiders=0), 1)
    assert (without.known, without.recognised) == (None, None)
    assert judged_by(without, asked(2, outsiders=0)).unknown is None


def test_risks_never_fall_as_more_is_answered_and_of_one_risk_the_boldest_is_kept():
    made = asked(3, 50).divided(2.0)
    limits = np.quantile(made.highest, 1 - np.arange(1, 21) / 20)
    found = promised(made, [1.5, *limits.tolist()])  # nothing is answered from 1.5 on
    assert [one.risk for one in found] == sorted({one.risk for one in found})
    assert [one.least for one in found] == sorted((one.least for one in found), reverse=True)
    right = made.highest >= found[0].least
    assert found[0].answered == right.mean()
    assert found[-1].least == limits[-1]


def test_every_second_episode_is_on_one_side():
    made = asked(4, 7)
    assert (len(made.every_other(0).scores), len(made.every_other(1).scores)) == (4, 3)
    assert made.right.shape == made.labels.shape == (7, WAY * QUERY)
    np.testing.assert_allclose(
        made.of_truth, np.take_along_axis(softmax(made.scores, -1), made.labels[..., None], -1)[..., 0]
    )
    assert isinstance(calibrated(made, 1), Calibration)
