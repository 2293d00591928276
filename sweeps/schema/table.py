"""A table asks for solvers x shots x data sets x backbones, and says what each of them changes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import Field, model_validator

from pipeline.bounds import MANY, whole
from pipeline.config import BACKBONE, Run, with_hyper_parameters
from pipeline.section import Section
from sweeps.schema.sentences import sentence_of

MEAN = "mean"  # what a table calls the average over its data sets


class TableEpisodes(Section):
    """A cell has `closed_form` episodes for solvers that read frozen features alone, `fine_tuned` for the others."""

    closed_form: Annotated[int, whole("episodes of a cell on frozen features", 1, MANY)] = 400
    fine_tuned: Annotated[int, whole("episodes of any other cell", 1, MANY)] = 200


class Table(Section):
    """A table compares solvers x shots x data sets x backbones, with and without prompts. Each of `datasets` is a label
    and fields of `dataset`, each of `backbones` a label and fields of `backbone`; where there are none, they are the
    run's.

    A solver is a label and fields of `solver` and `prompts`; its `name` is the label, with `_` for spaces, unless
    given. What is left out is as in the run. A value like `{1: 0.01, 5: 0.03}` holds a value for each shot, a value
    like `{cub: 0.5, pets: 0.1}` for each data set or backbone. `without_prompts` holds what a solver changes there, for
    a fair comparison has its rate chosen on both sides. `at_shot`, `at_backbone` and `at_dataset` hold what all solvers
    change there; the later win, and a solver's own fields win over all of them.
    """

    shots: tuple[Annotated[int, whole("support images of each class", 1, 10_000)], ...] = (1, 5)
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
        """Returns the run on each backbone and data set, whose labels come in this order; backbone by backbone.

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
        """Returns the run of a cell, from the run on its backbone and data set. `label` is the solver's.

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
            if BACKBONE in values:
                raise ValueError(f"{BACKBONE} is not a field of prompts or solver; table.backbones holds backbones")
            here = {name: self._value_at(name, value, backbone, dataset, shot) for name, value in values.items()}
            own = with_hyper_parameters(run, here)
        except ValueError as error:
            said = sentence_of(error, Run)
            named = set(re.findall(r"(?:solver\.|prompts\.|^)(\w+)", said))
            changed = (section for section, fields in reversed(sections.items()) if named & set(fields))
            raise ValueError(f"table.{next(changed, f'solvers.{label}')}: {said}") from error
        return own.model_copy(update={"episodes": own.episodes.model_copy(update={"shot": shot})})

    def _value_at(self, name: str, value: Any, backbone: str, dataset: str, shot: int) -> Any:
        """Returns the value for a place and a shot, from values that differ by shot, data set or backbone, or by
        several of these, one within the other.
        """
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
        raise ValueError(f"{field}: {sentence_of(error, Run)}") from error
