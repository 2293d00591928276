import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import TypeAdapter, ValidationError

from pipeline.config import Run, with_hyper_parameters
from sweeps.schema.loading import load
from sweeps.schema.space import (
    Choices,
    Range,
    Space,
    as_optuna,
    check_space,
    corners,
    dimensions,
    distributions_of,
    sample,
)
from tests.sweeps.tiny import CONFIG, TINY

SPACE = TypeAdapter(Space).validate_python(
    {
        "name": {"choices": ["lora", "vpt", "linear_probe", "r2d2"]},
        "alpha": {"low": 0.1, "high": 10, "log": True, "zero": True},
        "lambda": {"low": 0, "high": 1},
        "lr": {
            "lora": {"low": 0.01, "high": 0.1},
            "vpt": {"low": 1, "high": 10},
            "linear_probe": {"low": 3, "high": 30},
        },
        "rank": {"low": 1, "high": 16, "log": True, "integer": True},
        "tokens": {"low": 1, "high": 50, "integer": True},
        "deep": {"choices": [True, False]},
    }
)
MATTERS = {
    "lora": {"alpha", "lambda", "lr", "rank"},
    "vpt": {"alpha", "lambda", "lr", "tokens", "deep"},
    "linear_probe": {"lr"},
    "r2d2": set(),
}


@pytest.mark.parametrize("solver", MATTERS)
def test_a_solver_is_asked_for_what_matters_to_it(solver):
    assert set(dimensions(SPACE, solver)) == MATTERS[solver]


def test_samples_hold_what_matters_to_their_solver_in_its_own_range():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(200):
        values = sample(study.ask(), SPACE, "lora")
        solver = values["name"]
        steering = set() if values.get("alpha", 0) else {"lambda"}
        assert set(values) == {"name", *MATTERS[solver]} - steering
        if "lr" in values:
            own = SPACE["lr"][solver]
            assert own.low <= values["lr"] <= own.high
        with_hyper_parameters(Run(), values)
        seen.add((solver, values.get("alpha") == 0))
    assert seen == {(s, z) for s in ("lora", "vpt") for z in (True, False)} | {("linear_probe", False), ("r2d2", False)}


def test_a_setting_that_is_queued_comes_out_as_it_went_in():
    settings = [
        {"name": "lora", "alpha": 0.0, "lr": 0.05, "rank": 8},
        {"name": "vpt", "alpha": 2.0, "lambda": 0.5, "lr": 3.0, "tokens": 7, "deep": False},
        {"name": "r2d2"},
    ]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for values in settings:
        study.enqueue_trial(as_optuna(values, SPACE, "lora"))
    assert [sample(study.ask(), SPACE, "lora") for _ in settings] == settings


def test_who_names_no_solver_means_that_of_the_run():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(as_optuna({"lr": 3.5}, SPACE, "vpt"))
    values = sample(study.ask(), SPACE, "vpt")
    assert (values["name"], values["lr"]) == ("vpt", 3.5)


def test_distributions_are_those_of_the_solver_s_own_space():
    lr = Range(low=0.002, high=0.05, log=True)
    space = {
        "name": Choices(choices=("ridge", "lora")),
        "alpha": Range(low=0.03, high=10, log=True, zero=True),
        "patches": Range(low=2, high=16, log=True, integer=True),
        "rows": Choices(choices=("class", "all")),
        "lr": {"lora": lr},
    }
    assert distributions_of(space, "full", {"name": "lora"}) == {
        "name": CategoricalDistribution(("ridge", "lora")),
        "alpha is zero": CategoricalDistribution((False, True)),
        "alpha": FloatDistribution(0.03, 10, log=True),
        "patches": IntDistribution(2, 16, log=True),
        "rows": CategoricalDistribution(("class", "all")),
        "lr of lora": FloatDistribution(0.002, 0.05, log=True),
    }
    assert list(distributions_of(space, "full", {"name": "ridge"})) == ["name"]
    assert distributions_of({"lr": lr}, "lora", {}) == {"lr": FloatDistribution(0.002, 0.05, log=True)}


def test_corners_hold_every_end_and_every_choice():
    found = list(corners(SPACE, "lora"))
    assert {values["name"] for values in found} == set(MATTERS)
    assert {values["lr"] for values in found if values["name"] == "vpt"} == {1.0, 10.0}
    assert {values["deep"] for values in found if values["name"] == "vpt"} == {True, False}
    assert all(isinstance(values["rank"], int) for values in found if values["name"] == "lora")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (
            {"rank": {"low": 1, "high": 4}},
            "search.space.rank must matter to a solver that is tried, vpt, but",
        ),
        (
            {"lr": {"lora": {"low": 1, "high": 4}}},
            "search.space.lr must name solvers that are tried, vpt, but names 'lora'",
        ),
    ],
)
def test_what_matters_to_nobody_is_a_mistake(space, said):
    with pytest.raises(ValueError, match=said):
        check_space(TypeAdapter(Space).validate_python(space), "vpt")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.space.rank={low: 4, high: 1}", r"search\.space\.rank: low must be below high, 1, but got 4"),
        ("search.space.rank={low: 1.5, high: 4, integer: true}", "low and high must be integers but got 1.5 and 4"),
        ("search.space.rank={lo: 1, high: 4}", r"search\.space\.rank\.low must be given but is missing"),
        ("search.space.name={choices: [lora]}", r"search\.space\.name\.choices .*at least 2"),
        ("search.space.deep={choices: [true, true]}", r"search\.space\.deep: choices must differ"),
        ("search.space.name={choices: [lora, lara]}", "solver.name must be .*lora.* but got 'lara'"),
        ("search.space.lr={lora: {low: 2, high: 1}}", r"search\.space\.lr\.lora: low must be below high"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(override, said):
    with pytest.raises(ValueError, match=said) as raised:
        load(CONFIG, [*TINY, override])
    assert "<" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_ends_of_a_range():
    assert Range(low=2, high=16, integer=True).ends() == (2, 16)
    assert all(isinstance(end, int) for end in Range(low=2, high=16, integer=True).ends())
    assert Range(low=0.5, high=2).ends() == (0.5, 2.0)


def test_a_range_takes_only_numbers():
    for values in ({"low": 0, "high": math.inf}, {"low": math.nan, "high": 1}, {"low": 1}):
        with pytest.raises(ValidationError):
            Range(**values)


@pytest.mark.parametrize(
    ("low", "high", "patches", "ends"),
    [
        (0.02, 0.2, 196, (4, 39)),
        (0.02, 0.2, 64, (1, 13)),
        (0.01, 0.204, 196, (2, 40)),
        (0.02, 0.1, 4, (1, 2)),
        (0.5, 1, 49, (24, 49)),
    ],
)
def test_shares_are_numbers_of_patches(low, high, patches, ends):
    found = Range(low=low, high=high, log=True, share=True).of(patches)
    assert (found.ends(), found.integer, found.share, found.log) == (ends, True, False, True)
    assert found.of(7) is found


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"low": 0, "high": 0.5},
            "low and high must be shares above 0 and up to 1, as share is true, but got 0 and 0.5",
        ),
        ({"low": 2, "high": 40}, "low and high must be shares above 0 and up to 1, .* 2 and 40"),
        ({"low": 0.1, "high": 0.5, "integer": True}, "zero and integer must be left out where share is true"),
    ],
)
def test_shares_are_checked(fields, said):
    with pytest.raises(ValueError, match=said):
        Range(share=True, **fields)


def test_a_range_without_shares_is_described_as_before():
    assert "share" not in Range(low=1, high=2).model_dump()


@pytest.mark.parametrize(
    ("field", "entry", "said"),
    [
        *(
            (name, "{low: 1, high: 8}", rf"^search\.space\.{name}\.integer must be true, for {name} is a whole number")
            for name in ("patches", "rank", "tokens", "epochs", "batch", "blocks", "layers")
        ),
        ("rank", "{lora: {low: 1, high: 8}}", r"^search\.space\.rank\.lora\.integer must be true"),
        ("deep", "{low: 0, high: 1}", r"^search\.space\.deep must hold choices, for deep is no number"),
        ("head", "{low: 0, high: 1}", r"^search\.space\.head must hold choices"),
        ("tau", "{low: 1, high: 8, zero: true}", r"^search\.space\.tau\.zero must be false, as tau must be above 0"),
        ("lr", "{lora: {low: 0.1, high: 1, zero: true}}", r"^search\.space\.lr\.lora\.zero must be false"),
        ("patches", "{low: 1, high: 8, integer: true, zero: true}", r"^search\.space\.patches\.zero must be false"),
        ("patches", "{low: 1, high: 8000000, integer: true}", r"patches must be less than or equal to 1000000"),
    ],
)
def test_a_range_that_proposes_what_is_not_allowed_is_refused_when_it_is_read(field, entry, said):
    with pytest.raises(ValueError, match=said):
        load(CONFIG, [f"search.space.{field}={entry}", *(["solver.name=vpt"] if field in ("tokens", "deep") else [])])


@pytest.mark.parametrize("entry", ["alpha={low: 1, high: 8, zero: true}", "patches={low: 1, high: 8, integer: true}"])
def test_a_range_that_fits_is_taken(entry):
    assert load(CONFIG, [f"search.space.{entry}"])
