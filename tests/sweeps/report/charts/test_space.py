import numpy as np
import pytest
from PIL import Image

from sweeps.report.charts.space import importances_figure, parallel_figure, slices_figure
from sweeps.report.charts.style import save
from sweeps.statistics.estimates import Estimate
from sweeps.verdict import landscape
from sweeps.verdict.landscape import Scored
from tests.sweeps.report.charts.trials import few, looked_at, many, one, solvers, texts


@pytest.fixture
def _few_are_enough(monkeypatch):
    monkeypatch.setattr(landscape, "LEAST_TO_SLICE", 1)


BEST, WORSE = Estimate(0.0, 0.0, 64), Estimate(-0.02, 0.01, 64)


def trials_of(name, values):
    scores = np.linspace(0.3, 0.6, len(values))
    return [Scored({name: value}, float(score), WORSE) for value, score in zip(values, scores, strict=True)]


def drawn_trials():
    """Two numbers and a name; the first has zeros and spans four decades. The best, a zero, is not the highest."""
    zeros = [Scored({"alpha": 0.0, "name": "lora"}, 0.4 + i / 100, BEST if i == 2 else WORSE) for i in range(3)]
    bars = enumerate((0.01, 0.02, float("inf"), 0.03, 0.04))
    judged = [(i, 0.36 + i / 50, Estimate(-0.1, bar, 16)) for i, bar in bars]
    return [Scored({"alpha": 10.0 ** (i - 2), "patches": i, "name": "ssf"}, *found) for i, *found in judged] + zeros


def lines_of(axis, count):
    """Of trials, the first drawn below all others."""
    return [line.get_ydata() for line in axis.lines if len(line.get_xdata()) == count]


def test_a_line_goes_through_the_shares_of_its_values():
    (axis,) = parallel_figure(few(), {}).axes
    lines = lines_of(axis, 5)
    assert len(lines) == 6
    # The winner is last: lambda 0.9 of 0.3 ... 24.3 by logarithm, alpha 0.16 of 0.04 ... 10.24 with 0 apart below,
    # patches 2 of 1 ... 5, lr 0.012 of 0.011 ... 0.02, accuracy 70 of 30 ... 70.
    above = 0.14 / 1.14
    expected = [np.log(3) / np.log(81), above + np.log(4) / np.log(256) / 1.14, 1 / 4, 1 / 9, 1]
    np.testing.assert_allclose(lines[-1], expected)
    np.testing.assert_allclose(lines[1], [np.nan, 0, np.nan, 1, 0.5])  # without prompts; 50 of 30 ... 70
    assert axis.lines[5].get_linewidth() == 3.0
    assert sorted(line[-1] for line in lines[:-1]) == [line[-1] for line in lines[:-1]]  # the better over the worse


def test_what_was_searched_by_its_logarithm_is_drawn_by_it():
    """The rate, 0.011 to 0.02, spans too little to be so by itself."""
    (axis,) = parallel_figure(few(), {"lr": True, "patches": True}).axes
    won = lines_of(axis, 5)[-1]
    assert won[2:4] == pytest.approx([np.log(2) / np.log(5), np.log(12 / 11) / np.log(20 / 11)])
    assert slices_figure(trials_of("lr", [0.01, 0.02] * 5), {"lr": True}).axes[0].get_xscale() == "log"
    assert slices_figure(trials_of("lr", [0.01, 2.0] * 5), {"lr": False}).axes[0].get_xscale() == "linear"


def test_each_hyper_parameter_stands_once_and_accuracy_last():
    shown = texts(parallel_figure(few(), {}))
    heads = [text for text in shown if text in ("lambda", "alpha", "patches", "lr", "accuracy %")]
    assert heads == ["lambda", "alpha", "patches", "lr", "accuracy %"]
    assert "no prompts" in shown


def test_choices_and_what_only_some_have():
    figure = parallel_figure(solvers(), {})
    (axis,) = figure.axes
    worst, middle, best = lines_of(axis, 5)  # name, lr, deep, rank, accuracy
    np.testing.assert_allclose(worst, [0, np.nan, 1, np.nan, 0])
    np.testing.assert_allclose(middle, [1, np.nan, 0, np.nan, 0.5])
    np.testing.assert_allclose(best, [0.5, 0.5, np.nan, 0.5, 1])
    assert {"True", "False", "ridge", "lora"} <= set(texts(figure))


@pytest.mark.parametrize("trials", [one(), many(200)])
def test_one_and_many_are_drawn(trials):
    (axis,) = parallel_figure(trials, {}).axes
    assert len(lines_of(axis, 3)) == len(trials)


def test_those_that_did_not_race_are_thin_and_small():
    trials = looked_at(60)
    figure = parallel_figure(trials, {})
    (axis,) = figure.axes
    widths = sorted(line.get_linewidth() for line in axis.lines if len(line.get_xdata()) == 3)
    assert [widths.count(width) for width in (0.4, 1.4, 3.0)] == [50, 9, 1]
    assert "did not race" in texts(figure)
    assert "did not race" not in texts(parallel_figure(few(), {}))
    for panel in slices_figure(trials, {}).axes:
        points = [line for line in panel.lines if line.get_label() == "did not race, as expected"]
        assert [len(line.get_xdata()) for line in points] == [50]
        assert len(panel.containers[0].lines[0].get_xdata()) == 10  # with bars


def test_bars_are_the_importances():
    figure = importances_figure({"lr": 0.6, "alpha": 0.4, "a & <b>": 0.0})
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == [0.6, 0.4, 0.0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["lr", "alpha", "a & <b>"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]
    assert {"0.60", "0.40", "0.00"} <= set(texts(figure))


@pytest.mark.usefixtures("_few_are_enough")
def test_there_is_a_panel_for_each_number_and_zero_stands_left():
    alpha, patches = slices_figure(drawn_trials(), {}).axes
    assert (alpha.get_xlabel(), patches.get_xlabel()) == ("alpha", "patches")
    assert (alpha.get_xscale(), patches.get_xscale()) == ("log", "linear")
    at, scores = alpha.containers[0].lines[0].get_data()
    assert at[:5].tolist() == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert scores.tolist() == pytest.approx([36, 38, 40, 42, 44, 40, 41, 42])
    place = dict(zip([text.get_text() for text in alpha.get_xticklabels()], alpha.get_xticks(), strict=True))["0"]
    assert at[5:].tolist() == [place] * 3
    assert alpha.get_xlim()[0] < place < 0.01
    star, nowhere = (next(line for line in axis.lines if line.get_marker() == "*") for axis in (alpha, patches))
    assert [(x, y) for x, y in zip(*star.get_data(), strict=True) if np.isfinite(x)] == [(place, pytest.approx(42))]
    assert np.isnan(nowhere.get_xdata()).all()


@pytest.mark.usefixtures("_few_are_enough")
def test_bars_are_those_of_the_difference_and_an_infinite_one_is_none():
    _, _, (bars,) = slices_figure(drawn_trials(), {}).axes[1].containers[0]
    halves = [np.diff(segment[:, 1]).item() / 2 if len(segment) else np.nan for segment in bars.get_segments()]
    np.testing.assert_allclose(halves, [1, 2, np.nan, 3, 4])


@pytest.mark.parametrize("values", [[0, 0.0], [3], [0, 5], [0.3, 0.31, 0.32], [0.001, 1000.0]])
def test_figures_of_few_values_are_drawn(tmp_path, values):
    for draw in (slices_figure, parallel_figure):
        with Image.open(save(draw(trials_of("lr", values * 10), {}), tmp_path / "new folder" / "one.png")) as image:
            assert image.format == "PNG"
            assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)


def test_what_trials_do_not_have_is_refused():
    for draw in (slices_figure, parallel_figure):
        with pytest.raises(ValueError, match="trials must be at least 1 but got 0"):
            draw([], {})
    with pytest.raises(ValueError, match="must have a numeric hyper-parameter"):
        slices_figure(trials_of("name", ["lora", "ssf"] * 5), {})
    with pytest.raises(ValueError, match="must have a hyper-parameter"):
        parallel_figure([Scored({}, 0.5, BEST)], {})
    with pytest.raises(ValueError, match="importances must be of at least 1"):
        importances_figure({})
