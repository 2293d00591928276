"""A sweep's winner as a model of MLflow: fitted to the pictures that `fit.support` names, or as a recipe."""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.config import Dataset, Run
from pipeline.data.listed import listing_of
from pipeline.data.sampler import sampler_of
from pipeline.data.sources.catalogue import detect
from pipeline.data.store import ImageStore
from sweeps.classifiers.fitting import fitted_to
from sweeps.classifiers.support import packed_support
from sweeps.lookup.rival import beats
from sweeps.lookup.winner import BEST, parameters_of, with_calibration
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Sweep
from sweeps.terminal.messages import say
from sweeps.tracking.fields import Data
from sweeps.tracking.model_folder import CLASSIFIER, Labelled, write_model
from sweeps.tracking.models import Winner, log_measured, log_winner, register_winner
from sweeps.tracking.tracker import Tracker
from sweeps.verdict.finding import Finding

PACKED = ".arrow"  # of a file of packed images
SHOWN = 2  # classes of a recipe's example


def check_support(sweep: Sweep) -> None:
    """Raises ValueError for a `fit.support` that a classifier cannot be fitted to. Of its pictures nothing but the
    names is read.
    """
    if sweep.fit.support is None:
        return
    with_support = on_support(sweep, sweep.fit.support)
    try:
        if with_support.dataset.source == "packed":
            store = packed_support(Path(sweep.fit.support))
            classes = {name for split in store.splits for name in store.classes(split)}
        else:
            classes = {image.class_name for image in listing_of(with_support.dataset).images}
    except ValueError as error:
        raise ValueError(_as_field(str(error))) from error
    if len(classes) < 2:
        raise ValueError(f"fit.support must hold pictures of at least 2 classes but holds {len(classes)}")


def on_support(run: Run, support: str) -> Run:
    """Returns a run whose images are those of a support set, whatever split they are in. Raises ValueError for one that
    is not there, or is of no kind that is read.
    """
    try:
        if support.endswith(PACKED):
            dataset = Dataset(source="packed", path=support, resize=run.dataset.resize)
        else:
            dataset = Dataset(source=detect(support), path=support, all_novel=True, resize=run.dataset.resize)
    except ValueError as error:
        raise ValueError(_as_field(str(error))) from error
    return run.model_copy(update={"dataset": dataset})


def _as_field(said: str) -> str:
    for typed in ("dataset.path", "--support", "SRC", "root"):
        said = said.replace(typed, "fit.support")
    return said


def keep_winner(
    tracker: Tracker, finding: Finding, sweep: Sweep, store: Path, left: Path, beside: Path
) -> Winner | None:
    """Has the tracker keep a finding's winner as a model of the sweep's run; `beside` is an empty folder that must last
    until that is recorded. `store` holds the images that the winner was judged on, `left` is the folder, called by the
    sweep's ID, that has its best.yaml and calibration. Where the model cannot be written, that is said, and None is
    returned: the verdict stands without it.
    """
    run, best = finding.best.run, left / BEST
    try:
        kept = winner_model(run, sweep.fit.support, store, left.name, beside / "model", best)
    except OSError as error:
        say(f"fpt: the winner is not kept as a model: {' '.join(str(error).split())}")
        return None
    kept.tags = {**kept.tags, "verdict": finding.outcome, "config_hash": finding.best.config_hash}
    log_winner(tracker, kept)
    return kept


def tell_of_winner(
    tracker: Tracker, kept: Winner | None, finding: Finding, sweep: Sweep, measured: Sequence[str], data: Sequence[Data]
) -> None:
    """Has the model told those metrics of the sweep's run, which are recorded by then, and registered where that is
    asked for and there is a verdict.
    """
    if kept is None:
        return
    log_measured(tracker, kept, measured, data)
    if sweep.tracking.registers and finding.best.estimate is not None:
        own = finding.best.config_hash
        register_winner(tracker, kept, sweep.name, lambda tags: beats(sweep.home, own, tags.get("config_hash", "")))


def winner_model(
    run: Run, support: str | None, store: Path, identity: str, folder: Path, config: Path | None = None
) -> Winner:
    """Writes the model of a winner's run into a folder that is not there yet, fitted to `support` where that is named,
    with the calibration that lies beside its file `config`. `store` holds the images that it was judged on, of which a
    recipe's example is taken.

    A support set that cannot be learnt by now is said, and leaves the recipe: the sweep's answer does not hang on it.
    """
    parameters, _ = with_calibration(parameters_of(run), config)
    classifier, example = None, list[Labelled]()
    if support is not None:
        try:
            place = folder.with_name(CLASSIFIER)
            fitted = fitted_to(on_support(run, support), place, lambda done, planned: None, config)
            classifier, example = folder.with_name(CLASSIFIER), [Labelled(as_png(fitted.support.images[0]))]
        except (ValueError, OSError, RuntimeError) as error:  # the last is want of memory, too
            said = " ".join(_as_field(str(error)).split())
            say(f"fpt: the winner is kept as a recipe, as it could not be fitted to fit.support: {said}")
    if classifier is None:
        example = recipe_example(run, store)
    write_model(folder, parameters, example, classifier)
    return Winner(
        identity=f"{identity}/{digest_of(parameters, classifier)}",
        name=f"{run.name} {'fitted' if classifier is not None else 'recipe'}",
        folder=folder,
        parameters={"setting": setting_name(run), **{name: str(own) for name, own in parameters_of(run).items()}},
        tags={
            "fpt.kind": "fitted classifier" if classifier is not None else "recipe",
            "solver": run.solver.name,
            "backbone": run.backbone.name,
        },
    )


def recipe_example(run: Run, store: Path) -> list[Labelled]:
    """Returns pictures of the first episode: one of each of two classes, and one to be named."""
    images = ImageStore(store)
    drawn = sampler_of(images.classes(run.episodes.split), run.episodes, run.dataset.small_classes)[0]
    shown = [(drawn.support[list(drawn.labels).index(label)], f"class {label}") for label in range(SHOWN)]
    rows: Sequence[tuple[int, str | None]] = [*shown, (drawn.query[0], None)]
    return [Labelled(as_png(images.images(np.array([row]))[0]), label) for row, label in rows]


def as_png(pixels: object) -> bytes:
    """Returns the bytes of a picture's file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")  # type: ignore[arg-type]
    return file.getvalue()


def digest_of(parameters: object, classifier: Path | None) -> str:
    """Returns what tells one model of a sweep from another: its parameters, and what was learnt by them."""
    fingerprints = None
    if classifier is not None:
        fingerprints = json.loads((classifier / "classifier.json").read_text(encoding="utf-8"))["fingerprints"]
    told = json.dumps([parameters, fingerprints], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:12]
