from dataclasses import replace

import pytest

from sweeps.report.charts.confidence import confidence_figure
from sweeps.statistics.estimates import Estimate
from tests.sweeps.findings import CONFIDENCE
from tests.sweeps.report.charts.trials import texts


def test_three_panels_show_what_was_found():
    figure = confidence_figure(CONFIDENCE)
    probable, risky, sets = figure.axes
    assert [tuple(line.get_xdata()) for line in probable.lines[1:]] == [(50.0, 87.5), (37.5, 75.0)]
    assert [tuple(line.get_ydata()) for line in probable.lines[1:]] == [(25.0, 75.0), (37.5, 75.0)]
    assert [tuple(line.get_ydata()) for line in risky.lines] == [(5.0, 37.5), (3.125, 25.0)]
    assert [bar.get_height() for bar in sets.patches] == [0.0, 62.5, 25.0, 12.5]
    assert "Sets with 90.0 ± 1.2 % of the true ones" in texts(figure)


def test_it_is_drawn_where_nothing_is_promised_or_was_answered():
    none = replace(CONFIDENCE, kept=(replace(CONFIDENCE.kept[0], wrong=Estimate(0.0, float("inf"), 60)),))
    for one in (none, replace(CONFIDENCE, kept=())):
        confidence_figure(one).canvas.draw()
    assert confidence_figure(none).axes[1].get_ylim()[1] == pytest.approx(1.35 * 5)


def test_a_bin_of_hardly_any_query_is_not_drawn():
    before, after = CONFIDENCE.bins
    few = replace(before[0], probability=0.1, right=1.0, share=0.0005)
    figure = confidence_figure(replace(CONFIDENCE, bins=((few, *before), after)))
    assert [tuple(line.get_xdata()) for line in figure.axes[0].lines[1:]] == [(50.0, 87.5), (37.5, 75.0)]
