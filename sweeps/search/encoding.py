"""Settings as points: a column for each hyper-parameter, between 0 and 1, whatever else is asked for beside it."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from fpt.registry import SOLVERS
from pipeline.config import HyperParameters
from sweeps.schema.space import SOLVER, STEERING, Choices, Dimension, Range, dimensions, solvers_of

MIDDLE = 0.5  # of a column that means nothing to a setting
ZERO_SHARE = 0.1  # of proposals, for a 0 beside a range; that of alpha has its own (looks.WITHOUT)


class Encoding:
    """An encoding turns settings of a search space into points and makes settings of points. `solver` is the run's own.

    A column is a range on its scale; whether a value is 0 where that is a choice by itself; or one of several choices.
    What means nothing beside the rest of a setting is in the middle, so that settings alike in all that matters are the
    same point.
    """

    def __init__(self, space: Mapping[str, Dimension], solver: str) -> None:
        self.space, self.solver = space, solver
        self.solvers = solvers_of(space, solver)
        self.columns: dict[tuple[str, object], int] = {}  # what Optuna calls it, and a choice, "zero" or None
        if SOLVER in space:
            for one in self.solvers:
                self._column(SOLVER, one)
        for one in self.solvers:
            for label, entry in dimensions(space, one).values():
                if isinstance(entry, Choices):
                    for choice in entry.choices:
                        self._column(label, choice)
                else:
                    self._column(label, None)
                    if entry.zero:
                        self._column(label, "zero")

    def _column(self, label: str, what: object) -> None:
        self.columns.setdefault((label, what), len(self.columns))

    def points(self, settings: Sequence[HyperParameters]) -> Float[np.ndarray, "settings columns"]:
        """Returns a point for each setting."""
        found = np.full((len(settings), max(1, len(self.columns))), MIDDLE)  # a space of nothing is a point
        for point, values in zip(found, settings, strict=True):
            own = str(values.get(SOLVER, self.solver))
            if SOLVER in self.space:
                for one in self.solvers:
                    point[self.columns[SOLVER, one]] = one == own
            for name, (label, entry) in dimensions(self.space, own).items():
                if name in STEERING and values.get("alpha") == 0:
                    continue
                if isinstance(entry, Choices):
                    for choice in entry.choices:
                        point[self.columns[label, choice]] = MIDDLE if name not in values else values[name] == choice
                    continue
                zero = values.get(name) == 0
                if entry.zero:
                    point[self.columns[label, "zero"]] = zero
                if name in values and not (entry.zero and zero):
                    point[self.columns[label, None]] = share_of(float(values[name]), entry)
        return found

    def setting(self, shares: Sequence[float], solver: str, steered: bool) -> HyperParameters:
        """Returns the setting of a solver whose hyper-parameters lie at these shares of their ranges, in the order of
        `names`. Without `steered` there are no prompts; what else may be 0 beside its range is 0 at the lowest shares.
        """
        values: HyperParameters = {SOLVER: solver} if SOLVER in self.space else {}
        known = {name: entry for name, (_, entry) in dimensions(self.space, solver).items()}
        without = not steered and SOLVERS[solver].steered and "alpha" in known
        for share, (name, entry) in zip(shares, known.items(), strict=True):
            if without and name == "alpha":
                values[name] = 0.0
            elif without and name in STEERING:
                continue
            elif name != "alpha" and isinstance(entry, Range) and entry.zero:
                values[name] = value_or_zero_at(float(share), entry)
            else:
                values[name] = value_at(float(share), entry)
        return values

    def names(self, solver: str) -> list[str]:
        """Returns the hyper-parameters that matter to a solver."""
        return list(dimensions(self.space, solver))

    def may_have_none(self, solver: str) -> bool:
        """Returns whether a search of this solver may leave prompts out."""
        alpha = dimensions(self.space, solver).get("alpha")
        return alpha is not None and isinstance(alpha[1], Range) and alpha[1].zero


def share_of(value: float, entry: Range) -> float:
    """Returns where a value lies in a range on its scale, from 0 to 1."""
    low, high = ends(entry)
    if entry.log:
        return float(np.log(max(value, low) / low) / np.log(high / low))
    return (value - low) / (high - low)


def value_at(share: float, entry: Range | Choices) -> float | int | str | bool:
    """Returns what lies at a share of a range on its scale, or of choices in their order."""
    if isinstance(entry, Choices):
        return entry.choices[min(int(share * len(entry.choices)), len(entry.choices) - 1)]
    low, high = ends(entry)
    share = min(max(share, 0.0), 1.0)
    value = low * (high / low) ** share if entry.log else low + share * (high - low)
    if entry.integer:
        return int(min(max(round(value), entry.low), entry.high))
    return min(max(float(f"{value:.4g}"), entry.low), entry.high)


def value_or_zero_at(share: float, entry: Range) -> float | int | str | bool:
    """Returns 0 for the lowest ZERO_SHARE of shares, and what lies in the range for the others."""
    if share < ZERO_SHARE:
        return 0 if entry.integer else 0.0
    return value_at((share - ZERO_SHARE) / (1 - ZERO_SHARE), entry)


def ends(entry: Range) -> tuple[float, float]:
    """Returns the ends of a range; those of integers have half a step more, so that each has as much room."""
    return (entry.low - 0.5, entry.high + 0.5) if entry.integer else (entry.low, entry.high)
