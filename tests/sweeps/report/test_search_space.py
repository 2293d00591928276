import pytest

from sweeps.report.search_space import as_markdown
from sweeps.statistics.estimates import Estimate
from sweeps.verdict.landscape import Scored

BEST = Estimate(0.0, 0.0, 64)
WORSE = Estimate(-0.02, 0.01, 64)


def test_the_section_by_hand():
    trials = [Scored({"lr": 0.01, "name": "a|b"}, score, WORSE) for score in (0.5, 0.6) * 5]
    lines = as_markdown([*trials, Scored({"name": "ssf"}, 0.7, BEST)], {"lr": 0.75, "name": 0.25})
    assert lines[2:6] == ["| parameter | importance |", "| --- | ---: |", "| lr | 0.75 |", "| name | 0.25 |"]
    # of five 50 and five 60: mean 55, deviation 5.2705 / sqrt 10 x t(0.975, 9) = 2.2622
    head = ["trials | mean | best |", "| --- | ---: | ---: | ---: |"]
    named = ["| a\\|b | 10 | 55.0 ± 3.8 | 60.0 |", "| ssf | 1 | 70.0 | 70.0 |", ""]
    told = [line.removeprefix("| name | ").removeprefix("| lr | ") for line in lines[-8:]]
    assert told == [*head, *named, *head, "| 0.01 | 10 | 55.0 ± 3.8 | 60.0 |"]


def test_what_cannot_be_told_is_said():
    lines = as_markdown([Scored({"lr": 0.1}, 0.3, WORSE)], None)
    assert "cannot be told: that takes 32 trials with a score" in lines[2]
    assert lines[4:] == ["Accuracy over lr cannot be told: that takes 10 trials with a score that have it."]


def test_no_trials_are_refused():
    with pytest.raises(ValueError, match="trials must be at least 1 but got 0"):
        as_markdown([], None)
