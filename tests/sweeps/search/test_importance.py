from dataclasses import replace

import numpy as np
import pytest

from sweeps.schema.space import Choices, Range
from sweeps.search.encoding import Encoding
from sweeps.search.importance import importances
from sweeps.search.looks import spread_evenly
from sweeps.search.record import LEAST_TRIALS, SearchRecord, Trial
from tests.sweeps.search.spaces import LR, SPACE, by_lr

WIDE = {name: Range(low=0.1, high=10, log=True) for name in ("lr", "tau", "lambda")}
BOTH = {**SPACE, "name": Choices(choices=("lora", "ridge")), "lr": {"lora": LR}}


def record_of(settings, scores):
    return SearchRecord(
        tuple(
            Trial(f"0.{i}", 0, values, score=score)
            for i, (values, score) in enumerate(zip(settings, scores, strict=True))
        ),
        (2,),
    )


def shares(space, settings, score):
    record = record_of(settings, map(score, settings))
    found = importances(record, space, "lora")
    assert replace(found, importances=None) == record
    return found.importances


def evenly(space, count):
    return spread_evenly(Encoding(space, "lora"), count, 0)


@pytest.mark.parametrize("matters", ["lr", "tau", "lambda"])
def test_only_what_matters_is_important(matters):
    found = shares(WIDE, evenly(WIDE, 60), lambda values: -(np.log10(values[matters]) ** 2))
    assert found.keys() == WIDE.keys()
    assert found[matters] > 0.8
    assert sum(found.values()) == pytest.approx(1)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_share_is_a_variance_of_the_chance_to_be_among_the_best_quarter_by_hand():
    """400 trials, of which the best 100 have both, 3 and a: of 160 with 3, and of 200 with a."""
    space = {"alpha": Choices(choices=(2.0, 3.0)), "rows": Choices(choices=("a", "b"))}
    counts = {(2.0, "a"): 100, (2.0, "b"): 140, (3.0, "a"): 100, (3.0, "b"): 60}
    settings = [{"alpha": alpha, "rows": rows} for (alpha, rows), count in counts.items() for _ in range(count)]
    found = shares(space, settings, lambda values: 2.0 * (values["alpha"] == 3) + (values["rows"] == "a"))
    of_alpha, of_rows = 160 / 400 * (100 / 160) ** 2 - 0.25**2, 200 / 400 * (100 / 200) ** 2 - 0.25**2
    assert found["alpha"] == pytest.approx(of_alpha / (of_alpha + of_rows), abs=0.01)


def test_conditional_hyper_parameters_are_one_each_and_the_same_every_time():
    """Prompts have a choice of none, and a rate matters to one of two solvers."""
    settings = evenly(BOTH, 80)
    found, again = (shares(BOTH, settings, lambda v: 0.2 if v["name"] == "ridge" else by_lr(v)) for _ in range(2))
    assert found.keys() == BOTH.keys()
    assert found["name"] > found["tau"]
    assert found["lr"] > max(found["alpha"], found["tau"], found["patches"], found["lambda"])
    assert list(again.items()) == list(found.items())


def test_a_hyper_parameter_of_a_single_trial_is_no_trouble():
    space = {"lr": Range(low=0.001, high=1), "alpha": Range(low=0.1, high=1, zero=True), "tau": Range(low=0.1, high=1)}
    settings = [{"alpha": 0.0, "lr": (1 + place) / 60} for place in range(36)] + [
        {"alpha": 0.5, "lr": 0.01, "tau": 0.5}
    ]
    found = shares(space, settings, lambda values: values["lr"])
    assert (found.keys(), found["tau"]) == ({"lr", "alpha", "tau"}, 0.0)
    assert found["lr"] > 0.9


def test_what_is_named_outside_the_space_is_left_out():
    settings = evenly(WIDE, 40)
    outside = [{"lr": 50.0, "tau": 1.0, "lambda": 1.0}] * 5
    plain = shares(WIDE, settings, lambda values: values["lr"])
    assert shares(WIDE, settings + outside, lambda values: values["lr"]) == plain
    assert shares(WIDE, outside * 8, lambda values: values["lr"]) is None


def test_importance_is_not_told_of_few_or_equal_trials():
    settings, few = evenly(WIDE, 40), LEAST_TRIALS - 1
    assert shares(WIDE, settings, lambda values: 0.5) is None
    assert shares(WIDE, settings[:few], lambda values: values["lr"]) is None
    assert shares(WIDE, settings[: few + 1], lambda values: values["lr"]) is not None
    unscored = record_of(settings[: few + 2], [*(values["lr"] for values in settings[:few]), None, None])
    assert importances(unscored, WIDE, "lora").importances is None
