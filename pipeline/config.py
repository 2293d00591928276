"""What a run is made of, as frozen models. They are read at the boundary: command line and worker."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fpt import defaults
from fpt.registry import HEADS, ORDERS, ROWS, SOLVERS, STEERED_HEADS, VARIANTS
from pipeline.backbones import BackboneName, backbone_named
from pipeline.bounds import LARGE, MANY, SEEDS, number, whole
from pipeline.data.sources.catalogue import SOURCES
from pipeline.section import PathText, Section, one_of

Share = Annotated[float, number("share of the classes", 1, 0)]
HyperParameters = dict[str, float | int | str | bool]
BACKBONE = "backbone"  # what a setting calls the backbone that it is on, where a search chooses it


class Dataset(Section):
    """A data set is read as `source` says: `glyphs` are GlyphScenes, drawn when they are first used, `images_per_class`
    scenes of each validation and novel class; `packed` is what `fpt data pack` has written; every other source reads a
    user's own images at `path`, which are packed when they are first used, and again when their files change.

    `resize` is crop for the backbone's own transform, as timm evaluates it, and squash for that of the paper's code.
    Classes without a split are divided by `shares` and `split_seed`; with `all_novel` every class is novel, whatever
    its split, as the paper's code has it. With `hold_out: pictures` the pictures of each class are divided instead, so
    that every split holds other pictures of the same classes. `small_classes` says what becomes of classes with fewer
    than shot + query images, `leaks` what becomes of a picture that two classes or splits hold.

    With `merge_splits` the splits that a source has are joined, and divided anew. With `follow_links` links that lead
    out of `path` are followed. Where folders lie inside of class folders, `classes` says whether the outermost folders
    (top) are classes, or all that hold pictures (leaf). `image_column` and `label_column` name the columns of a table
    or Parquet file, or the suffixes and paths in JSON of tars, that pictures and classes are taken from, where these
    are not called as usual.
    """

    source: Annotated[str, one_of(SOURCES)] = "glyphs"
    path: PathText | None = None
    images_per_class: Annotated[int, whole("scenes of each class of glyphs", 1, 100_000)] = 30
    distractors: Annotated[int, whole("other glyphs of a scene", 0, 6)] = 2
    resize: Literal["crop", "squash"] = "crop"
    shares: dict[str, Share] = Field(default_factory=lambda: {"validation": 0.5, "novel": 0.5})
    split_seed: Annotated[int, whole("seed of the division into splits", 0, SEEDS)] = 0
    # Sweeps and MLflow's parameters were described without these before they were there, and are still.
    hold_out: Annotated[Literal["classes", "pictures"], Field(exclude_if=lambda held: held == "classes")] = "classes"
    merge_splits: Annotated[bool, Field(exclude_if=lambda merged: not merged)] = False
    follow_links: Annotated[bool, Field(exclude_if=lambda followed: not followed)] = False
    classes: Annotated[Literal["top", "leaf"], Field(exclude_if=lambda classes: classes == "top")] = "top"
    leaks: Annotated[Literal["refuse", "leave_out"], Field(exclude_if=lambda leaks: leaks == "refuse")] = "refuse"
    image_column: Annotated[str | None, Field(min_length=1, exclude_if=lambda name: name is None)] = None
    label_column: Annotated[str | None, Field(min_length=1, exclude_if=lambda name: name is None)] = None
    all_novel: bool = False
    small_classes: Literal["refuse", "leave_out"] = "refuse"

    @model_validator(mode="after")
    def _path_fits_the_source(self) -> "Dataset":
        if self.source == "glyphs" and self.path is not None:
            raise ValueError(f"source must say how to read {self.path!r} (folder, table, cub ...) but is glyphs")
        if self.source != "glyphs" and not self.path:
            raise ValueError(f"path must say where the images of source {self.source} are but is missing")
        return self

    @model_validator(mode="after")
    def _source_is_read_so(self) -> "Dataset":
        """Leaks are not among it, as what was drawn or packed before has none."""
        names = ("merge_splits", "follow_links", "classes", "image_column", "label_column")
        said = {name: getattr(self, name) != type(self).model_fields[name].default for name in names}
        taken = {*SOURCES[self.source].options, "merge_splits"}
        for name in (name for name, given in said.items() if given):
            value, default = getattr(self, name), type(self).model_fields[name].default
            shown, allowed = (one if isinstance(one, str) else json.dumps(one) for one in (value, default))
            if SOURCES[self.source].function is None:
                why = "which has no files to list" if self.source == "glyphs" else "whose images were listed before"
                way_on = "" if self.source == "glyphs" else f"; fpt data pack --set dataset.{name}={shown} does it"
                raise ValueError(f"{name} must be {allowed} for {self.source}, {why}, but is {shown}{way_on}")
            if name not in taken:
                why = "which has no columns" if name.endswith("_column") else "which names each image"
                raise ValueError(f"{name} must be {allowed} for {self.source}, {why}, but is {shown}")
        if self.merge_splits and self.all_novel:
            raise ValueError(
                "merge_splits must be false where all_novel is true, as all splits are one then, but is true"
            )
        return self

    @model_validator(mode="after")
    def _pictures_can_be_held_out(self) -> "Dataset":
        if self.hold_out == "pictures" and self.source == "glyphs":
            raise ValueError("hold_out must be classes for glyphs, of which there are hundreds, but got 'pictures'")
        if self.hold_out == "pictures" and self.all_novel:
            raise ValueError("all_novel must be false where hold_out is pictures, as all splits get some, but is true")
        return self


class Episodes(Section):
    """Episodes are drawn as these fields say. `split` is what `fpt run` draws from; a sweep searches on `search.split`
    and reports on this split. `part` is all of the split, or a half of its classes or of each class's pictures: a sweep
    judges its winner on the first half and once more on the other. With `query_up_to`, each class has as many further
    queries, up to so many in all, as the smallest class has images; nothing else of an episode changes. With `scores`,
    those of all queries are kept in the ledger, and of pictures of other classes, as many as classes where there are so
    many: 2 bytes for each class.
    """

    split: str = "novel"
    part: Literal["all", "first classes", "other classes", "first pictures", "other pictures"] = "all"
    way: Annotated[int, whole("classes of an episode", 2, 100_000)] = 5
    shot: Annotated[int, whole("support images of each class", 1, 10_000)] = 5
    query: Annotated[int, whole("query images of each class", 1, 10_000)] = 10
    seed: Annotated[int, whole("seed of the episodes; the next one is used too", 0, SEEDS)] = 0
    count: Annotated[int, whole("episodes", 1, MANY)] = 200
    # Runs were described without these before they were there, and are still.
    scores: Annotated[bool, Field(exclude_if=lambda kept: not kept)] = False
    query_up_to: Annotated[int | None, whole("query images of each class, where there are so many", 1, 10_000)] = Field(
        default=None, exclude_if=lambda most: most is None
    )

    @property
    def queries(self) -> str:
        """Returns in words how many queries each class has."""
        up_to = "" if self.query_up_to is None else f" to {self.query_up_to} (what the smallest class has)"
        return f"{self.query}{up_to} queries a class"


class Solver(Section):
    """A solver trains as these fields say. `batch` 0 takes the whole support set in every step; `blocks` is how many of
    the last blocks are adapted. With `embeddings`, which takes all blocks, SSF and full fine-tuning adapt what comes
    before them too.
    """

    name: Annotated[str, one_of(SOLVERS)] = defaults.SOLVER
    head: Annotated[str, one_of(HEADS)] = defaults.HEAD
    temperature: Annotated[float, number("divisor of distances and scores", 1e6)] = defaults.TEMPERATURE
    head_multiplier: Annotated[float, number("factor of the head's rate", 1e6)] = defaults.HEAD_MULTIPLIER
    lr: Annotated[float, number("rate of learning", 1e38)] = defaults.LR
    epochs: Annotated[int, whole("passes over the support set", 0, 1_000_000)] = defaults.EPOCHS
    batch: Annotated[int, whole("images of a step, 0 for all", 0, MANY)] = defaults.BATCH
    blocks: Annotated[int, whole("last blocks that are adapted", 1, 1_000)] = defaults.BLOCKS
    rank: Annotated[int, whole("rank of LoRA's updates", 1, 100_000)] = defaults.RANK
    tokens: Annotated[int, whole("tokens of VPT in every adapted block (`deep`) or the first", 1, 100_000)] = (
        defaults.TOKENS
    )
    deep: bool = defaults.DEEP
    embeddings: bool = defaults.EMBEDDINGS

    @property
    def adapted(self) -> int:
        """Returns how much of the backbone is adapted, from the top: blocks, and the embeddings as one more."""
        return self.blocks + self.embeddings


class Prompts(Section):
    """Position prompts are made as these fields say; `alpha` 0 means that there are none, and then nothing else here
    matters.

    `alpha` of the other variants is about `patches` times that of `official`, the released code's. `order` is that of
    the product of layers, `rows` are the tokens whose attention is steered; null stands for the variant's own:
    `official` steers all tokens, the others patches. `contrast` is how much the variant of that name takes from the
    other images of an episode: nothing at 0, where it is `scaled`, by Bayes' rule at 1.
    """

    variant: Annotated[str, one_of(VARIANTS)] = defaults.VARIANT
    order: Annotated[str, one_of(ORDERS)] | None = defaults.ORDER
    lam: Annotated[float, number("weight of the gradient", LARGE, 0), Field(alias="lambda")] = defaults.LAM
    alpha: Annotated[float, number("weight of the prompts in the loss", LARGE, 0)] = defaults.ALPHA
    tau: Annotated[float, number("temperature of the attention that is steered", LARGE)] = defaults.TAU
    patches: Annotated[int, whole("patches of a prompt", 1, 1_000_000)] = defaults.PATCHES
    layers: Annotated[int, whole("last layers that are steered", 1, 1_000)] = defaults.LAYERS
    rows: Annotated[str, one_of(ROWS)] | None = defaults.ROWS
    heads: Annotated[str, one_of(STEERED_HEADS)] = defaults.HEADS
    contrast: Annotated[float, number("weight of what an episode's other images tell", 100, 0)] = defaults.CONTRAST


class Compute(Section):
    """These fields say how results are computed, and change none of them. `workers` is how many there are; 0 stands for
    one on each GPU, or on each core where there are no GPUs, and for more as nodes join. A null `gpus_per_worker`
    stands for what FPT_GPUS_PER_WORKER says of GPUs that are still to come, or else for 1 where the cluster has GPUs.
    `stack` is how many problems are solved together, 0 for as many as the device holds. An order holds `shard` episodes
    and at most `settings` settings, 0 for all that wait for them, and may take `order_seconds` at most. A worker that
    has nothing to do for `idle_seconds` is let go. With `repeatable`, GPUs use kernels that give the same bits every
    time, which are slower where attention is trained. With `compile`, a worker makes one program of the steps of each
    shape that problems have, which takes it up to minutes a shape and needs a C++ compiler.
    """

    workers: Annotated[int, whole("workers, 0 for as many as there is room for", 0, 100_000)] = 0
    threads_per_worker: Annotated[int, whole("threads of a worker", 1, 1_024)] = 1
    gpus_per_worker: Annotated[float | None, number("GPUs of a worker", 1_024, 0)] = None
    # Sweeps and MLflow's parameters were described without it before it was there, and are still.
    repeatable: Annotated[bool, Field(exclude_if=lambda repeatable: repeatable)] = True
    compile: Annotated[bool, Field(exclude_if=lambda compile: not compile)] = False
    stack: Annotated[int, whole("problems solved together, 0 for as many as fit", 0, 1_000_000)] = 0
    shard: Annotated[int, whole("episodes of an order", 1, 1_000_000)] = 8
    settings: Annotated[int, whole("settings of an order, 0 for all that wait", 0, 1_000_000)] = 0
    cache_megabytes: Annotated[int, whole("megabytes that a worker keeps of images", 1, 100_000_000)] = 1024
    order_seconds: Annotated[float, number("seconds that an order may take", 1e8)] = 1800.0
    idle_seconds: Annotated[float, number("seconds without work after which a worker goes", 1e8)] = 300.0


class Run(Section):
    """A run is everything that makes one configuration, and how to compute it. With an `ensemble`, settings of `solver`
    and `prompts`, each as far as it differs, their mean class probabilities classify. `backbones` are backbones that a
    search may choose, by labels of your own, each with the fields of `backbone` in which it differs.
    """

    name: str = "run"
    dataset: Dataset = Dataset()
    backbone: BackboneName = BackboneName()
    episodes: Episodes = Episodes()
    solver: Solver = Solver()
    prompts: Prompts = Prompts()
    # Runs were described without it before it was there, and are still.
    ensemble: Annotated[
        tuple[HyperParameters, ...], Field(max_length=100, exclude_if=lambda ensemble: not ensemble)
    ] = ()
    # Runs were described without them before they were there, and are still.
    backbones: Annotated[dict[str, dict[str, Any]], Field(max_length=100, exclude_if=lambda named: not named)] = Field(
        default_factory=dict
    )
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _solver_adapts_embeddings(self) -> "Run":
        if self.solver.embeddings and "embeddings" not in SOLVERS[self.solver.name].fields:
            raise ValueError(
                f"solver.embeddings must be false for {self.solver.name}, which does not adapt them, but is true"
            )
        return self

    @model_validator(mode="after")
    def _steered_layers_are_adapted(self) -> "Run":
        if self.prompts.alpha > 0 and self.prompts.layers > self.solver.blocks:
            raise ValueError(
                f"prompts.layers must be at most {self.solver.blocks}, which is solver.blocks, "
                f"but got {self.prompts.layers}"
            )
        return self

    @model_validator(mode="after")
    def _members_adapt_the_same(self) -> "Run":
        if any(BACKBONE in values for values in self.ensemble):
            raise ValueError(f"ensemble must leave {BACKBONE} out, as its members share one, but a member names one")
        adapted = {member.solver.adapted for member in members_of(self)}
        if len(adapted) > 1:
            raise ValueError(f"ensemble must hold settings that adapt as many blocks each but has {sorted(adapted)}")
        return self


def with_hyper_parameters(run: Run, values: Mapping[str, Any]) -> Run:
    """Returns the run, without what a subclass adds, with some fields of `prompts` (lambda, alpha ...) and `solver` (lr
    ...) replaced, and on the backbone that the values name, if they do.

    Raises ValueError for a name that is a field of neither, or a value that the field does not take.
    """
    if BACKBONE in values:
        run = with_backbone(run, values[BACKBONE])
    described = run.model_dump(by_alias=True, include=set(Run.model_fields))
    for name, value in values.items():
        if name == BACKBONE:
            continue
        section = next((section for section in ("prompts", "solver") if name in described[section]), None)
        if section is None:
            known = [name for part in ("prompts", "solver") for name in described[part]]
            near = get_close_matches(name, known, 1, 0.0)[0]
            raise ValueError(f"{name} is not a field of prompts or solver; did you mean {near}?")
        described[section][name] = value
    return Run.model_validate(described)


def with_backbone(run: Run, named: object) -> Run:
    """Returns the run on a backbone: a label of `backbones`, the run's own by its name, or another timm model."""
    return run.model_copy(update={"backbone": backbone_named(named, run.backbone, run.backbones), "backbones": {}})


def members_of(run: Run) -> list[Run]:
    """Returns the runs whose mean a run is: itself, where it is no ensemble."""
    alone = run.model_copy(update={"ensemble": ()})
    return [with_hyper_parameters(alone, values) for values in run.ensemble] or [run]


def plain_run(run: Run, split: str | None = None) -> Run:
    """Returns the run alone, without what a subclass adds; `split` replaces the split that episodes are drawn from."""
    described = run.model_dump(by_alias=True, include=set(Run.model_fields))
    if split is not None:
        described["episodes"]["split"] = split
    return Run.model_validate(described)


def asked_up_to(run: Run, most: int | None) -> Run:
    """Returns the run with up to so many queries of each class, if that is more than it has."""
    if most is None or most <= max(run.episodes.query, run.episodes.query_up_to or 0):
        return run
    return run.model_copy(update={"episodes": run.episodes.model_copy(update={"query_up_to": most})})
