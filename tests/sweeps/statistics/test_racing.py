"""Racing by bets: its arithmetic by another road, and its promise for differences of every kind."""

import numpy as np
import pytest

from sweeps.statistics.racing import control_variate, in_the_race, racing

STAKES = [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32]


def drawn(seed, gaps, episodes, noise=0.03):
    """Accuracies of settings with these gaps to 0.6, on shared episodes."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 0.06, episodes)
    return {f"0.{i}": (0.6 - gap + difficulty + rng.normal(0, noise, episodes)).tolist() for i, gap in enumerate(gaps)}


def capital_of(own, rivals):
    """What 1 staked on each rival has become, multiplied out episode by episode."""
    total = 0.0
    for rival in rivals:
        for stake in STAKES:
            grown = stake / sum(STAKES)
            for ours, theirs in zip(own, rival, strict=True):
                grown *= 1 + stake * (theirs - ours)
            total += grown
    return total


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("trials", "delta"), [(5, 0.5), (5, 0.05), (32, 0.05)])
def test_a_trial_goes_when_bets_on_its_rivals_have_grown_enough(seed, trials, delta):
    accuracies = drawn(seed, [0, 0.02, 0.1, 0.2, 0.4], 24)
    expected = {
        name
        for name, own in accuracies.items()
        if capital_of(own, [rival for other, rival in accuracies.items() if other != name]) < (trials - 1) / delta
    }
    assert racing(trials, delta)(1, accuracies) == expected
    assert expected < set(accuracies)
    left = in_the_race(list(accuracies.values()), trials, delta)
    assert {f"0.{place}" for place in left} == expected


# Differences of a rival to the best whose mean is 0, or to whom the best is ahead: what a t test cannot see coming.
def steps(rng, rivals, episodes):
    """Rivals a query of 25 better in 40 % of episodes, the best five better in 8 %."""
    return 0.04 * (rng.random((rivals, episodes)) < 0.4) - 0.2 * (rng.random(episodes) < 0.08)


def collapses(rng, rivals, episodes):
    """Rivals that lose 40 points in 3 % of the episodes, which they share."""
    return np.where(rng.random(episodes) < 0.03, -0.4, 0.012 / 0.97) + rng.normal(0, 0.005, (rivals, episodes))


def own_collapses(rng, rivals, episodes):
    """The same, each rival in episodes of its own, and the best half a point ahead."""
    return np.where(rng.random((rivals, episodes)) < 0.03, -0.4, 0.012 / 0.97) - 0.005


def gains(rng, rivals, episodes):
    """A best that gains 50 points in 2 % of episodes."""
    return np.where(rng.random(episodes) < 0.02, -0.5, 0.01 / 0.98) + rng.normal(0, 0.005, (rivals, episodes))


def normal(rng, rivals, episodes):
    return rng.normal(0, 0.04, (rivals, episodes))


def heavy(rng, rivals, episodes):
    return np.clip(0.02 * rng.standard_t(2, (rivals, episodes)), -0.4, 0.4)


@pytest.mark.parametrize("kind", [steps, collapses, own_collapses, gains, normal, heavy])
@pytest.mark.parametrize("trials", [8, pytest.param(64, marks=pytest.mark.slow)])
def test_the_true_best_is_dropped_no_more_often_than_promised(kind, trials):
    rng, rule, dropped = np.random.default_rng(3), racing(trials, 0.05), 0
    for _ in range(200):
        ahead = kind(rng, trials - 1, 100)
        settings = np.vstack([np.full(100, 0.5), 0.5 + ahead])
        for end in (16, 24, 32, 48, 64, 100):
            going = {str(i): own for i, own in enumerate(settings[:, :end].tolist())}
            if "0" not in rule(1, going):
                dropped += 1
                break
    assert dropped <= 0.05 * 200


def test_a_clearly_worse_trial_goes():
    assert racing(3, 0.05)(1, drawn(0, [0.2, 0.0, 0.01], 48)) == {"0.1", "0.2"}


def test_equal_trials_stay():
    equal = {f"0.{i}": [0.63, 0.41, 0.52, 0.7] for i in range(4)}
    assert racing(4, 0.5)(1, equal) == set(equal)


def test_a_trial_with_a_failed_episode_goes_and_is_no_rival():
    accuracies = drawn(0, [0.2, 0.21, 0.0], 30)
    accuracies["0.2"][7] = None
    assert racing(3, 0.05)(1, accuracies) == {"0.0", "0.1"}
    assert racing(3, 0.05)(1, {"0.0": [None, 0.5], "0.1": [None, None]}) == set()
    assert racing(3, 0.05)(1, {"0.0": [None, 0.5], "0.1": [0.1, 0.2]}) == {"0.1"}


def test_a_lone_trial_stays():
    assert racing(1, 0.5)(1, {"0.0": [0.1, 0.9, 0.3]}) == {"0.0"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0, 0.05), "trials must be at least 1 but got 0"),
        ((2, 0.0), "delta must be above 0 and at most 0.5 but got 0"),
        ((2, 0.51), "delta must be above 0 and at most 0.5 but got 0.51"),
        ((2, float("nan")), "delta must be above 0 and at most 0.5 but got nan"),
    ],
)
def test_arguments_out_of_range(arguments, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        racing(*arguments)


@pytest.mark.parametrize("other", [[0.5], [0.5, 0.5, 0.5]])
def test_accuracies_must_be_as_many(other):
    sentence = f"^accuracies must be as many for all trials but are {sorted([2, len(other)])}$"
    sentence = sentence.replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(ValueError, match=sentence):
        racing(2, 0.05)(1, {"0.0": [0.1, 0.2], "0.1": other})


def test_the_control_variate_by_hand():
    assert control_variate([0.8, 0.6, 0.4, 0.6], [0.7, 0.4]) == pytest.approx(0.6 - 0.15)
    assert control_variate([0.8, 0.6], [0.5, 0.6]) == pytest.approx(0.55)


def test_the_control_variate_takes_out_the_episodes_difficulty():
    errors = []
    for seed in range(200):
        leader, trial = drawn(seed, [0.0, 0.05], 600).values()
        errors.append((control_variate(leader, trial[:20]) - 0.55, np.mean(trial[:20]) - 0.55))
    corrected, raw = np.sqrt(np.mean(np.square(errors), axis=0))
    assert corrected == pytest.approx(np.sqrt(0.03**2 * 2 / 20 + 0.06**2 / 600), rel=0.2)
    assert corrected < 0.75 * raw


@pytest.mark.parametrize("trial", [[], [0.1, 0.2, 0.3]])
def test_the_control_variate_needs_shared_episodes(trial):
    with pytest.raises(
        ValueError, match=f"^episodes of the trial must be between 1 and the leader's 2 but are {len(trial)}$"
    ):
        control_variate([0.5, 0.5], trial)
