import pytest

from sweeps.report.text import verdict
from sweeps.statistics.estimates import Estimate
from tests.sweeps.findings import WON, compared, finding, p_of

WORSE = Estimate(-0.021, 0.009, 200)


def twin(difference):
    """How the winner does against itself without prompts."""
    return compared("best", WON, 0.702, difference, p=p_of(difference))


@pytest.mark.parametrize(
    ("tag", "said", "found"),
    [
        ("prompts help", "prompts help.", finding()),
        ("prompts harm", "prompts harm.", finding(gain=WORSE, twin=twin(WORSE))),
        ("no winner", "it is not told that these harm.", finding(gain=WORSE, twin=twin(Estimate(-0.001, 0.002, 200)))),
        ("no winner", "+2.1 ± 0.9 against itself", finding(gain=WORSE, twin=twin(Estimate(0.021, 0.009, 200)))),
        ("no winner", "whether its prompts harm is not known", finding(gain=WORSE)),
        ("no winner", "No winner: ", finding(gain=Estimate(0.009, 0.021, 200))),
        ("no winner", "No winner: ", finding(gain=None)),
        ("no prompts", "No setting with prompts did better", finding(values={"alpha": 0.0, "lr": 0.01})),
        ("no verdict", "No verdict: ", finding(mean=None, gain=None)),
        ("no verdict", "No verdict: ", finding(baseline=None, gain=None)),
    ],
)
def test_the_outcome_says_what_the_verdict_says(tag, said, found):
    assert found.outcome == tag
    assert said in verdict(found)


@pytest.mark.parametrize(("p", "differs"), [(None, False), (0.001, True), (0.024, True), (0.025, False), (0.3, False)])
def test_a_setting_differs_where_its_corrected_p_is_below_five_in_a_hundred(p, differs):
    gain = Estimate(0.02, 0.01, 200)
    assert compared("best", WON, 0.7, gain, p=p).differs == differs
    assert not compared("best", WON, 0.7, None, p=p).differs


def test_what_a_finding_says_of_its_search_is_what_the_record_has():
    found = finding(whole=3, importances={"lr": 1.0})
    assert (found.whole, found.stopped, len(found.record.trials)) == (3, 5, 16)
    assert found.values == WON
    assert found.importances == {"lr": 1.0}
