"""Settings side by side, on made-up accuracies."""

import pytest

from sweeps.report.text import verdict
from sweeps.statistics.estimates import holm, paired_difference, paired_p_value
from sweeps.verdict.finding import BASELINE, FROZEN
from tests.sweeps.verdict.stand_in import EPISODES, PLAIN, ROUGH, STEERED, StandIn, judged


def test_differences_are_paired_and_to_the_baseline():
    session = StandIn()
    found = judged(session)
    ours, theirs = (
        [session.row(compared.run, i)["accuracy"] for i in range(EPISODES)] for compared in (found.best, found.baseline)
    )
    gain = found.best.difference
    assert gain == paired_difference(ours, theirs, 1 / 9)
    assert gain.mean == pytest.approx(0.05 - 0.01 + sum(ROUGH) / 6)
    assert found.best.estimate.mean == pytest.approx(sum(ours) / EPISODES)
    assert found.baseline.difference is None
    assert found.compared[FROZEN].difference.mean == pytest.approx(-0.02)


def test_a_setting_that_fails_has_no_numbers():
    found = judged(StandIn(diverging=[STEERED["lr"]]))
    assert (found.best.estimate, found.best.difference) == (None, None)
    assert found.baseline.estimate is not None
    assert found.compared["paper defaults"].difference is not None
    found = judged(StandIn(diverging=[PLAIN["lr"]]))
    assert found.compared[BASELINE].estimate is None
    assert found.yardstick == FROZEN
    assert found.best.difference is not None
    assert found.compared[BASELINE].difference is None


def test_p_values_are_corrected_for_how_many_settings_differ_from_the_baseline():
    session = StandIn(better=0.02)
    found = judged(session)
    theirs = [session.row(found.baseline.run, i)["accuracy"] for i in range(EPISODES)]
    others = {name: one for name, one in found.compared.items() if name != BASELINE}
    p_values = [
        paired_p_value([session.row(one.run, i)["accuracy"] for i in range(EPISODES)], theirs, 1 / 9)
        for one in others.values()
    ]
    assert [one.p for one in others.values()] == pytest.approx(p_values)
    assert [one.p_holm for one in others.values()] == pytest.approx(holm([one.p for one in others.values()]))
    assert found.baseline.p is None


@pytest.mark.parametrize(("classes", "few"), [(100, False), (12, True)])
def test_with_few_classes_intervals_are_over_classes(classes, few):
    found = judged(StandIn(classes=classes))
    best = found.best
    assert found.few_classes == few
    assert best.difference == (best.over_classes if few else best.over_episodes)
    assert best.over_classes.ci95 >= best.over_episodes.ci95
    assert best.bounds[0] < best.difference.mean < best.bounds[1]
    assert (f"over {found.about.classes} classes, p" in verdict(found)) == few
