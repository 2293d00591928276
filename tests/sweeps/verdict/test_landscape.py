from itertools import pairwise

import numpy as np
import pytest

from sweeps.statistics.estimates import Estimate, estimate
from sweeps.verdict.landscape import Scored, best_of, kinds, slices

BEST = Estimate(0.0, 0.0, 64)
WORSE = Estimate(-0.02, 0.01, 64)


def trials_of(name, values, scores=None):
    scores = np.linspace(0.3, 0.6, len(values)) if scores is None else scores
    return [Scored({name: value}, float(score), WORSE) for value, score in zip(values, scores, strict=True)]


@pytest.mark.parametrize(("count", "bins"), [(4, 4), (10, 4), (16, 4), (23, 4), (100, 4), (16, 1), (17, 6)])
def test_slices_hold_all_trials_evenly_in_order(count, bins):
    values = np.random.default_rng(count).permutation(np.geomspace(0.001, 1, count)).tolist()
    scores = np.random.default_rng(bins).random(count)
    found = slices(trials_of("lr", values, scores), "lr", bins)
    assert sorted(one.trials for one in found) == sorted(map(len, np.array_split(values, bins)))
    for one in found:
        inside = scores[(np.array(values) >= one.low) & (np.array(values) <= one.high)]
        assert (len(inside), inside.max()) == (one.trials, one.best)
        assert one.mean.mean == pytest.approx(inside.mean())
        assert one.mean.ci95 == pytest.approx(estimate(inside).ci95)
    assert all(one.high < other.low for one, other in pairwise(found))


@pytest.mark.parametrize("seed", range(10))
def test_equal_values_are_never_parted(seed):
    values = np.random.default_rng(seed).integers(1, 9, 30).tolist()
    found = slices(trials_of("patches", values), "patches")
    assert 2 <= len(found) <= 4
    assert [one.trials for one in found] == [sum(one.low <= value <= one.high for value in values) for one in found]
    assert sum(one.trials for one in found) == 30


def counted(values, bins=4):
    return [(one.label, one.trials) for one in slices(trials_of("x", values), "x", bins)]


def test_few_values_have_a_slice_each_and_a_common_one_takes_no_others():
    assert counted([1] * 10 + [2, 3, 3.0, 16]) == [("1", 10), ("2", 1), ("3", 2), ("16", 1)]
    assert counted([1] * 10 + [2, 3, 4, 5, 6]) == [("1", 10), ("2 – 3", 2), ("4", 1), ("5 – 6", 2)]


def test_zero_names_and_truths_are_apart():
    assert counted([0.0, 0.5, 0, 0.25, 0.0, 1.0, 2.0, 4.0], 2) == [("0", 3), ("0.25 – 0.5", 2), ("1 – 4", 3)]
    assert counted(["vpt", "ssf", "vpt", "a", "b", "c"]) == [("vpt", 2), ("ssf", 1), ("a", 1), ("b", 1), ("c", 1)]
    assert counted([False, True, False]) == [("False", 2), ("True", 1)]
    zero, _, name = slices(trials_of("x", [0]), "x") + slices(trials_of("x", ["a", "b"]), "x")
    assert (zero.low, zero.high, name.low, name.high) == (0, 0, None, None)


def test_trials_without_the_parameter_are_left_out():
    assert [one.trials for one in slices(trials_of("alpha", [0.5]) + trials_of("lr", [0.1]), "alpha")] == [1]


def test_what_trials_do_not_have_is_refused():
    for asked in (lambda: slices([], "lr"), lambda: best_of([]), lambda: kinds([])):
        with pytest.raises(ValueError, match="trials must be at least 1 but got 0"):
            asked()
    with pytest.raises(ValueError, match="name must be one of lr but got 'rate'"):
        slices(trials_of("lr", [0.1]), "rate")
    with pytest.raises(ValueError, match="bins must be at least 1 but got 0"):
        slices(trials_of("lr", [0.1]), "lr", 0)


def test_the_best_is_what_all_others_are_compared_with_and_did_most():
    curve = (Estimate(0.5, 0.1, 16), Estimate(0.6, 0.05, 64))
    early = Scored({}, 0.6, Estimate(0.0, 0.0, 16), "0.0", curve[:1])  # equal to the best as long as it went
    best, equal = (Scored({}, 0.6, BEST, name, curve) for name in ("0.1", "0.2"))
    lucky = Scored({}, 0.9, WORSE, "0.3", curve)
    assert best_of([early, best, equal, lucky]) is best
    assert (early.episodes, best.episodes) == (16, 64)
    # What the model expects of one that was only looked at may be more, and is no race.
    looked_at = Scored({}, 0.95, Estimate(0.01, 0.05, 3), "0.4", looks=3)
    assert (looked_at.episodes, best_of([looked_at, best])) == (0, best)


def test_hyper_parameters_come_in_the_order_of_a_trial_that_has_most():
    trials = [Scored(values, 0.5, WORSE) for values in ({"alpha": 0.0, "lr": 1}, {"tau": 1, "alpha": 1, "lr": 1})]
    assert list(kinds([*trials, Scored({"name": "a"}, 0.5, WORSE)]).items()) == [
        ("tau", True),
        ("alpha", True),
        ("lr", True),
        ("name", False),
    ]
