import numpy as np
import pytest

from sweeps.schema.space import Choices, Range
from sweeps.search.belief import Model
from sweeps.search.encoding import Encoding, share_of
from sweeps.search.looks import (
    GROWN,
    Looks,
    expected_gain,
    finalists,
    key_of,
    neighbours,
    next_settings,
    spread_evenly,
)
from tests.sweeps.search.spaces import LR, SPACE

UNIT = Range(low=0.0, high=1.0)
PLANE = Encoding({"tau": UNIT, "lr": UNIT}, "lora")  # no search of ours, but shares are values
LORA = Encoding(SPACE, "lora")
SEVERAL = Encoding({**SPACE, "name": Choices(choices=("ridge", "linear_probe", "lora"))}, "lora")


def ridge(values):
    """Accuracies that are highest along tau 0.7."""
    return 0.8 - 1.5 * (values["tau"] - 0.7) ** 2


def looked(count=48, noise=0.03, blocks=3, truth=ridge, encoding=PLANE, episodes=1, seed=0):
    """Looks at settings all over the space, in blocks whose episodes are not equally hard."""
    rng, looks = np.random.default_rng(seed), Looks()
    settings = spread_evenly(encoding, count, seed)
    for block in range(blocks):
        own, hard = settings[block::blocks], rng.normal(0, 0.05)
        looks.add(own, block, [truth(values) + hard + noise * rng.standard_normal() for values in own], episodes)
    return looks


def keys(settings):
    return list(map(key_of, settings))


def test_equal_settings_have_one_key_and_others_another():
    assert key_of({"lr": 0.1, "alpha": 2}) == key_of({"alpha": 2, "lr": 0.1})
    assert len({key_of(values) for values in ({"lr": 0.1}, {"lr": 0.2}, {"tau": 0.1}, {}, {"lr": "0.1"})}) == 5


def test_a_space_is_filled_evenly():
    """Sobol's points: of 16, one is in each sixteenth of every column."""
    settings = spread_evenly(Encoding({**SPACE, "alpha": Range(low=0.1, high=1)}, "lora"), 16, 0)
    for name, entry in (("lambda", SPACE["lambda"]), ("tau", SPACE["tau"]), ("lr", LR)):
        shares = [share_of(values[name], entry) for values in settings]
        assert sorted(int(16 * share) for share in shares) == list(range(16)), name
        assert shares != sorted(shares)
    assert set(keys(settings)).isdisjoint(keys(spread_evenly(LORA, 16, 1)))


@pytest.mark.parametrize("count", [0, 1, 2, 5, 33])
def test_as_many_settings_as_are_asked_for_lie_in_their_ranges(count):
    settings = spread_evenly(LORA, count, 7)
    assert len(set(keys(settings))) == count
    assert settings == spread_evenly(LORA, count, 7)
    for values in settings:
        for name, value in values.items():
            assert (name, value) == ("alpha", 0.0) or SPACE[name].low <= value <= SPACE[name].high
            assert isinstance(value, int) == (name == "patches")


def test_a_share_of_them_goes_without_prompts():
    settings = spread_evenly(LORA, 40, 0)
    plain = [values for values in settings if values["alpha"] == 0]
    assert len(plain) == 4
    assert all(values.keys() == {"alpha", "lr"} for values in plain)
    assert all(values.keys() == SPACE.keys() for values in settings if values not in plain)
    assert sum(values["alpha"] == 0 for values in spread_evenly(LORA, 40, 0, without=0.5)) == 20
    assert not [values for values in spread_evenly(LORA, 40, 0, without=0.0) if values["alpha"] == 0]


def test_every_solver_has_as_many_of_them():
    settings = spread_evenly(SEVERAL, 30, 0)
    names = [values["name"] for values in settings]
    assert {name: names.count(name) for name in names} == dict.fromkeys(("ridge", "linear_probe", "lora"), 10)
    assert names != sorted(names)
    for values in settings:
        if values["name"] != "lora":
            assert values.keys() == {"ridge": {"name"}, "linear_probe": {"name", "lr"}}[values["name"]]
    assert sum(values.get("alpha") == 0 for values in settings) == 1


def test_looks_are_kept_in_their_order_and_each_setting_is_one():
    looks = Looks()
    looks.add([{"lr": 0.1}, {"lr": 0.2}], 0, [0.5, 0.6], 1)
    looks.add([{"lr": 0.3}, {"lr": 0.1}], 4, [0.7, 0.8], 2)
    assert looks.settings == [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}, {"lr": 0.1}]
    assert (looks.blocks, looks.accuracies, looks.episodes) == ([0, 0, 4, 4], [0.5, 0.6, 0.7, 0.8], [1, 1, 2, 2])
    assert looks.different == [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}]


def test_a_model_of_looks_is_that_of_their_points():
    looks = looked()
    parts = (PLANE.points(looks.settings), *map(np.array, (looks.blocks, looks.accuracies, looks.episodes)))
    asked = PLANE.points([{"tau": 0.2, "lr": 0.3}, {"tau": 0.7, "lr": 0.3}])
    ours, theirs = looks.model(PLANE).belief(asked), Model(*parts).belief(asked)
    assert ours.mean == pytest.approx(theirs.mean)
    assert ours.covariance == pytest.approx(theirs.covariance)


def test_what_a_model_weighs_is_fitted_anew_once_looks_have_grown_by_a_quarter():
    looks = looked(16, blocks=1)
    first = looks.model(PLANE).kernel
    assert looks.model(PLANE).kernel is first
    kernels = []
    for place in range(8):  # 17 to 24 looks, of which 20 are a quarter more than 16, and 25 than 20
        looks.add([{"tau": place / 8, "lr": 0.5}], 1, [0.5], 1)
        kernels.append(looks.model(PLANE).kernel)
    assert GROWN == 1.25
    assert all(one is first for one in kernels[:3])
    assert kernels[3] is not first
    assert all(one is kernels[3] for one in kernels[3:])
    looks.add([{"tau": 0.1, "lr": 0.1}], 1, [0.5], 1)
    assert looks.model(PLANE).kernel is not kernels[3]


def test_the_same_looks_and_seed_give_the_same_settings():
    one, again, other = (next_settings(PLANE, looked(), 8, seed) for seed in ((3, 1), (3, 1), (3, 2)))
    assert one == again
    assert one != other
    assert next_settings(PLANE, looked(seed=1), 8, (3, 1)) != one


def test_each_setting_is_proposed_once():
    for encoding, truth in ((PLANE, ridge), (LORA, lambda values: values["lr"])):
        settings = next_settings(encoding, looked(encoding=encoding, truth=truth), 24, 0)
        assert len(settings) == len(set(keys(settings))) == 24


def test_where_accuracy_is_high_is_where_to_look_next():
    looks = looked()
    away = [abs(values["tau"] - 0.7) for values in next_settings(PLANE, looks, 16, 0)]
    assert np.mean([abs(values["tau"] - 0.7) for values in looks.settings]) > 0.25
    assert np.mean(away) < 0.12
    over = [values["lr"] for values in next_settings(PLANE, looks, 16, 0)]  # along which nothing changes
    assert np.ptp(over) > 0.4


def test_what_is_proposed_lies_in_the_space():
    def best_at_the_ends(values):
        return 0.5 + values["lr"] + values["alpha"] / 100

    settings = next_settings(LORA, looked(encoding=LORA, truth=best_at_the_ends), 24, 0)
    for values in settings:
        assert values.keys() == (SPACE.keys() if values["alpha"] else {"alpha", "lr"})
        for name, value in values.items():
            assert (name, value) == ("alpha", 0.0) or SPACE[name].low <= value <= SPACE[name].high
            assert isinstance(value, int) == (name == "patches")


def test_neighbours_are_near_and_have_the_same_choices():
    rng = np.random.default_rng(0)
    values = {"name": "lora", "lambda": 1.0, "alpha": 1.0, "tau": 1.65, "patches": 5, "lr": 0.01}
    found = neighbours(SEVERAL, values, 400, rng)
    steps = SEVERAL.points(found) - SEVERAL.points([values])
    by_label = {label: steps[:, column] for (label, what), column in SEVERAL.columns.items() if what is None}
    for label in ("lambda", "alpha", "tau", "lr"):
        assert by_label[label].std() == pytest.approx(0.08, rel=0.15), label
    assert {one["patches"] for one in found} >= {4, 5, 6}
    assert {one["name"] for one in found} == {"lora"}
    assert key_of(values) == key_of({**values})

    plain = neighbours(SEVERAL, {"name": "lora", "alpha": 0.0, "lr": 0.01}, 20, rng)
    assert {one["alpha"] for one in plain} == {0.0}
    assert len({one["lr"] for one in plain}) > 15
    assert neighbours(SEVERAL, {"name": "ridge"}, 3, rng) == [{"name": "ridge"}] * 3


def test_little_is_to_be_gained_where_all_is_known():
    known = looked(64, noise=1e-3, blocks=4, episodes=50)
    unknown = looked(6, noise=0.2, blocks=3)
    much, little = (expected_gain(PLANE, looks, 64, 0) for looks in (unknown, known))
    assert (much.looks, little.looks) == (64, 64)
    assert abs(little.mean) < 0.005
    assert much.mean > 0.02
    assert little.spread < much.spread
    assert expected_gain(PLANE, looked(6, noise=0.2), 64, 0) == much


def test_more_looks_gain_more():
    gains = [expected_gain(PLANE, looked(12, noise=0.1), count, 0).mean for count in (1, 64)]
    assert gains[0] < gains[1]


def test_finalists_were_looked_at_and_the_best_is_among_them():
    looks = looked(blocks=4)
    chosen = finalists(PLANE, looks, 6, 0)
    assert len(chosen) == len(set(keys(chosen))) == 6
    assert set(keys(chosen)) <= set(keys(looks.settings))
    belief = looks.model(PLANE).belief(PLANE.points(looks.different))
    assert key_of(looks.different[int(belief.mean.argmax())]) in keys(chosen)
    assert np.mean([ridge(values) for values in chosen]) > np.mean([ridge(values) for values in looks.different]) + 0.1
    assert finalists(PLANE, looked(blocks=4), 6, 0) == chosen


def test_all_are_finalists_where_they_are_few():
    looks = looked(5, blocks=1)
    assert sorted(keys(finalists(PLANE, looks, 8, 0))) == sorted(keys(looks.settings))
