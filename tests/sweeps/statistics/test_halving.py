import pytest

from sweeps.statistics.halving import halving


def survivors(keep, accuracies, rung=1):
    return halving(keep)(rung, {trial: [value, value] for trial, value in accuracies.items()})


@pytest.mark.parametrize(
    ("keep", "trials", "left"), [(0.5, 8, 4), (0.5, 5, 3), (0.5, 1, 1), (0.25, 8, 2), (0.1, 4, 1), (0.75, 4, 3)]
)
def test_the_better_share_stays(keep, trials, left):
    accuracies = {f"0.{i}": (i * 7 % trials) / trials for i in range(trials)}
    best = sorted(accuracies, key=accuracies.get)[-left:]
    assert survivors(keep, accuracies) == set(best)


def test_the_mean_over_all_episodes_decides():
    found = halving(0.5)(2, {"0.0": [1.0, 0.0, 0.2], "0.1": [0.4, 0.5, 0.6]})
    assert found == {"0.1"}


def test_of_equals_the_earlier_stays():
    equal = dict.fromkeys(["1.10", "1.9", "1.2", "1.11"], 0.5)
    assert survivors(0.5, equal) == {"1.2", "1.9"}
    assert survivors(0.25, dict(reversed(equal.items()))) == {"1.2"}


def test_a_trial_with_a_failed_episode_goes():
    found = halving(0.5)(1, {"0.0": [1.0, None], "0.1": [0.1, 0.1], "0.2": [None, None], "0.3": [0.2, 0.1]})
    assert found == {"0.1", "0.3"}
    assert halving(0.5)(1, {"0.0": [None], "0.1": [0.0]}) == {"0.1"}
    assert halving(0.5)(1, {"0.0": [None], "0.1": [None]}) == set()
