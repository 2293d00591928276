"""Solvers: what turns a backbone and a support set into a classifier. One file each, one contract (contract.py)."""

from collections.abc import Callable

from fpt.backbones.backbone import Backbone
from fpt.registry import SOLVERS, check_name, load
from fpt.solvers.contract import Solution, Stack, Training

Solver = Callable[[Backbone, Stack, Training], Solution]


def solver_named(name: str) -> Solver:
    """Returns the solver called `name`. Raises ValueError for an unknown one, and one whose code is not where it should
    be.
    """
    check_name("solver", name, SOLVERS)
    solver: Solver = load(SOLVERS[name].function)
    return solver


__all__ = ["Solution", "Solver", "Stack", "Training", "solver_named"]
