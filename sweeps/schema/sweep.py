"""A sweep's configuration holds a run, what to search, how to judge the winner and where to record it."""

import os
from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from fpt import defaults
from fpt.paths import whole_database
from pipeline.backbones import BackboneName
from pipeline.bounds import MANY, SEEDS, number, whole
from pipeline.config import HyperParameters, Run, asked_up_to, plain_run, with_backbone, with_hyper_parameters
from pipeline.section import PathText, Section
from sweeps.schema.sentences import sentence_of
from sweeps.schema.space import Choices, Space, backbones_of, check_numbers, corners, shared
from sweeps.schema.table import Table


class Search(Section):
    """A search looks at many settings on an episode or two each, at those again that may be best, and has the most
    promising race on fresh episodes. It takes so many `problems`, one of which is a setting on an episode, or as many
    as are solved in so many `minutes`, which is measured once; or its looks (`trials`) are said, and its `rungs`, the
    episodes of the race after which trials are judged. A third of the problems are for the race, unless rungs are
    given. `more` looks are added to those of the plan, which stay as they are. With `enough`, in points, looking ends
    when 64 more looks are expected to gain less.

    `finalists` race, and the settings that are named. `stop: racing` lets all go on but those that rivals beat with
    confidence, so that the truly best of them is dropped with probability `delta` at most; `stop: t_racing` promises
    that for symmetric differences alone, with fewer episodes; `stop: halving` keeps the better `keep`, a share.

    An episode of the search has up to `query` query images of each class, as `episodes.query_up_to` has it, or as many
    as the verdict's where that is more, or where it is null: what chance makes of a setting on an episode is mostly
    which images are asked, and to ask more costs little beside training.

    `parallel` is how many workers the plan is made for: so many orders there are at least at a time, however many
    workers there turn out to be. `space` holds ranges and choices; what matters to some solvers only is asked for those
    alone, and a range may be given for each solver. `first` are settings that are tried before any is sampled, by name.
    `from` names earlier sweeps, by ID, folder or file: the best two dozen settings of each become `warm`, settings that
    are looked at first and do not race for that. With `audit`, all that race do all episodes afterwards, to tell what
    stopping them has cost and saved.

    A space may hold `backbone`: choices of timm models and labels of `backbones`. Their classifiers on frozen features
    race first, and backbones of which none is left in that race are not searched: the one with the truly best
    classifier is among these with probability `delta` at most. Without `frozen_race` all are searched.
    """

    split: str = "validation"
    seed: Annotated[int, whole("seed of the proposals", 0, SEEDS)] = 0
    problems: Annotated[int | None, whole("settings times episodes", 2, 10_000_000)] = None
    minutes: Annotated[float | None, number("minutes of the search", 1e6)] = None
    trials: Annotated[int | None, whole("looks at settings, an episode or two each", 1, 1_000_000)] = None
    more: Annotated[int, whole("looks beside those of the plan", 0, 1_000_000)] = 0
    enough: Annotated[float | None, number("points that 64 more looks may be expected to gain", 100)] = None
    finalists: Annotated[int, whole("settings that race", 1, 10_000)] = 8
    rungs: (
        Annotated[tuple[Annotated[int, whole("episodes done in all", 1, MANY)], ...], Field(max_length=1_000)] | None
    ) = None
    stop: Literal["racing", "t_racing", "halving"] = "racing"
    keep: Annotated[float, Field(gt=0, lt=1, description="share that halving keeps: above 0, below 1")] = 0.5
    delta: Annotated[float, number("probability of dropping the best", 0.5)] = 0.05
    parallel: Annotated[int, whole("workers that the plan is made for", 1, 100_000)] = 2
    space: Space
    first: dict[str, HyperParameters] = Field(default_factory=dict)
    # Searches were described without these before they were there, and are still.
    query: Annotated[int | None, whole("query images of each class, where there are so many", 1, 10_000)] = Field(
        default=15, exclude_if=lambda most: most is None
    )
    earlier: Annotated[tuple[str, ...], Field(alias="from", max_length=100, exclude_if=lambda one: not one)] = ()
    warm: Annotated[tuple[HyperParameters, ...], Field(max_length=10_000, exclude_if=lambda one: not one)] = ()
    audit: bool = False
    frozen_race: Annotated[bool, Field(exclude_if=lambda races: races)] = True

    @model_validator(mode="after")
    def _rungs_rise(self) -> "Search":
        if self.rungs is not None and (not self.rungs or list(self.rungs) != sorted(set(self.rungs))):
            raise ValueError(f"rungs must rise but got {list(self.rungs)}")
        return self

    @model_validator(mode="after")
    def _one_budget(self) -> "Search":
        given = [name for name in ("problems", "minutes", "trials") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[0]} must stand alone, without {given[1]}, which says as much, but both are given")
        return self

    @model_validator(mode="after")
    def _shares_are_of_patches(self) -> "Search":
        for name in shared(self.space):
            if name != "patches":
                raise ValueError(f"space.{name}.share must be false, as only patches have shares, but is true")
        return self


class Final(Section):
    """The last evaluation is on classes and episodes no trial saw (`episodes.split`). `masks` adds the true masks.

    `precision`, in points, asks for as many more `episodes`, up to `most`, as bring half the 95 % interval over
    episodes of the winner's difference to what it has to beat down to it. With `again`, both are judged once more, on
    the other half of the classes, or of the pictures where classes are few. `ensemble` judges the mean class
    probabilities of so many of the best settings beside the winner, 0 for none.

    On so many validation episodes that no trial saw, `confidence`, but no more than `episodes`, it is fitted how sure
    the winner may be of its answers, and on as many novel ones judged; 0 for none.
    """

    episodes: Annotated[int, whole("episodes that decide", 1, MANY)] = 200
    precision: Annotated[float | None, number("half an interval in points of accuracy", 100)] = None
    most: Annotated[int, whole("the most episodes that a precision may ask for", 1, MANY)] = 2000
    again: bool = True
    masks: bool = False
    ensemble: Annotated[int, whole("best settings that are judged together, 0 for none", 0, 100)] = 5
    # Sweeps were described without it before it was there, and are still.
    confidence: Annotated[
        int, whole("episodes by which probabilities are calibrated", 0, MANY), Field(exclude_if=lambda one: one == 300)
    ] = 300

    @model_validator(mode="after")
    def _more_is_more(self) -> "Final":
        if self.precision is not None and self.most < self.episodes:
            raise ValueError(f"most must be at least {self.episodes}, which is episodes, but got {self.most}")
        return self


class Fit(Section):
    """The winner is fitted to the pictures of `support`, of any source that sweeps read, once it has been judged, and
    MLflow keeps the fitted classifier as a model. Without, that model is the recipe, which is fitted where it is asked.
    """

    support: PathText | None = None


class Tracking(Section):
    """With `register` the model of the winner is registered in MLflow under the sweep's name. Its alias `best` goes to
    the first one, and to a later one that beats it on the same episodes.
    """

    registers: Annotated[bool, Field(alias="register")] = False


def _without_contrast(values: Any) -> Any:
    return {name: value for name, value in values.items() if name != "contrast"} if isinstance(values, dict) else values


def _check_backbones(run: Run, choices: Sequence[str]) -> None:
    """Raises ValueError for labels of backbones whose fields are none, for choices that are the same, and for fields of
    `backbone` that none of the choices takes.
    """
    for label in run.backbones:
        try:
            with_backbone(run, label)
        except ValidationError as error:
            raise ValueError(f"backbones.{label}: {sentence_of(error, BackboneName)}") from error
    meant: dict[BackboneName, str] = {}
    for choice in choices:
        if (other := meant.setdefault(with_backbone(run, choice).backbone, choice)) != choice:
            raise ValueError(
                f"search.space.backbone must hold different backbones but {other} and {choice} are the same one"
            )
    if not choices or run.backbone.name in {backbone.name for backbone in meant}:
        return
    usual = BackboneName(name=run.backbone.name, precision=run.backbone.precision)
    for field in BackboneName.model_fields:
        if (value := getattr(run.backbone, field)) != getattr(usual, field):
            raise ValueError(
                f"backbone.{field} must be left out where search.space.backbone holds other models alone, "
                f"{', '.join(choices)}, but is {value!r}; backbones: {{LABEL: {{name: ..., {field}: ...}}}} gives it "
                "to one of them"
            )


class Sweep(Run):
    """A sweep is a run with what is searched, how it is judged and where that is recorded. `home` is for images,
    ledger, reports and MLflow's database, unless `tracking_uri` or MLFLOW_TRACKING_URI says otherwise: it is a folder,
    on a cluster a folder that all nodes share, or like s3://bucket/path. FPT_HOME is its default. `backbones` are those
    that a search may choose, by labels of your own, each with the fields of `backbone` in which it differs.
    """

    home: PathText = Field(default_factory=lambda: os.environ.get("FPT_HOME", "runs"))
    tracking_uri: Annotated[str, AfterValidator(whole_database)] | None = None
    search: Search | None = None
    final: Final = Final()
    fit: Fit = Fit()
    tracking: Tracking = Tracking()
    table: Table | None = None

    @model_validator(mode="before")
    @classmethod
    def _contrast_is_searched_where_it_is_read(cls, given: Any) -> Any:
        """Leaves the weight of contrast out of a search whose prompts are of another variant."""
        sections = [given.get(name) or {} for name in ("prompts", "search")] if isinstance(given, dict) else []
        if len(sections) < 2 or not all(isinstance(section, dict) for section in sections):
            return given
        prompts, search = sections
        space, first = search.get("space"), search.get("first")
        if prompts.get("variant", defaults.VARIANT) == "contrast" or not isinstance(space, dict) or "variant" in space:
            return given
        named = first if not isinstance(first, dict) else {name: _without_contrast(of) for name, of in first.items()}
        told = {} if first is None else {"first": named}
        return {**given, "search": {**search, "space": _without_contrast(space), **told}}

    @model_validator(mode="after")
    def _first_and_space_fit_the_run(self) -> "Sweep":
        if self.search is not None:
            if self.ensemble:
                raise ValueError("ensemble must be left out beside search, which makes its own, but is given")
            run, space = plain_run(self), self.search.space
            check_numbers(space, run)
            _check_backbones(run, backbones_of(space))
            for values in corners(space, run.solver.name):
                with_hyper_parameters(run, values)
            for name, values in self.search.first.items():
                missing = ", ".join(sorted(set(values) - set(self.search.space)))
                if missing:
                    raise ValueError(f"search.first.{name} must name what search.space holds but got {missing}")
                for of, value in values.items():
                    if isinstance(entry := space[of], Choices) and value not in entry.choices:
                        raise ValueError(
                            f"search.first.{name}.{of} must be one of {', '.join(map(str, entry.choices))}, which "
                            f"search.space holds, but got {value!r}"
                        )
                try:
                    with_hyper_parameters(run, values)
                except ValidationError as error:
                    raise ValueError(f"search.first.{name}: {sentence_of(error, Run)}") from error
            for place, values in enumerate(self.search.warm):
                try:
                    with_hyper_parameters(run, values)
                except ValidationError as error:
                    raise ValueError(f"search.warm.{place}: {sentence_of(error, Run)}") from error
        return self

    @model_validator(mode="after")
    def _solvers_of_the_table_fit_the_run(self) -> "Sweep":
        if self.table is not None:
            table = self.table
            for (backbone, dataset), run in table.places(plain_run(self)).items():
                for label, shot, prompts in product(table.solvers, table.shots, (True, False)):
                    table.run(run, backbone, dataset, label, shot, prompts)
        return self


def searched_run(sweep: Run, search: Search) -> Run:
    """Returns the run whose settings a search tries, on the search's own split and with its queries."""
    return asked_up_to(plain_run(sweep, search.split), search.query)
