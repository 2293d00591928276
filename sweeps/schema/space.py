"""What a search may try: ranges and choices, and which of them matter beside which others."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from fpt.registry import OF_SOLVERS, SOLVERS
from pipeline.config import BACKBONE, HyperParameters, Prompts, Run, Solver, with_hyper_parameters
from pipeline.section import Section

STEERING = ("lambda", "contrast", "tau", "patches")  # matter only where alpha is not 0
PROMPTING = frozenset(field.alias or name for name, field in Prompts.model_fields.items())
# The kind of value that each hyper-parameter takes, by its name.
KINDS = {
    field.alias or name: field.annotation
    for section in (Solver, Prompts)
    for name, field in section.model_fields.items()
}
SOLVER = "name"  # of `solver`, where a search may choose it
IS_ZERO = " is zero"  # what Optuna's name of a question ends with that asks whether a hyper-parameter is 0


class Range(Section):
    """A range is sampled by Optuna. With `zero`, 0 is a choice by itself; what matters only beside
    it is then left out. With `share`, which is for patches, the ends are shares of the patches that the backbone has,
    and integers between them are sampled.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    zero: bool = False
    # Sweeps were described without it before it was there, and are still.
    share: Annotated[bool, Field(exclude_if=lambda share: not share)] = False

    def of(self, patches: int) -> "Range":
        """Returns the range with its ends in patches, of as many as a backbone has; a range of numbers as it is."""
        if not self.share:
            return self
        low = max(1, round(self.low * patches))
        return Range(low=low, high=max(low + 1, round(self.high * patches)), log=self.log, integer=True)

    def ends(self) -> tuple[float | int, ...]:
        """Returns both ends, as integers where the range holds integers."""
        return (int(self.low), int(self.high)) if self.integer else (self.low, self.high)

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low must be below high, {self.high:g}, but got {self.low:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 on a log scale but got {self.low:g}")
        if self.share and not (self.low > 0 and self.high <= 1):
            raise ValueError(
                f"low and high must be shares above 0 and up to 1, as share is true, but got {self.low:g} and "
                f"{self.high:g}"
            )
        if self.share and (self.zero or self.integer):
            raise ValueError("zero and integer must be left out where share is true, but one is given")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"low and high must be integers but got {self.low:g} and {self.high:g}")
        return self


class Choices(Section):
    """Choices are values without an order, like names of solvers."""

    choices: Annotated[tuple[str | bool | int | float, ...], Field(min_length=2)]

    def ends(self) -> tuple[str | bool | int | float, ...]:
        """Returns all choices."""
        return self.choices

    @model_validator(mode="after")
    def _differ(self) -> "Choices":
        if len(set(map(repr, self.choices))) < len(self.choices):
            raise ValueError(f"choices must differ but got {list(self.choices)}")
        return self


def _kind(entry: Any) -> Literal["<range>", "<choices>", "<solvers>"]:
    if isinstance(entry, Choices) or (isinstance(entry, dict) and "choices" in entry):
        return "<choices>"
    if isinstance(entry, dict) and entry and all(isinstance(inner, (dict, Range)) for inner in entry.values()):
        return "<solvers>"
    return "<range>"


# A hyper-parameter is a range, choices, or a range for each solver by its name.
Dimension = Annotated[
    Annotated[Range, Tag("<range>")]
    | Annotated[Choices, Tag("<choices>")]
    | Annotated[dict[str, Range], Tag("<solvers>")],
    Discriminator(_kind),
]
Space = dict[str, Dimension]


def in_patches(space: Mapping[str, Dimension], patches: int) -> Space:
    """Returns the space with shares of a backbone's patches as numbers of them."""
    return {
        name: {solver: one.of(patches) for solver, one in entry.items()}
        if isinstance(entry, dict)
        else entry.of(patches)
        if isinstance(entry, Range)
        else entry
        for name, entry in space.items()
    }


def shared(space: Mapping[str, Dimension]) -> list[str]:
    """Returns the names of what has a range of shares."""
    ranges = {name: entry.values() if isinstance(entry, dict) else (entry,) for name, entry in space.items()}
    return [name for name, of in ranges.items() if any(isinstance(one, Range) and one.share for one in of)]


def logarithmic(space: Mapping[str, Dimension]) -> dict[str, bool]:
    """Returns for each hyper-parameter that has a range whether it is searched by its logarithm."""
    ranges = {name: entry.values() if isinstance(entry, dict) else (entry,) for name, entry in space.items()}
    return {
        name: any(one.log for one in of if isinstance(one, Range))
        for name, of in ranges.items()
        if any(isinstance(one, Range) for one in of)
    }


def backbones_of(space: Mapping[str, Dimension]) -> tuple[str, ...]:
    """Returns the backbones that are searched over; none where the run's own is the only one."""
    named = space.get(BACKBONE)
    return tuple(map(str, named.choices)) if isinstance(named, Choices) else ()


def solvers_of(space: Mapping[str, Dimension], solver: str) -> tuple[str, ...]:
    """Returns the solvers that are searched over, or `solver`, the run's, where the search leaves no choice."""
    named = space.get(SOLVER)
    return tuple(str(choice) for choice in named.choices) if isinstance(named, Choices) else (solver,)


def dimensions(space: Mapping[str, Dimension], solver: str) -> dict[str, tuple[str, Range | Choices]]:
    """Returns what matters to a solver, by name, alpha first, each with what Optuna calls it.

    Prompts matter only where a solver takes any, a rank only to LoRA, tokens only to VPT, and nothing to frozen
    features.
    """
    if solver not in SOLVERS:  # which the configuration refuses
        return {}
    known = SOLVERS[solver]
    unread = {SOLVER, *(OF_SOLVERS - known.fields), *(() if known.steered else PROMPTING)}
    found: dict[str, tuple[str, Range | Choices]] = {}
    for name in sorted(space, key=lambda name: name != "alpha"):
        if name in unread:
            continue
        entry = space[name]
        if isinstance(entry, dict):
            if solver in entry:
                found[name] = (f"{name} of {solver}", entry[solver])
        else:
            found[name] = (name, entry)
    return found


def corners(space: Mapping[str, Dimension], solver: str) -> Iterator[HyperParameters]:
    """Yields settings at the ends of every range, and with every choice, for each solver that may be tried."""
    for own in solvers_of(space, solver):
        searched = dimensions(space, own) if own in SOLVERS else {}  # another name is refused once it is in a run
        unknown = set(shared(space))  # until there is a backbone
        ends = {name: entry.ends() for name, (_, entry) in searched.items() if name not in unknown}
        chosen: HyperParameters = {SOLVER: own} if SOLVER in space else {}
        for place in range(max(map(len, ends.values()), default=1)):
            yield chosen | {name: values[min(place, len(values) - 1)] for name, values in ends.items()}


def check_space(space: Mapping[str, Dimension], solver: str) -> None:
    """Raises ValueError for what matters to no solver that may be tried."""
    tried = solvers_of(space, solver)
    named = ", ".join(tried)
    for name, entry in space.items():
        for other in entry if isinstance(entry, dict) else ():
            if other not in tried:
                raise ValueError(f"search.space.{name} must name solvers that are tried, {named}, but names {other!r}")
        if name != SOLVER and not any(name in dimensions(space, one) for one in tried):
            raise ValueError(f"search.space.{name} must matter to a solver that is tried, {named}, but does not")


def check_numbers(space: Mapping[str, Dimension], run: Run) -> None:
    """Raises ValueError for a range that would propose values which its hyper-parameter does not take: fractions of
    what is a whole number, numbers for what is none, or 0 where that is not allowed. What matters to no solver that may
    be tried is left to `check_space`.
    """
    tried = solvers_of(space, run.solver.name)
    for name, entry in space.items():
        if not any(name in dimensions(space, one) for one in tried):
            continue
        if name == BACKBONE and not (isinstance(entry, Choices) and all(isinstance(one, str) for one in entry.choices)):
            raise ValueError(
                f"search.space.{BACKBONE} must hold choices, names of timm models or labels of `backbones`, but holds "
                "something else"
            )
        ranges = entry if isinstance(entry, dict) else {"": entry}
        for solver, one in ranges.items():
            if not isinstance(one, Range):
                continue
            where, kind = f"search.space.{name}{f'.{solver}' if solver else ''}", KINDS.get(name)
            if kind is int and not (one.integer or one.share):
                raise ValueError(
                    f"{where}.integer must be true, for {name} is a whole number, but is false; write integer: true "
                    "beside low and high"
                )
            if kind not in (int, float, None):
                raise ValueError(f"{where} must hold choices, for {name} is no number, but holds a range")
            if one.zero:
                try:
                    with_hyper_parameters(run, {name: 0})
                except ValidationError as error:
                    raise ValueError(
                        f"{where}.zero must be false, as {name} must be above 0, but is true; low may be as near to 0 "
                        "as you like"
                    ) from error


def asked(space: Mapping[str, Dimension], solver: str) -> Iterator[tuple[str, str, BaseDistribution]]:
    """Yields what Optuna is asked for a setting of a solver, in this order: the hyper-parameter, what Optuna calls it,
    and its distribution. Whether one is 0, where that is a choice by itself, comes before what else it may be.
    """
    for name, (label, entry) in dimensions(space, solver).items():
        if isinstance(entry, Choices):
            yield name, label, CategoricalDistribution(entry.choices)
            continue
        if entry.zero:
            yield name, f"{label}{IS_ZERO}", CategoricalDistribution((False, True))
        if entry.integer:
            yield name, label, IntDistribution(int(entry.low), int(entry.high), log=entry.log)
        else:
            yield name, label, FloatDistribution(entry.low, entry.high, log=entry.log)


def sample(trial: optuna.Trial, space: Mapping[str, Dimension], solver: str) -> HyperParameters:
    """Returns a setting of a trial. `solver` is the run's own solver."""
    values: HyperParameters = {}
    if SOLVER in space:
        values[SOLVER] = solver = trial.suggest_categorical(SOLVER, list(solvers_of(space, solver)))
    for name, label, kind in asked(space, solver):
        if name in values or (name in STEERING and values.get("alpha") == 0):
            continue
        value = _suggested(trial, label, kind)
        if not label.endswith(IS_ZERO):
            values[name] = value
        elif value:
            values[name] = 0.0
    return values


def _suggested(trial: optuna.Trial, label: str, kind: BaseDistribution) -> Any:
    if isinstance(kind, IntDistribution):
        return trial.suggest_int(label, kind.low, kind.high, log=kind.log)
    if isinstance(kind, FloatDistribution):
        return trial.suggest_float(label, kind.low, kind.high, log=kind.log)
    assert isinstance(kind, CategoricalDistribution)
    return trial.suggest_categorical(label, kind.choices)


def distributions_of(
    space: Mapping[str, Dimension], solver: str, values: HyperParameters
) -> dict[str, BaseDistribution]:
    """Returns the distribution of each parameter that Optuna has of a setting's solver, by its label."""
    own = str(values.get(SOLVER, solver))
    named = {SOLVER: CategoricalDistribution(solvers_of(space, solver))} if SOLVER in space else {}
    return {**named, **{label: kind for _, label, kind in asked(space, own)}}


def as_optuna(values: HyperParameters, space: Mapping[str, Dimension], solver: str) -> dict[str, Any]:
    """Returns a setting as Optuna's enqueue_trial takes it. `solver` is the run's, where the setting names none."""
    own = str(values.get(SOLVER, solver))
    parameters: dict[str, Any] = {SOLVER: own} if SOLVER in space else {}
    for name, (label, entry) in dimensions(space, own).items():
        if isinstance(entry, Range) and entry.zero:
            parameters[f"{label}{IS_ZERO}"] = values.get(name) == 0
        if name in values and not (isinstance(entry, Range) and entry.zero and values[name] == 0):
            parameters[label] = values[name]
    return parameters
