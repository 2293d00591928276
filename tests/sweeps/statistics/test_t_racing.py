import numpy as np
import pytest
from scipy.stats import binom, ttest_rel

from sweeps.statistics.t_racing import in_the_race_if_symmetric, t_racing


def drawn(seed, gaps, episodes, noise=0.03):
    """Accuracies of settings with these gaps to 0.6, on shared episodes."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 0.06, episodes)
    return {f"0.{i}": (0.6 - gap + difficulty + rng.normal(0, noise, episodes)).tolist() for i, gap in enumerate(gaps)}


def beaten(own, rivals, level):
    return any(ttest_rel(rival, own, alternative="greater").pvalue < level for rival in rivals)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("trials", "rungs", "delta"), [(6, 1, 0.5), (6, 4, 0.05), (32, 11, 0.05)])
def test_a_trial_goes_when_a_paired_t_test_says_so(seed, trials, rungs, delta):
    accuracies = drawn(seed, [0, 0.005, 0.01, 0.015, 0.02, 0.04], 24)
    level = delta / ((trials - 1) * rungs)
    expected = {
        name
        for name, own in accuracies.items()
        if not beaten(own, [rival for other, rival in accuracies.items() if other != name], level)
    }
    assert t_racing(trials, rungs, delta)(1, accuracies) == expected
    assert expected < set(accuracies)


def test_the_level_is_spent_over_rivals_and_rungs():
    own, rival = drawn(3, [0.02, 0.0], 20).values()
    p = ttest_rel(rival, own, alternative="greater").pvalue
    accuracies = {"0.0": own, "0.1": rival}
    assert t_racing(5, 3, 12 * p * 1.01)(1, accuracies) == {"0.1"}
    assert t_racing(5, 3, 12 * p * 0.99)(1, accuracies) == {"0.0", "0.1"}
    assert t_racing(6, 3, 12 * p * 1.01)(1, accuracies) == {"0.0", "0.1"}
    assert t_racing(5, 4, 12 * p * 1.01)(1, accuracies) == {"0.0", "0.1"}


def test_the_true_best_is_dropped_no_more_often_than_promised():
    """Six settings all but the same, which are rivals at each of four rungs: the worst case."""
    delta, sweeps, ends = 0.2, 1500, (8, 16, 32, 64)
    rng, rule, dropped = np.random.default_rng(5), t_racing(6, 4, delta), 0
    for _ in range(sweeps):
        settings = rng.normal(0.6, 0.03, (6, ends[-1])) + rng.normal(0, 0.06, ends[-1])
        best, going = str(rng.integers(6)), {str(i) for i in range(6)}  # equal, so any of them is a true best
        for rung, end in enumerate(ends, start=1):
            going = rule(rung, {trial: settings[int(trial), :end].tolist() for trial in sorted(going)})
        dropped += best not in going
    assert dropped <= binom.ppf(0.999, sweeps, delta)
    assert dropped >= sweeps * delta / 20  # a rule that never stops would prove nothing


def test_a_clearly_better_trial_ends_the_race_of_the_others():
    assert t_racing(8, 5, 0.05)(1, drawn(0, [0.2, 0.0, 0.25, 0.3], 16)) == {"0.1"}


def test_equal_trials_stay():
    equal = {f"0.{i}": [0.63, 0.41, 0.52, 0.7] for i in range(4)}
    assert t_racing(4, 2, 0.5)(1, equal) == set(equal)


def test_the_truly_best_is_among_those_that_no_other_beats():
    """Six trials whose true means are a point apart, or all the same; at most 5 % miss the best."""
    rng, missed, left = np.random.default_rng(1), 0, {True: [], False: []}
    for sweep in range(200):
        apart = sweep % 2 == 0
        scores = np.arange(6)[:, None] * 0.01 * apart + rng.normal(0.6, 0.1, 200) + rng.normal(0, 0.03, (6, 200))
        found = in_the_race_if_symmetric(scores.tolist(), 0.05)
        assert found == [i for i in range(6) if not beaten(scores[i], np.delete(scores, i, 0), 0.05 / 5)]
        left[apart].append(len(found))
        missed += 5 not in found
    assert missed <= 0.05 * 200
    assert np.mean(left[True]) < 3 < 5 < np.mean(left[False])


def test_differences_that_are_all_equal_say_nothing_about_their_spread():
    apart = {"0.0": [0.63, 0.41, 0.52, 0.7], "0.1": [0.62, 0.4, 0.51, 0.69]}
    assert t_racing(2, 1, 0.5)(1, apart) == set(apart)


def test_one_episode_stops_nobody():
    assert t_racing(3, 2, 0.5)(1, {"0.0": [0.9], "0.1": [0.1]}) == {"0.0", "0.1"}


def test_a_trial_with_a_failed_episode_goes_and_is_no_rival():
    accuracies = drawn(0, [0.2, 0.21, 0.0], 30)
    accuracies["0.2"][7] = None
    assert t_racing(3, 2, 0.05)(1, accuracies) == {"0.0", "0.1"}
    assert t_racing(3, 2, 0.05)(1, {"0.0": [None, 0.5], "0.1": [None, None]}) == set()
    assert t_racing(3, 2, 0.05)(1, {"0.0": [None, 0.5], "0.1": [0.1, 0.2]}) == {"0.1"}


def test_a_lone_trial_stays():
    assert t_racing(1, 1, 0.5)(1, {"0.0": [0.1, 0.9, 0.3]}) == {"0.0"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0, 1, 0.05), "trials must be at least 1 but got 0"),
        ((2, 0, 0.05), "rungs must be at least 1 but got 0"),
        ((2, 1, 0.0), "delta must be above 0 and at most 0.5 but got 0"),
        ((2, 1, 0.51), "delta must be above 0 and at most 0.5 but got 0.51"),
        ((2, 1, float("nan")), "delta must be above 0 and at most 0.5 but got nan"),
    ],
)
def test_arguments_out_of_range(arguments, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        t_racing(*arguments)


@pytest.mark.parametrize("other", [[0.5], [0.5, 0.5, 0.5]])
def test_accuracies_must_be_as_many(other):
    sentence = f"^accuracies must be as many for all trials but are {sorted([2, len(other)])}$"
    sentence = sentence.replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(ValueError, match=sentence):
        t_racing(2, 1, 0.05)(1, {"0.0": [0.1, 0.2], "0.1": other})
