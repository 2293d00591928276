"""`fpt bench` times a configuration on one worker, on random pixels. sweeps/timing.py times a whole sweep."""

from collections.abc import Sequence
from typing import Any

import torch

from fpt.backbones.loading import best_device
from fpt.bench import Shape, as_text, measure
from fpt.switches import COMPILED, turned
from pipeline.checks import check_run
from pipeline.config import plain_run
from pipeline.workers.worker import backbone_of, setting
from sweeps.schema.sweep import Sweep


def speed(sweep: Sweep, stacks: Sequence[int], repeats: int) -> tuple[str, dict[str, Any]]:
    """Returns text and figures of a configuration's speed on random pixels. Raises ValueError for bad input."""
    run = plain_run(sweep)
    check_run(run)
    for name, least in (("--stack", min(stacks)), ("--repeats", repeats)):
        if least < 1:
            raise ValueError(f"{name} must be at least 1 but got {least}")
    torch.set_num_threads(run.compute.threads_per_worker)
    shape = Shape(run.episodes.way, run.episodes.shot, run.episodes.query)
    _, backbone = backbone_of(run, best_device())
    with turned([COMPILED] if run.compute.compile else []):
        result = measure(backbone, shape, setting(run), max(stacks), stacks, repeats)
    return as_text(result), result
