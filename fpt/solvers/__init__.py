"""Solvers: what turns a backbone and a support set into a classifier. One file each, one contract (contract.py)."""

from collections.abc import Callable

from fpt.backbones.backbone import Backbone
from fpt.registry import SOLVERS, check_name, load
from fpt.solvers.contract import Learner, Solution, Stack, Training

Solver = Callable[[Backbone, Stack, Training], Solution]


def solver_named(name: str) -> Solver:
    """Returns the solver called `name`. Raises ValueError for an unknown one, and one whose code is not where it should
    be.
    """
    check_name("solver", name, SOLVERS)
    solver: Solver = load(SOLVERS[name].function)
    return solver


def learner_named(name: str) -> Learner:
    """Returns the solver called `name` as one whose learning can be kept. Raises ValueError for one that answers in one
    go, as a package's own may.
    """
    solver = solver_named(name)
    if not isinstance(solver, Learner):
        raise ValueError(
            f"solver must be one that keeps what it learns (fpt.solvers.Learner) but {name} answers in one go"
        )
    return solver


__all__ = ["Learner", "Solution", "Solver", "Stack", "Training", "learner_named", "solver_named"]
