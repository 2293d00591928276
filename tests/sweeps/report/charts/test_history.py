from dataclasses import replace

import pytest
from matplotlib.collections import LineCollection

from sweeps.report.charts.history import did_all, did_race, history_figure, racing_figure, setting_text
from sweeps.statistics.estimates import Estimate
from tests.sweeps.report.charts.trials import (
    ODD,
    RUNGS,
    few,
    looked_at,
    many,
    of_one_episode,
    one,
    solvers,
    texts,
    trial,
)


def line(axis, name):
    (found,) = (line for line in axis.lines if line.get_label() == name)
    return found


def data(axis, name):
    return [tuple(pair) for pair in line(axis, name).get_xydata().tolist()]


def test_each_trial_is_where_its_score_is_and_hollow_if_it_was_stopped():
    (axis,) = history_figure(few()).axes
    assert data(axis, "did all episodes") == [(3, pytest.approx(70)), (5, pytest.approx(66))]
    stopped = line(axis, "raced and stopped, as all episodes would have it")
    assert stopped.get_xydata().tolist() == [pytest.approx(at) for at in ([1, 50], [2, 62], [4, 30], [6, 64])]
    assert (stopped.get_markerfacecolor(), line(axis, "did all episodes").get_markerfacecolor()) == ("white", "#0072b2")
    assert data(axis, "winner") == [(3, pytest.approx(70))]


def test_what_is_only_expected_is_told_from_what_raced():
    trials = looked_at(300)
    (axis,) = history_figure(trials).axes
    small = line(axis, "did not race, as expected by all looks")
    raced = [line(axis, name) for name in ("did all episodes", "raced and stopped, as all episodes would have it")]
    assert (len(small.get_xdata()), sum(len(one.get_xdata()) for one in raced)) == (290, 10)
    assert data(axis, "winner") == [(300, pytest.approx(70))]
    assert max(small.get_ydata()) > 70  # expected of one that did not race; it is no best so far
    assert max(line(axis, "best so far").get_ydata()) == pytest.approx(70)
    (all_raced,) = history_figure(few()).axes
    assert not [one for one in all_raced.lines if str(one.get_label()).startswith("did not race")]


def test_the_best_so_far_begins_with_the_first_that_did_all_and_rises():
    scores, rungs = (0.9, 0.5, 0.4, 0.7, 0.8, 0.6), (1, 6, 6, 6, 2, 6)
    trials = [trial(str(i), {}, *both, best=i == 3) for i, both in enumerate(zip(scores, rungs, strict=True))]
    (axis,) = history_figure(trials).axes
    steps = line(axis, "best so far")
    assert steps.get_xdata().tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert steps.get_ydata().tolist() == pytest.approx([50, 50, 70, 70, 70, 70])
    (band,) = axis.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((48, 72))  # ± 2 of its own


def test_generations_are_parted():
    (axis,) = history_figure(few()).axes
    assert [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"] == [3.5]


def test_one_trial_and_one_episode_have_a_history():
    (axis,) = history_figure(one()).axes
    assert data(axis, "winner") == [(1, pytest.approx(70))]
    assert axis.get_xlim() == (0.3, 1.7)
    assert all(float(tick).is_integer() for tick in axis.get_xticks())
    for draw in (history_figure, racing_figure):
        assert "stopped" not in texts(draw(one()))
    (axis,) = history_figure(of_one_episode()).axes
    assert len(axis.collections) == 0  # no interval, no band
    assert data(axis, "winner") == [(2, pytest.approx(70))]


def test_lanes_are_as_long_as_the_episodes_that_were_done():
    axis, bar = racing_figure(few()).axes
    assert [patch.get_width() for patch in axis.patches] == [16, 32, 100, 16, 100, 48]
    assert [patch.get_y() + patch.get_height() / 2 for patch in axis.patches] == pytest.approx(range(6))
    assert data(axis, "did all episodes") == [(100, 4)]
    assert data(axis, "stopped") == [(16, 0), (32, 1), (16, 3), (48, 5)]
    assert data(axis, "winner") == [(100, 2)]
    assert bar.get_ylabel() == "accuracy %"
    assert axis.get_ylim()[0] > axis.get_ylim()[1]  # the first on top


def test_those_that_did_not_race_have_no_lane():
    trials = looked_at(300)
    raced = [trial for trial in trials if trial.episodes]
    axis = racing_figure(trials).axes[0]
    assert [patch.get_width() for patch in axis.patches] == [trial.episodes for trial in raced]
    assert [tick.get_text().split(":")[0] for tick in axis.get_yticklabels()] == [trial.name for trial in raced]
    assert data(axis, "winner") == [(100, 9)]
    assert did_race(trials).sum() == len(raced) == 10


def test_a_lane_has_ticks_where_the_trial_was_judged_and_went_on():
    axis = racing_figure(few()).axes[0]
    (ticks,) = (found for found in axis.collections if isinstance(found, LineCollection))
    found = [(segment[0, 0], segment[:, 1].mean()) for segment in ticks.get_segments()]
    expected = [(rung, lane) for lane, done in enumerate((1, 3, 6, 1, 6, 4)) for rung in RUNGS[: done - 1]]
    assert found == [pytest.approx(pair) for pair in expected]
    assert axis.get_xticks().tolist() == list(RUNGS)


def test_lanes_are_darker_the_better():
    trials = few()
    lanes = racing_figure(trials).axes[0].patches
    greys = {i: sum(lane.get_facecolor()[:3]) for i, lane in enumerate(lanes)}
    assert sorted(greys, key=greys.get) == sorted(range(6), key=lambda i: -trials[i].score)


def test_lanes_have_names_and_settings_where_there_is_room():
    figure = racing_figure(few())
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names[0] == "0.0: no prompts · lr 0.02"
    assert names[4] == "1.1: lambda 8.1 · alpha 2.56 · P 4 · lr 0.014"
    shown = [text for text in texts(figure) if text in ("50.0", "62.0", "70.0", "30.0", "66.0", "64.0")]
    assert sorted(set(shown)) == ["30.0", "50.0", "62.0", "64.0", "66.0", "70.0"]


@pytest.mark.parametrize(("count", "every", "height"), [(16, 1, 4.6), (48, 1, 11), (200, 3, 11.9), (1000, 11, 11.9)])
def test_many_trials_keep_to_a_page_with_some_of_their_names(count, every, height):
    trials = many(count)
    figure = racing_figure(trials)
    assert figure.get_figheight() == pytest.approx(height)
    names = [tick.get_text().split(":")[0] for tick in figure.axes[0].get_yticklabels()]
    assert names == [trial.name for trial in trials[::every]]
    assert len(figure.axes[0].patches) == count


def test_rungs_too_near_each_other_have_no_text():
    trials = [trial("0.0", {}, 0.5, 6, best=True)]
    axis = racing_figure(trials).axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["16", "24", "32", "48", "64", "100"]
    crowded = tuple(Estimate(0.5, 0.1, episodes) for episodes in (1, 2, 4, 100, 102))
    axis = racing_figure([replace(trials[0], curve=crowded)]).axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["", "", "4", "", "102"]


def test_a_setting_is_told_in_a_line_and_odd_names_are_no_formulas():
    assert setting_text({"name": "vpt", "alpha": 0.0, "tokens": 10, "deep": True}) == (
        "vpt · no prompts · deep True · tokens 10"
    )
    names = racing_figure(solvers()).axes[0].get_yticklabels()
    assert names[0].get_text().startswith('a<b> & "c" | $x_1$ U+732B : ')
    assert not names[0].get_parse_math()
    assert ODD not in names[0].get_text()


def test_did_all_is_did_as_many_as_any():
    assert did_all(few()).tolist() == [False, False, True, False, True, False]
