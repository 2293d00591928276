import numpy as np
import pytest

from fpt.registry import SOLVERS
from sweeps.schema.space import Choices, Range
from sweeps.search.encoding import Encoding, share_of, value_at
from sweeps.search.looks import spread_evenly
from tests.sweeps.search.spaces import FIRST, LR, SPACE

SOLVERS_TOO = {
    "name": Choices(choices=("ridge", "lora", "full")),
    "alpha": Range(low=0.01, high=1, log=True, zero=True),
    "rows": Choices(choices=("class", "all")),
    "lr": {"lora": LR, "full": Range(low=0.0001, high=0.01, log=True)},
    "rank": Range(low=1, high=4, integer=True),
}


def point(encoding, values):
    """A setting's columns by what they are called."""
    return dict(zip(encoding.columns, encoding.points([values])[0].tolist(), strict=True))


def test_a_point_by_hand():
    """Of 2 to 16 patches, whose ends are 1.5 and 16.5 on a logarithmic scale, and so on."""
    values = {"lambda": 30, "alpha": 0.03, "tau": 0.3 + 0.25 * 2.7, "patches": 4, "lr": 0.01}
    assert point(Encoding(SPACE, "lora"), values) == pytest.approx(
        {
            ("lambda", None): 1.0,
            ("alpha", None): 0.0,
            ("alpha", "zero"): 0.0,
            ("tau", None): 0.25,
            ("patches", None): np.log2(4 / 1.5) / np.log2(16.5 / 1.5),
            ("lr", None): 0.5,
        }
    )


def test_what_means_nothing_is_in_the_middle():
    encoding = Encoding(SPACE, "lora")
    found = point(encoding, {"alpha": 0, "lr": 0.05})
    assert found.pop(("alpha", "zero")) == 1.0
    assert found.pop(("lr", None)) == pytest.approx(1.0)
    assert set(found.values()) == {0.5}
    assert found.keys() == {("lambda", None), ("alpha", None), ("tau", None), ("patches", None)}


def test_settings_alike_in_all_that_matters_are_the_same_point():
    encoding = Encoding(SPACE, "lora")
    alike = [{"alpha": 0, "lr": 0.01}, {"lr": 0.01, "alpha": 0.0}, {"alpha": 0, "lr": 0.01, "tau": 2, "patches": 3}]
    first, *others = encoding.points(alike)
    assert all(np.array_equal(first, other) for other in others)
    assert not np.array_equal(first, encoding.points([{"alpha": 0, "lr": 0.02}])[0])
    several = Encoding(SOLVERS_TOO, "lora")
    one, two = several.points([{"name": "ridge"}, {"name": "ridge", "lr": 0.01, "rank": 2}])
    assert np.array_equal(one, two)


def test_solvers_and_choices_have_a_column_each_by_hand():
    encoding = Encoding(SOLVERS_TOO, "lora")
    found = point(encoding, {"name": "lora", "alpha": 0.1, "rows": "all", "lr": 0.002, "rank": 4})
    assert found == pytest.approx(
        {
            ("name", "ridge"): 0.0,
            ("name", "lora"): 1.0,
            ("name", "full"): 0.0,
            ("alpha", None): 0.5,
            ("alpha", "zero"): 0.0,
            ("rows", "class"): 0.0,
            ("rows", "all"): 1.0,
            ("lr of lora", None): 0.0,
            ("lr of full", None): 0.5,
            ("rank", None): 3.5 / 4,  # from 0.5 to 4.5
        }
    )
    ridge = point(encoding, {"name": "ridge"})
    assert [value for (label, _), value in ridge.items() if label == "name"] == [1.0, 0.0, 0.0]
    assert {value for (label, _), value in ridge.items() if label not in ("name", "alpha")} == {0.5}


@pytest.mark.parametrize("solver", ["lora", "full", "ridge"])
@pytest.mark.parametrize("steered", [True, False])
def test_points_and_settings_are_each_other_s(solver, steered):
    encoding = Encoding(SOLVERS_TOO, "lora")
    names = encoding.names(solver)
    for shares in np.random.default_rng(0).random((50, len(names))):
        values = encoding.setting(shares, solver, steered)
        found = point(encoding, values)
        labels = {"lr": f"lr of {solver}"}
        back = [found.get((labels.get(name, name), None), 0.0) for name in names]
        if "rows" in names:
            back[names.index("rows")] = 0.75 * (values["rows"] == "all")
        assert encoding.setting(back, solver, steered) == values
        for name, share in zip(names, back, strict=True):
            if name == "lr":  # four digits of a rate
                assert share == pytest.approx(shares[names.index(name)], abs=1e-3)


def test_a_setting_without_prompts_has_nothing_of_them():
    encoding = Encoding(SPACE, "lora")
    shares = [1.0] * 5
    assert encoding.setting(shares, "lora", False) == {"alpha": 0.0, "lr": 0.05}
    highest = {"lambda": 30, "alpha": 10, "tau": 3, "patches": 16, "lr": 0.05}
    assert encoding.setting(shares, "lora", True) == highest
    plain = Encoding({"lr": LR}, "linear_probe")
    assert plain.setting([0.0], "linear_probe", False) == {"lr": 0.002}


def test_another_hyper_parameter_than_alpha_may_be_0_beside_its_range_too():
    space = {**SPACE, "lambda": Range(low=0.1, high=10, log=True, zero=True)}
    encoding = Encoding(space, "lora")
    place = encoding.names("lora").index("lambda")
    settings = [
        encoding.setting([0.5] * place + [share] + [0.5] * (4 - place), "lora", True) for share in (0, 0.09, 0.1, 1)
    ]
    assert [one["lambda"] for one in settings] == [0.0, 0.0, pytest.approx(0.1), 10.0]
    found = spread_evenly(encoding, 200, seed=0)
    assert 10 <= sum(one.get("lambda") == 0 for one in found) <= 26  # a tenth of those with prompts


def test_only_what_steers_and_has_a_zero_may_go_without_prompts():
    assert Encoding(SPACE, "lora").may_have_none("lora")
    assert not Encoding({**SPACE, "alpha": Range(low=0.1, high=1)}, "lora").may_have_none("lora")
    assert not Encoding({"lr": LR}, "lora").may_have_none("lora")
    several = Encoding(SOLVERS_TOO, "lora")
    assert {solver: several.may_have_none(solver) for solver in several.solvers} == {
        solver: SOLVERS[solver].steered for solver in ("ridge", "lora", "full")
    }


@pytest.mark.parametrize("entry", [Range(low=1, high=4, integer=True), Range(low=2, high=16, log=True, integer=True)])
def test_each_integer_has_its_room_and_comes_back(entry):
    every = range(int(entry.low), int(entry.high) + 1)
    assert [value_at(share_of(one, entry), entry) for one in every] == list(every)
    found = [value_at(share, entry) for share in (np.arange(12_000) + 0.5) / 12_000]
    assert all(isinstance(one, int) for one in found)
    width = np.log if entry.log else float
    whole = width(entry.high + 0.5) - width(entry.low - 0.5)
    for one in every:
        assert found.count(one) / 12_000 == pytest.approx((width(one + 0.5) - width(one - 0.5)) / whole, abs=1e-3)


def test_values_do_not_leave_their_range_and_named_ones_may():
    for entry in SPACE.values():
        assert (value_at(-3.0, entry), value_at(0.0, entry)) == (entry.low, entry.low)
        assert (value_at(4.0, entry), value_at(1.0, entry)) == (entry.high, entry.high)
    assert share_of(0.25, LR) == pytest.approx(1.5)  # 0.05 is 25 times 0.002, and 0.25 five times more
    assert share_of(0.0, LR) == 0.0
    assert share_of(5.7, SPACE["tau"]) == pytest.approx(2.0)


def test_choices_come_in_their_order():
    entry = Choices(choices=("a", "b", "c"))
    assert [value_at(share, entry) for share in (0.0, 0.3, 0.34, 0.66, 0.67, 1.0)] == ["a", "a", "b", "b", "c", "c"]


def test_named_settings_are_told_apart_outside_the_space():
    encoding = Encoding(SPACE, "lora")
    inside, outside = encoding.points([FIRST["paper defaults"], {**FIRST["paper defaults"], "lr": 0.25}])
    assert np.flatnonzero(inside != outside).tolist() == [list(encoding.columns).index(("lr", None))]


def test_a_space_of_nothing_is_a_single_point():
    assert Encoding({}, "ridge").points([{}, {}]).tolist() == [[0.5], [0.5]]
