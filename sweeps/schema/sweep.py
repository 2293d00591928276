"""A sweep's configuration: a run, what to search, how to judge the winner, where to record it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from pipeline.config import HyperParameters, Positive, Rate, Run, Section, plain_run, with_hyper_parameters
from sweeps.schema.space import Range, Space, corners

Share = Annotated[float, Field(gt=0, lt=1)]
MEAN = "mean"  # what a table calls the average over its data sets


class Search(Section):
    """Trials come in generations. After every rung `stop: racing` lets all go on but those that a rival beats with
    confidence, so that the true best is dropped with probability `delta` at most; `stop: halving` the better `keep`.

    `rungs` are episodes done in all. `space` holds ranges and choices; what matters to some solvers only is asked for
    those alone, and a range may be one for each solver. `first` are settings tried before any is sampled, by name.
    `audit`: afterwards, all trials do all episodes, to tell what stopping them has cost and saved.
    """

    split: str = "validation"
    seed: Annotated[int, Field(ge=0)] = 0
    trials: Positive = 16
    generation: Positive = 8
    rungs: tuple[Positive, ...] = (16, 24, 32, 48, 64, 100)
    stop: Literal["racing", "halving"] = "racing"
    keep: Share = 0.5
    delta: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    space: Space
    first: dict[str, HyperParameters] = Field(default_factory=dict)
    audit: bool = False

    @model_validator(mode="after")
    def _rungs_rise(self) -> "Search":
        if list(self.rungs) != sorted(set(self.rungs)) or not self.rungs:
            raise ValueError(f"rungs must rise but got {list(self.rungs)}")
        return self


class Final(Section):
    """The last evaluation, on classes and episodes no trial saw (`episodes.split`). `masks` adds the true masks.

    `precision`, in points: as many more `episodes`, up to `most`, as bring half the 95 % interval of the winner's
    difference to no prompts down to it. `again`: winner and baseline once more, on the episodes of the next seed.
    """

    episodes: Positive = 200
    precision: Rate | None = None
    most: Positive = 2000
    again: bool = True
    masks: bool = False

    @model_validator(mode="after")
    def _more_is_more(self) -> "Final":
        if self.precision is not None and self.most < self.episodes:
            raise ValueError(f"most must be at least {self.episodes}, which is episodes, but got {self.most}")
        return self


class TableEpisodes(Section):
    """Of each cell: `closed_form` for solvers that read frozen features alone, `fine_tuned` for the others."""

    closed_form: Positive = 400
    fine_tuned: Positive = 200


class Table(Section):
    """Solvers x shots x data sets x backbones, with and without prompts. Each of `datasets` is a label and fields of
    `dataset`, each of `backbones` one and fields of `backbone`; without any, they are the run's.

    A solver is a label and fields of `solver` and `prompts`; its `name` is the label, with `_` for spaces, unless
    given. What is left out is as in the run. A value like `{1: 0.01, 5: 0.03}` is one for each shot, one like
    `{cub: 0.5, pets: 0.1}` one for each data set or backbone. `without_prompts`: what a solver changes there, for a
    fair comparison has its rate chosen on both sides. `at_shot`, `at_backbone`, `at_dataset`: what all solvers change
    there; the later win, and a solver's own fields win over all of them.
    """

    shots: tuple[Positive, ...] = (1, 5)
    episodes: TableEpisodes = TableEpisodes()
    datasets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    backbones: dict[str, dict[str, Any]] = Field(default_factory=dict)
    solvers: dict[str, dict[str, Any]]
    without_prompts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    at_shot: dict[int, dict[str, Any]] = Field(default_factory=dict)
    at_backbone: dict[str, dict[str, Any]] = Field(default_factory=dict)
    at_dataset: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_what_it_has(self) -> "Table":
        if not self.solvers:
            raise ValueError("solvers must name at least one but got {}")
        if not self.shots or len(set(self.shots)) < len(self.shots):
            raise ValueError(f"shots must hold different numbers but got {list(self.shots)}")
        for label in self.without_prompts:
            if label not in self.solvers:
                raise ValueError(f"without_prompts must name one of {', '.join(self.solvers)} but got {label!r}")
        return self

    @model_validator(mode="after")
    def _labels_tell_apart(self) -> "Table":
        if MEAN in self.datasets:
            raise ValueError(f"datasets must have labels other than {MEAN}, which is the average's, but got {MEAN!r}")
        for label in self.backbones:
            if label in self.datasets:
                raise ValueError(f"backbones must have labels that no data set has but got {label!r}")
        return self

    def places(self, run: Run) -> dict[tuple[str, str], Run]:
        """The run on each backbone and data set, whose labels come in this order; backbone by backbone.

        Raises ValueError, naming the field, for labels, fields or values that there are not.
        """
        backbones = self.backbones or {run.backbone.name: {}}
        datasets = self.datasets or {run.dataset.source: {}}
        for name, given, known in (
            ("at_backbone", self.at_backbone, backbones),
            ("at_dataset", self.at_dataset, datasets),
        ):
            for label in given:
                if label not in known:
                    raise ValueError(f"table.{name} must name one of {', '.join(known)} but got {label!r}")
        placed = {}
        for backbone, of_backbone in backbones.items():
            with _named(f"table.backbones.{backbone}"):
                there = _with_section(run, "backbone", of_backbone)
            for dataset, of_dataset in datasets.items():
                with _named(f"table.datasets.{dataset}"):
                    placed[backbone, dataset] = _with_section(there, "dataset", of_dataset)
        return placed

    def run(self, run: Run, backbone: str, dataset: str, label: str, shot: int, prompts: bool) -> Run:
        """The run of one cell, from the one on its backbone and data set. `label` is the solver's.

        Raises ValueError, naming the field, for fields or values that there are not.
        """
        sections = {
            f"at_shot.{shot}": self.at_shot.get(shot, {}),
            f"at_backbone.{backbone}": self.at_backbone.get(backbone, {}),
            f"at_dataset.{dataset}": self.at_dataset.get(dataset, {}),
            f"solvers.{label}": self.solvers[label],
            f"without_prompts.{label}": {} if prompts else {**self.without_prompts.get(label, {}), "alpha": 0},
        }
        values: dict[str, Any] = {"name": label.replace(" ", "_")}
        for fields in sections.values():
            values |= fields
        try:
            here = {name: self._value_at(name, value, backbone, dataset, shot) for name, value in values.items()}
            own = with_hyper_parameters(run, here)
        except ValueError as error:
            said = _sentence(error)
            named = set(re.findall(r"(?:solver\.|prompts\.|^)(\w+)", said))
            changed = (section for section, fields in reversed(sections.items()) if named & set(fields))
            raise ValueError(f"table.{next(changed, f'solvers.{label}')}: {said}") from error
        return own.model_copy(update={"episodes": own.episodes.model_copy(update={"shot": shot})})

    def _value_at(self, name: str, value: Any, backbone: str, dataset: str, shot: int) -> Any:
        """Of one for each shot, data set or backbone, or for each of some and, within, each of others."""
        if not isinstance(value, dict):
            return value
        own: tuple[str, str | int] = ("data set", dataset)
        if any(isinstance(key, int) for key in value):
            own = ("shot", shot)
        elif any(key == backbone or key in self.backbones for key in value):
            own = ("backbone", backbone)
        kind, label = own
        if label not in value:
            raise ValueError(f"{name} must have a value for {kind} {label} but has {value}")
        return self._value_at(name, value[label], backbone, dataset, shot)


def _with_section(run: Run, section: str, fields: dict[str, Any]) -> Run:
    described = run.model_dump(by_alias=True)
    return Run.model_validate({**described, section: {**described[section], **fields}})


@contextmanager
def _named(field: str) -> Iterator[None]:
    """Has a mistake name the field that it is in."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{field}: {_sentence(error)}") from error


class Sweep(Run):
    """`home` is for images, ledger, reports and MLflow's database, unless `tracking_uri` or MLFLOW_TRACKING_URI says
    otherwise: a folder, on a cluster one that all nodes share, or like s3://bucket/path. FPT_HOME is its default.
    """

    home: str = Field(default_factory=lambda: os.environ.get("FPT_HOME", "runs"))
    tracking_uri: str | None = None
    search: Search | None = None
    final: Final = Final()
    table: Table | None = None

    @model_validator(mode="after")
    def _first_and_space_fit_the_run(self) -> "Sweep":
        if self.search is not None:
            run, space = plain_run(self), self.search.space
            for values in corners(space, run.solver.name):
                with_hyper_parameters(run, values)
            for name, values in self.search.first.items():
                missing = ", ".join(sorted(set(values) - set(self.search.space)))
                if missing:
                    raise ValueError(f"search.first.{name} must name what search.space holds but got {missing}")
                try:
                    with_hyper_parameters(run, values)
                except ValidationError as error:
                    raise ValueError(f"search.first.{name}: {_one_sentence(error)}") from error
        return self

    @model_validator(mode="after")
    def _solvers_of_the_table_fit_the_run(self) -> "Sweep":
        if self.table is not None:
            table = self.table
            for (backbone, dataset), run in table.places(plain_run(self)).items():
                for label, shot, prompts in product(table.solvers, table.shots, (True, False)):
                    table.run(run, backbone, dataset, label, shot, prompts)
        return self


def load(path: Path, overrides: list[str]) -> Sweep:
    """Reads a YAML file and applies `a.b=c` overrides. Raises ValueError in one sentence for anything wrong in it."""
    if not path.is_file():
        raise ValueError(f"CONFIG must be a YAML file but {str(path)!r} is none")
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"CONFIG must be YAML but {path} is not: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ValueError(f"CONFIG must hold fields and values but {path} holds {values!r}")
    for override in overrides:
        _override(values, override)
    try:
        return Sweep.model_validate(values)
    except ValidationError as error:
        raise ValueError(_one_sentence(error)) from error


def _override(values: dict[str, Any], override: str) -> None:
    field, equals, value = override.partition("=")
    if not equals or not field:
        raise ValueError(f"--set must be like a.b=c but got {override!r}")
    *parents, last = field.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {field} must name a field but {parent} holds {values!r}")
    try:
        values[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {field} must hold YAML but got {value!r}") from error


def _sentence(error: ValueError) -> str:
    return _one_sentence(error) if isinstance(error, ValidationError) else str(error)


def _one_sentence(error: ValidationError) -> str:
    """The first mistake: field, value, what is allowed; for an unknown field, the nearest that there is."""
    first = error.errors()[0]
    location = tuple(part for part in first["loc"] if not str(part).startswith("<"))  # kinds of a union
    field = ".".join(map(str, location))
    if first["type"] == "extra_forbidden":
        near = get_close_matches(str(location[-1]), _fields_beside(location), 1, 0.0)
        return f"{field} is not a field; did you mean {'.'.join([*map(str, location[:-1]), *near])}?"
    if first["type"] == "missing":
        return f"{field} must be given but is missing"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{field}: {message}" if field else message
    allowed = message[0].lower() + message[1:].replace("Input should be", "must be")
    allowed = allowed.replace("input should be", "must be")
    return f"{field} {allowed} but got {first['input']!r}"


def _fields_beside(location: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the model in which a location lies."""
    model: Any = Sweep
    for part in location[:-1]:
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next((kind for kind in candidates if hasattr(kind, "model_fields")), Range)
    return [field.alias or name for name, field in model.model_fields.items()]
