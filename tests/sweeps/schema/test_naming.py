import pytest

from pipeline.config import plain_run, with_hyper_parameters
from sweeps.schema.loading import load
from sweeps.schema.naming import setting_name
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
