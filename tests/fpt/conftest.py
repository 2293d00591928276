"""Eight problems as mixed as a stack may be."""

from collections.abc import Callable
from functools import cache

import pytest

from fpt.backbones.backbone import Backbone
from fpt.problems.evidence import prompts_of_all
from fpt.problems.problem import EpisodeBatch, Setting
from fpt.problems.solving import stack_of
from fpt.solvers import Stack, Training

MIXED = (
    {"alpha": 0.0, "lr": 5e-3, "seed": 1},
    {"alpha": 0.5, "lr": 1e-3, "lam": 0.0, "tau": 0.5, "patches": 1, "variant": "paper"},
    {"alpha": 1.0, "lr": 2e-2, "lam": 0.3, "tau": 1.0, "patches": 6, "variant": "scaled", "seed": 2},
    {"alpha": 3.0, "lr": 5e-3, "lam": 10.0, "tau": 2.0, "patches": 14, "variant": "scaled", "order": "rollout"},
    {"alpha": 0.0, "lr": 2e-2, "patches": 3},
    {"alpha": 2.0, "lr": 1e-2, "tau": 0.2, "variant": "masks"},
    {"alpha": 0.2, "lr": 1e-2, "lam": 30.0, "tau": 1.5, "patches": 20, "variant": "paper"},
    {"alpha": 0.3, "lr": 5e-3, "lam": 1.0, "tau": 1.0, "patches": 4, "variant": "official"},
)
MEMBERS = tuple((i, episode) for i, episode in enumerate((0, 1, 2, 3, 3, 2, 1, 0)))
# LoRA's rates, times this: Adam's steps are as large as its rate, so that of all weights must be small; SGD's are not.
RATES = {"full": 5e-3, "ssf": 0.05, "vpt": 20.0}


@pytest.fixture(scope="session")
def stack_for(backbone: Backbone, episodes: EpisodeBatch) -> Callable[..., Stack]:
    """A function: the stack of some of the eight problems (setting, episode) under a solver's settings."""

    @cache
    def prompts(training: Training):
        return prompts_of_all(backbone, episodes, [Setting("lora", training, **values) for values in MIXED])

    def stack(solver: str, training: Training, members=MEMBERS) -> Stack:
        settings = [
            Setting("lora", training, **{**values, "lr": values["lr"] * RATES.get(solver, 1)}) for values in MIXED
        ]
        return stack_of(episodes, settings, prompts(training), members)

    return stack
