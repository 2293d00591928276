from itertools import pairwise

import numpy as np
import pytest

from sweeps.statistics.estimates import Estimate, estimate
from sweeps.verdict.landscape import LEAST_OF_SLICE, Scored, best_of, kinds, slices, told_by_slices

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
    parts = max(1, min(bins, count // LEAST_OF_SLICE))
    assert sorted(one.trials for one in found) == sorted(map(len, np.array_split(values, parts)))
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
    assert counted([1] * 10 + [2, 3, 3.0, 16] * 3) == [("1", 10), ("2", 3), ("3", 6), ("16", 3)]
    assert counted([1] * 30 + [2, 3, 4, 5, 6] * 2) == [("1", 30), ("2 – 3", 4), ("4", 2), ("5 – 6", 4)]


def test_a_slice_has_enough_trials_or_no_interval():
    assert counted([0.1, 0.2, 0.3, 0.4]) == [("0.1 – 0.4", 4)]
    (few,) = slices(trials_of("lr", [0.1, 0.2], [0.5, 0.6]), "lr")
    assert few.cells() == ("0.1 – 0.2", "2", "55.0", "60.0")
    (enough,) = slices(trials_of("lr", [0.1] * 5, [0.5, 0.5, 0.6, 0.7, 0.7]), "lr")
    # mean 60, deviation 10 / sqrt 5 x t(0.975, 4) = 2.7764
    assert enough.cells() == ("0.1", "5", "60.0 ± 12.4", "70.0")


def test_what_few_trials_have_is_not_told_by_slices():
    trials = trials_of("lr", [0.1] * 10) + trials_of("name", ["a"] * 10) + trials_of("tau", [1.0] * 9)
    assert told_by_slices(trials) == {"name": False, "lr": True}
    assert told_by_slices([]) == {}


def test_zero_names_and_truths_are_apart():
    spread = [0.25, 0.3, 0.4, 0.5, 0.6, 1.0, 2.0, 3.0, 3.5, 4.0]
    assert counted([0.0, 0, 0.0, *spread], 2) == [("0", 3), ("0.25 – 0.6", 5), ("1 – 4", 5)]
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


def test_hyper_parameters_come_in_their_order():
    trials = [Scored(values, 0.5, WORSE) for values in ({"alpha": 0.0, "lr": 1}, {"tau": 1, "alpha": 1, "lr": 1})]
    assert list(kinds([*trials, Scored({"name": "a"}, 0.5, WORSE)]).items()) == [
        ("name", False),
        ("alpha", True),
        ("tau", True),
        ("lr", True),
    ]
