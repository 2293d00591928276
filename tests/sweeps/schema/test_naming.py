"""A setting in a line, of a run and of what a ledger keeps of it."""

import json

import pytest

from pipeline.config import plain_run, with_hyper_parameters
from pipeline.identity import identity
from sweeps.schema.naming import setting_name, setting_of
from tests.sweeps.ledgers import FOUND, WITH


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


def test_settings_by_hand():
    def said(values, *searched):
        return setting_name(with_hyper_parameters(plain_run(WITH), values), searched)

    assert said({"alpha": 0.12345}) == "lora · lambda 1 · alpha 0.123 · tau 1 · P 6 · lr 0.01"
    assert said({"alpha": 0}) == "lora · no prompts · lr 0.01"
    assert said({"variant": "masks", "alpha": 7}) == "lora · true masks · alpha 7 · tau 1 · lr 0.01"
    assert said({"name": "knn"}) == "knn · frozen features"


def test_what_is_searched_beside_the_usual_comes_last():
    run = plain_run(WITH)
    plain = setting_name(run)
    assert setting_name(run, ["lr", "alpha", "name"]) == plain
    assert setting_name(run, ["rank", "rows", "lr"]) == f"{plain} · rank 4 · rows class"
    assert (
        setting_name(with_hyper_parameters(run, {"alpha": 0}), ["rows", "rank"])
        == "lora · no prompts · lr 0.01 · rank 4"
    )
