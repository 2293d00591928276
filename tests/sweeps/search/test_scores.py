import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from sweeps.search.belief import Belief
from sweeps.search.record import Gain, Trial
from sweeps.search.scores import scored
from sweeps.statistics.estimates import Estimate
from tests.sweeps.findings import reported

RUNGS = (2, 4)
GAIN = Gain(64, 0.01, 0.02)
LEADER, STOPPED = [0.9, 0.7, 0.6, 0.6], [0.6, 0.8]  # on the race's episodes


class Believing:
    """Stands in for a sampler, whose model believes these means, and that settings are unlike by themselves."""

    def __init__(self, *means, shared=0.0):
        self.means, self.shared = means, shared

    def believed(self, settings):
        if not self.means:
            return None
        assert [values["lr"] for values in settings] == list(range(len(self.means)))
        own = np.diag(0.0001 * np.arange(1, len(self.means) + 1))
        return Belief(np.array(self.means), own + self.shared)

    def gain(self):
        return GAIN


def trial(place, race=(), looks=(0.5,), stopped_by=None):
    """A setting's trial, which had so much after the rungs of the race that it did."""
    reports = tuple(reported(episodes, own) for episodes, own in zip(RUNGS, race, strict=False))
    return Trial(
        f"0.{place}",
        0,
        {"lr": place},
        tuple(reported(1, own) for own in looks),
        reports,
        stopped_by=stopped_by,
    )


def accuracies(asked):
    """Those of the leader, 0.1, and of 0.2, which was stopped after two episodes."""
    assert {name: episodes for name, (_, episodes) in asked.items()} == {"0.1": 4, "0.2": 2}
    return {"0.1": LEADER, "0.2": STOPPED}


def never(asked):
    raise AssertionError("nothing was stopped")


TRIALS = [
    trial(0, looks=(0.5, 0.6)),
    trial(1, (0.8, 0.7)),
    trial(2, (0.7,), stopped_by="racing"),
    trial(3, looks=(0.5, None)),
    trial(4, (0.5, None)),
    trial(5, (None,), stopped_by="racing"),
    trial(6, (0.75, 0.65)),
]


def test_those_that_race_have_what_they_had_there_and_others_what_the_model_expects():
    """The leader has 0.7 on four episodes and 0.8 on the two that 0.2 did as well, which had 0.7 there. The model is
    wrong about the race's episodes by 0.1, 0 and 0.05 for the three that were measured there.
    """
    found = scored(TRIALS, RUNGS, Believing(0.55, 0.6, 0.6, 0.5, 0.5, 0.5, 0.6), accuracies)
    assert [one.score for one in found.trials] == pytest.approx([0.55 + 0.05, 0.7, 0.6, None, None, None, 0.65])
    regression = LinearRegression().fit(np.ones((2, 1)), np.array(STOPPED) - LEADER[:2])  # a slope of nothing
    assert found.trials[2].score == pytest.approx(np.mean(LEADER) + regression.intercept_)
    assert (found.gain, found.rungs, found.importances) == (GAIN, RUNGS, None)
    assert [(one.name, one.looks, one.reports) for one in found.trials] == [
        (one.name, one.looks, one.reports) for one in TRIALS
    ]


def test_how_far_a_setting_is_from_the_winner_is_the_model_s_opinion():
    found = scored(TRIALS, RUNGS, Believing(0.55, 0.6, 0.6, 0.5, 0.5, 0.5, 0.6), accuracies)
    apart = [one.to_winner for one in found.trials]
    assert [one is None for one in apart] == [False, False, False, True, True, True, False]
    assert apart[1] == Estimate(0.0, 0.0, 5)  # a look, and the race
    # Variances of 0.0001 and 0.0002, of settings that have nothing to do with each other.
    assert (apart[0].mean, apart[0].ci95) == pytest.approx((-0.05, 1.959964 * 0.0003**0.5))
    assert (apart[6].mean, apart[6].ci95) == pytest.approx((0.0, 1.959964 * 0.0009**0.5))
    assert [one.episodes for one in apart if one] == [2, 5, 3, 5]
    shared = scored(TRIALS, RUNGS, Believing(0.55, 0.6, 0.6, 0.5, 0.5, 0.5, 0.6, shared=0.5), accuracies)
    assert shared.trials[0].to_winner.ci95 == pytest.approx(apart[0].ci95)  # what all share is no difference


def test_nobody_is_asked_for_where_nothing_was_stopped():
    found = scored([trial(0), trial(1, (0.8, 0.7))], RUNGS, Believing(0.5, 0.5), never)
    assert [one.score for one in found.trials] == pytest.approx([0.7, 0.7])


def test_without_a_model_only_the_race_tells():
    found = scored(TRIALS[:3], RUNGS, Believing(), accuracies)
    assert [one.score for one in found.trials] == [None, pytest.approx(0.7), pytest.approx(0.6)]
    assert ([one.to_winner for one in found.trials], found.gain) == ([None] * 3, None)


def test_without_a_whole_race_nothing_has_a_score():
    found = scored([TRIALS[0], *TRIALS[3:6]], RUNGS, Believing(0.5), never)
    assert found.leader is None
    assert [one.score for one in found.trials] == [None] * 4
