import pytest

from sweeps.report.search_space import as_markdown
from sweeps.statistics.estimates import Estimate
from sweeps.verdict.landscape import Scored

BEST = Estimate(0.0, 0.0, 64)
WORSE = Estimate(-0.02, 0.01, 64)


def test_the_section_by_hand():
    trials = [Scored({"lr": 0.01, "name": "a|b"}, score, WORSE) for score in (0.5, 0.6)]
    lines = as_markdown([*trials, Scored({"name": "ssf"}, 0.7, BEST)], {"name": 0.75, "lr": 0.25})
    assert lines[2:6] == ["| parameter | importance |", "| --- | ---: |", "| name | 0.75 |", "| lr | 0.25 |"]
    # of 50 and 60: mean 55, standard error 5, t(0.975, 1) = 12.7062
    head = ["trials | mean | best |", "| --- | ---: | ---: | ---: |"]
    named = ["| a\\|b | 2 | 55.0 ± 63.5 | 60.0 |", "| ssf | 1 | 70.0 | 70.0 |", ""]
    told = [line.removeprefix("| name | ").removeprefix("| lr | ") for line in lines[-8:]]
    assert told == [*head, *named, *head, "| 0.01 | 2 | 55.0 ± 63.5 | 60.0 |"]


def test_without_importances_the_section_says_why():
    assert "cannot be told: that takes 8 trials with a score" in as_markdown([Scored({"lr": 0.1}, 0.3, WORSE)], None)[2]


def test_no_trials_are_refused():
    with pytest.raises(ValueError, match="trials must be at least 1 but got 0"):
        as_markdown([], None)
