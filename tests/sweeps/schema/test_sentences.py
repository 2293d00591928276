"""Every mistake in a configuration is one sentence."""

import re

import pytest
from pydantic import ValidationError

from sweeps.schema.loading import load
from tests.sweeps.tiny import CONFIG, TINY

MISTAKES = [
    ("prompts.alpa=1", "prompts.alpa is not a field; did you mean prompts.alpha?"),
    ("prompts.lamda=1", "prompts.lamda is not a field; did you mean prompts.lambda?"),
    ("prompts.lambda_=1", "prompts.lambda_ is not a field; did you mean prompts.lambda?"),
    ("solvr.lr=1", "solvr is not a field; did you mean solver?"),
    ("search.trails=1", "search.trails is not a field; did you mean search.trials?"),
    ("search.space.tau.lo=1", "search.space.tau.lo is not a field; did you mean search.space.tau.low?"),
    ("prompts.tau=0", "prompts.tau must be greater than 0 but got 0"),
    ("episodes.way=1", "episodes.way must be greater than or equal to 2 but got 1"),
    ("episodes.shot=two", "episodes.shot must be a valid integer, unable to parse string as an integer but got 'two'"),
    ("prompts.lambda=.nan", "prompts.lambda must be a finite number but got nan"),
    ("prompts.variant=best", "prompts.variant must be one of paper, scaled, contrast, official, masks but got 'best'"),
    ("prompts.layers=3", "prompts.layers must be at most 2, which is solver.blocks, but got 3"),
    ("search.keep=1", "search.keep must be less than 1 but got 1"),
    ("search.rungs=[4, 2]", "search: rungs must rise but got [4, 2]"),
    ("search.rungs=[]", "search: rungs must rise but got []"),
    ("search.rungs=[2, 2]", "search: rungs must rise but got [2, 2]"),
    ("search.rungs=[0, 2]", "search.rungs.0 must be greater than or equal to 1 but got 0"),
    ("search.space.tau.high=0.3", "search.space.tau: low must be below high, 0.3, but got 0.3"),
    ("search.space.tau.low=0", "search.space.tau: low must be above 0 on a log scale but got 0"),
    ("search.space.alpha={low: -1, high: 2}", ".*alpha must be greater than or equal to 0 but got -1.0"),
    ("search.first.paper defaults.tau=0", ".*tau must be greater than 0 but got 0"),
    ("search.space.warmth={low: 1, high: 2}", "warmth is not a field of prompts or solver; did you mean .*"),
    ("name.first=1", "--set name.first must name a field but name holds 'tiny'"),
    ("name", "--set must be like a.b=c but got 'name'"),
    ("=1", "--set must be like a.b=c but got '=1'"),
]


@pytest.mark.parametrize(("override", "sentence"), MISTAKES, ids=[override for override, _ in MISTAKES])
def test_a_mistake_is_said_in_one_sentence(override, sentence):
    pattern = re.escape(sentence).replace(re.escape(".*"), ".*")
    with pytest.raises(ValueError, match=rf"^{pattern}\Z") as caught:
        load(CONFIG, [*TINY, override])
    assert not isinstance(caught.value, ValidationError)


def test_a_mistake_in_a_first_setting_is_found_there():
    with pytest.raises(ValueError, match=r"search\.first\.paper defaults"):
        load(CONFIG, [*TINY, "search.first.paper defaults.tau=0"])


def test_an_unknown_hyper_parameter_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean .*lambda\?"):
        load(CONFIG, [*TINY, "search.space.lamda={low: 1, high: 2}"])
