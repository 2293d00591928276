"""The speed of a configuration is told as text and as figures."""

import json

import pytest
import torch

from tests.sweeps.refusals import refused
from tests.sweeps.tiny import CONFIG


@pytest.fixture
def threads():
    """The number of torch's threads, which a timing sets, is put back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_timing_is_of_the_run_as_it_is_configured(fpt, threads):
    overrides = ["compute.threads_per_worker=2", "solver.name=knn", "episodes.way=2", "backbone.precision=float32"]
    said = fpt("bench", str(CONFIG), "--stack=2", "--repeats=1", "--json", overrides=overrides)
    assert said.exit_code == 0
    result = json.loads(said.stdout)
    assert [timed["stack"] for timed in result["stacks"]] == [2]
    assert (result["precision"], result["device"]) == ("float32", f"{result['device'].partition(',')[0]}, 2 threads")
    assert "GFLOP an episode" in said.stderr
    assert result["episodes_per_second"] > 0


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--stack=0", "--stack must be at least 1 but got 0"),
        ("--repeats=0", "--repeats must be at least 1 but got 0"),
    ],
)
def test_nothing_is_timed_less_than_once(fpt, option, sentence):
    refused(fpt("bench", str(CONFIG), option), sentence)
