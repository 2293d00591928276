import json

import pytest

from pipeline.config import plain_run, with_hyper_parameters
from pipeline.identity import identity
from sweeps.schema.loading import load
from sweeps.schema.naming import in_order, setting_name, setting_of
from tests.sweeps.ledgers import FOUND, WITH
from tests.sweeps.tiny import CONFIG, TINY


def tiny(*overrides):
    return load(CONFIG, [*TINY, *overrides])


NAMES = [
    ({}, "lora · lambda 1 · alpha 1 · tau 1 · P 6 · lr 0.01"),
    (
        {"lambda": 0.12345, "alpha": 7, "patches": 12, "lr": 2e-3},
        "lora · lambda 0.123 · alpha 7 · tau 1 · P 12 · lr 0.002",
    ),
    ({"alpha": 0}, "lora · no prompts · lr 0.01"),
    ({"variant": "masks", "tau": 0.5}, "lora · true masks · alpha 1 · tau 0.5 · lr 0.01"),
    ({"name": "protonet"}, "protonet · frozen features"),
]


@pytest.mark.parametrize(("values", "name"), NAMES, ids=[name for _, name in NAMES])
def test_a_setting_in_a_line(values, name):
    assert setting_name(with_hyper_parameters(plain_run(tiny()), values)) == name


@pytest.mark.parametrize(
    "values",
    [
        {"alpha": 0.123456, "lambda": 2e-5},
        {"alpha": 0},
        {"variant": "masks", "alpha": 7},
        {"variant": "official"},
        *({"name": solver} for solver in ("vpt", "ssf", "full", "knn", "r2d2")),
    ],
)
def test_a_setting_reads_as_in_a_sweep(values):
    run = with_hyper_parameters(plain_run(WITH), values)
    assert setting_of(json.loads(json.dumps(identity(run, FOUND)))) == setting_name(run)


def test_what_is_searched_beside_the_usual_comes_last():
    run = plain_run(WITH)
    plain = setting_name(run)
    assert setting_name(run, ["lr", "alpha", "name"]) == plain
    assert setting_name(run, ["rank", "rows", "lr"]) == f"{plain} · rank 4 · rows class"
    assert (
        setting_name(with_hyper_parameters(run, {"alpha": 0}), ["rows", "rank"])
        == "lora · no prompts · lr 0.01 · rank 4"
    )


def test_a_backbone_that_was_chosen_comes_first():
    run = plain_run(WITH)
    assert setting_name(run, {"backbone": "mine", "lr": 0.01}) == f"mine · {setting_name(run)}"
    assert setting_name(run, {"lr": 0.01}) == setting_name(run, ["backbone"]) == setting_name(run)


def test_hyper_parameters_stand_in_one_order_each_once():
    given = ["rank", "lr", "alpha", "lambda", "name", "blocks", "alpha", "contrast", "tau", "patches", "backbone"]
    usual = ["backbone", "name", "lambda", "alpha", "tau", "contrast", "patches", "lr"]
    assert in_order(given) == [*usual, "blocks", "rank"]
    named = [part.split()[0] for part in NAMES[0][1].split(" · ")[1:]]
    assert named == ["lambda", "alpha", "tau", "P", "lr"]  # as a setting's name has them
