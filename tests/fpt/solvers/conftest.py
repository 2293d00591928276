"""Eight problems as mixed as a stack may be."""

from collections.abc import Callable
from functools import cache

import pytest

from fpt.backbones.backbone import Backbone
from fpt.problems.solving import Episodes, Setting, prompts_of_all, stack_of
from fpt.solvers import Settings, Stack

MIXED = (
    {"alpha": 0.0, "rate": 5e-3, "seed": 1},
    {"alpha": 0.5, "rate": 1e-3, "lambda_": 0.0, "tau": 0.5, "patches": 1, "prompts": "paper"},
    {"alpha": 1.0, "rate": 2e-2, "lambda_": 0.3, "tau": 1.0, "patches": 6, "prompts": "scaled", "seed": 2},
    {"alpha": 3.0, "rate": 5e-3, "lambda_": 10.0, "tau": 2.0, "patches": 14, "prompts": "scaled", "order": "rollout"},
    {"alpha": 0.0, "rate": 2e-2, "patches": 3},
    {"alpha": 2.0, "rate": 1e-2, "tau": 0.2, "prompts": "masks"},
    {"alpha": 0.2, "rate": 1e-2, "lambda_": 30.0, "tau": 1.5, "patches": 20, "prompts": "paper"},
    {"alpha": 0.3, "rate": 5e-3, "lambda_": 1.0, "tau": 1.0, "patches": 4, "prompts": "official"},
)
MEMBERS = tuple((i, episode) for i, episode in enumerate((0, 1, 2, 3, 3, 2, 1, 0)))
# LoRA's rates, times this: Adam's steps are as large as its rate, so that of all weights must be small; SGD's are not.
RATES = {"full": 5e-3, "ssf": 0.05, "vpt": 20.0}


@pytest.fixture(scope="session")
def stack_for(backbone: Backbone, episodes: Episodes) -> Callable[..., Stack]:
    """A function: the stack of some of the eight problems (setting, episode) under a solver's settings."""

    @cache
    def prompts(training: Settings):
        return prompts_of_all(backbone, episodes, [Setting("lora", training, **values) for values in MIXED])

    def stack(solver: str, training: Settings, members=MEMBERS) -> Stack:
        settings = [
            Setting("lora", training, **{**values, "rate": values["rate"] * RATES.get(solver, 1)}) for values in MIXED
        ]
        return stack_of(episodes, settings, prompts(training), members)

    return stack
