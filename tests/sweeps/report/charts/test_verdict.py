from dataclasses import replace

import numpy as np
import pytest

from sweeps.report.charts.verdict import (
    BETTER,
    UNTOLD,
    WORSE,
    cost_figure,
    costs,
    differences_figure,
    pareto_front,
    told,
)
from sweeps.statistics.estimates import Estimate
from tests.sweeps.findings import SWEEP, compared, finding
from tests.sweeps.report.charts.trials import few, many, of_one_episode, of_two_costs, one, texts, with_odd_names

GAIN = Estimate(0.021, 0.009, 200)
AGAIN = finding().best.run.model_copy(update={"episodes": SWEEP.episodes.model_copy(update={"seed": 7})})


def found():
    """Four settings beside the baseline, one of which failed; and the winner once more."""
    own = finding()
    others = [
        compared("paper", {"alpha": 7.0}, 0.6, Estimate(-0.1, 0.02, 200), p=0.001),
        compared("lucky", {"alpha": 1.0}, 0.7, Estimate(0.01, 0.004, 200), p=0.03),  # 0.06 after correction
        compared("failed", {"alpha": 1.0}, None),
    ]
    again = replace(own.best, run=AGAIN, difference=Estimate(0.015, 0.01, 200), p=0.004, p_holm=0.004)
    return replace(own, compared={**own.compared, **{one.name: one for one in others}}, again=again)


def test_bars_are_the_differences_of_all_that_have_one():
    axis = differences_figure(found()).axes[0]
    rows = [tick.get_text() for tick in axis.get_yticklabels()]
    assert rows == ["best", "paper", "lucky", "best, another seed"]
    drawn = [(container.lines[0].get_xydata().tolist()[0], container.lines[2][0]) for container in axis.containers]
    assert [at for at, _ in drawn] == [pytest.approx(at) for at in ([2.1, 0], [-10, 1], [1, 2], [1.5, 3])]
    ends = [bar.get_segments()[0][:, 0].tolist() for _, bar in drawn]
    assert ends == [pytest.approx(pair) for pair in ([1.2, 3.0], [-12, -8], [0.6, 1.4], [0.5, 2.5])]
    assert axis.get_title(loc="left") == "Differences to no prompts, 200 unseen episodes, paired"


def test_what_can_be_told_has_a_marker_of_its_own_and_numbers_stand_at_the_right():
    figure = differences_figure(found())
    markers = [container.lines[0].get_marker() for container in figure.axes[0].containers]
    assert markers == ["^", "v", "o", "^"]
    shown = texts(figure)
    assert [text for text in shown if "±" in text] == [
        "+2.1 ± 0.9, p < 0.0001",
        "-10.0 ± 2.0, p = 0.002",
        "+1.0 ± 0.4, p = 0.06",
        "+1.5 ± 1.0, p = 0.004",
    ]
    assert {BETTER, WORSE, UNTOLD} <= set(shown)


def test_only_what_is_sure_after_correction_can_be_told():
    by_name = found().compared
    assert [told(by_name[name]) for name in ("best", "paper", "lucky", "failed")] == [BETTER, WORSE, UNTOLD, UNTOLD]


def test_a_difference_of_one_episode_has_no_bar():
    figure = differences_figure(finding(gain=Estimate(0.5, float("inf"), 1)))
    (container,) = figure.axes[0].containers
    assert container.lines[0].get_xdata().tolist() == [50]
    assert not any(np.isfinite(segment).all() and len(segment) for segment in container.lines[2][0].get_segments())
    assert "+50.0" in texts(figure)


def test_odd_names_are_written_as_they_are():
    assert any(text.startswith('a<b> & "c" | $x_1$') for text in texts(differences_figure(with_odd_names())))


def test_without_differences_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="compared must have a difference"):
        differences_figure(finding(mean=None, gain=None))


def test_trials_that_may_share_an_order_have_one_cost_and_without_others_there_is_none():
    trials = of_two_costs()
    counts = [one.episodes + one.looks for one in trials]
    spent = costs(trials)
    for first in (0, 1):
        own = range(first, 20, 2)
        mean = sum(trials[i].seconds * counts[i] for i in own) / sum(counts[i] for i in own)
        assert [spent[i] for i in own] == pytest.approx([mean] * 10)
    for others in (few(), [replace(trial, seconds=0.0) for trial in trials], one(), of_one_episode()):
        assert costs(others) is None
        with pytest.raises(ValueError, match="trials must differ in cost"):
            cost_figure(others)


def test_points_are_scores_over_cost_with_the_interval_of_the_difference():
    trials = of_two_costs()
    spent = costs(trials)
    (axis,) = cost_figure(trials).axes
    by_name = {container.get_label(): container for container in axis.containers}
    whole, stopped = by_name["did all episodes"], by_name["stopped"]
    expected = [[spent[i], 100 * trials[i].score] for i in (0, 7, 14)]
    assert whole.lines[0].get_xydata().tolist() == [pytest.approx(pair) for pair in expected]
    halves = [np.ptp(segment[:, 1]) / 2 for segment in stopped.lines[2][0].get_segments()]
    assert halves == pytest.approx([2] * 17)
    (star,) = (line for line in axis.lines if line.get_marker() == "*")
    assert star.get_xydata().tolist() == [pytest.approx([spent[14], 70])]


def test_the_front_goes_through_trials_that_did_all_episodes_alone():
    trials = of_two_costs()
    trials[1] = replace(trials[1], score=0.99)  # it was stopped
    (axis,) = cost_figure(trials).axes
    (drawn,) = (line for line in axis.lines if str(line.get_label()).startswith("front"))
    assert drawn.get_ydata().tolist() == pytest.approx([70])  # the winner, which is a cheap one
    assert 99 in [round(height) for container in axis.containers for height in container.lines[0].get_ydata()]


def test_what_is_expected_of_those_that_did_not_race_has_no_bar():
    trials = [replace(one, curve=()) if i in (1, 2) else one for i, one in enumerate(of_two_costs())]
    (axis,) = cost_figure(trials).axes
    (small,) = (line for line in axis.lines if line.get_label() == "did not race, as expected")
    assert len(small.get_xdata()) == 2
    assert sum(len(container.lines[0].get_xdata()) for container in axis.containers) == 18


def test_the_front_is_what_nothing_beats_by_trying_all_pairs():
    trials = many(60)
    spent, scores = [trial.episodes + 1.0 for trial in trials], [trial.score for trial in trials]

    def beaten(i):
        pairs = [(spent[j], -scores[j]) for j in range(60) if j != i]
        return any(cost <= spent[i] and score <= -scores[i] for cost, score in pairs)

    front = pareto_front(spent, scores)
    assert sorted(front) == [i for i in range(60) if not beaten(i)]
    assert [spent[i] for i in front] == sorted(spent[i] for i in front)


def test_equal_trials_are_on_the_front_once():
    assert pareto_front([1, 1, 2, 2], [0.5, 0.5, 0.5, 0.6]) == [0, 3]
