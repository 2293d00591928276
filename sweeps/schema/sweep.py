"""A sweep's configuration holds a run, what to search, how to judge the winner and where to record it."""

import os
from itertools import product
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from fpt.paths import whole_database
from pipeline.bounds import MANY, SEEDS, number, whole
from pipeline.config import HyperParameters, PathText, Run, Section, plain_run, with_hyper_parameters
from sweeps.schema.sentences import sentence_of
from sweeps.schema.space import Space, check_numbers, corners, shared
from sweeps.schema.table import Table


class Search(Section):
    """A search has trials, which come in generations. After every rung (a number of episodes) `stop: racing` lets all
    go on but those that rivals beat with confidence, so that the true best is dropped with probability `delta` at most;
    `stop: t_racing` promises that for symmetric differences alone, with fewer episodes; `stop: halving` keeps the
    better `keep`, a share.

    `rungs` are episodes done in all. `space` holds ranges and choices; what matters to some solvers only is asked for
    those alone, and a range may be given for each solver. `first` are settings tried before any is sampled, by name.
    With `audit`, all trials do all episodes afterwards, to tell what stopping them has cost and saved.
    """

    split: str = "validation"
    seed: Annotated[int, whole("seed of the proposals", 0, SEEDS)] = 0
    trials: Annotated[int, whole("settings that are tried", 1, 10_000_000)] = 16
    generation: Annotated[int, whole("trials that are proposed at once", 1, 10_000_000)] = 8
    rungs: Annotated[tuple[Annotated[int, whole("episodes done in all", 1, MANY)], ...], Field(max_length=1_000)] = (
        16,
        24,
        32,
        48,
        64,
        100,
    )
    stop: Literal["racing", "t_racing", "halving"] = "racing"
    keep: Annotated[float, Field(gt=0, lt=1, description="share that halving keeps: above 0, below 1")] = 0.5
    delta: Annotated[float, number("probability of dropping the best", 0.5)] = 0.05
    space: Space
    first: dict[str, HyperParameters] = Field(default_factory=dict)
    audit: bool = False

    @model_validator(mode="after")
    def _rungs_rise(self) -> "Search":
        if list(self.rungs) != sorted(set(self.rungs)) or not self.rungs:
            raise ValueError(f"rungs must rise but got {list(self.rungs)}")
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
    the other half of the classes, or of the pictures where classes are few.
    """

    episodes: Annotated[int, whole("episodes that decide", 1, MANY)] = 200
    precision: Annotated[float | None, number("half an interval in points of accuracy", 100)] = None
    most: Annotated[int, whole("the most episodes that a precision may ask for", 1, MANY)] = 2000
    again: bool = True
    masks: bool = False

    @model_validator(mode="after")
    def _more_is_more(self) -> "Final":
        if self.precision is not None and self.most < self.episodes:
            raise ValueError(f"most must be at least {self.episodes}, which is episodes, but got {self.most}")
        return self


class Sweep(Run):
    """A sweep is a run with what is searched, how it is judged and where that is recorded. `home` is for images,
    ledger, reports and MLflow's database, unless `tracking_uri` or MLFLOW_TRACKING_URI says otherwise: it is a folder,
    on a cluster a folder that all nodes share, or like s3://bucket/path. FPT_HOME is its default.
    """

    home: PathText = Field(default_factory=lambda: os.environ.get("FPT_HOME", "runs"))
    tracking_uri: Annotated[str, AfterValidator(whole_database)] | None = None
    search: Search | None = None
    final: Final = Final()
    table: Table | None = None

    @model_validator(mode="after")
    def _first_and_space_fit_the_run(self) -> "Sweep":
        if self.search is not None:
            run, space = plain_run(self), self.search.space
            check_numbers(space, run)
            for values in corners(space, run.solver.name):
                with_hyper_parameters(run, values)
            for name, values in self.search.first.items():
                missing = ", ".join(sorted(set(values) - set(self.search.space)))
                if missing:
                    raise ValueError(f"search.first.{name} must name what search.space holds but got {missing}")
                try:
                    with_hyper_parameters(run, values)
                except ValidationError as error:
                    raise ValueError(f"search.first.{name}: {sentence_of(error, Run)}") from error
        return self

    @model_validator(mode="after")
    def _solvers_of_the_table_fit_the_run(self) -> "Sweep":
        if self.table is not None:
            table = self.table
            for (backbone, dataset), run in table.places(plain_run(self)).items():
                for label, shot, prompts in product(table.solvers, table.shots, (True, False)):
                    table.run(run, backbone, dataset, label, shot, prompts)
        return self
