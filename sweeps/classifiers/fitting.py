"""Fits a classifier as a configuration says, to a support set, and keeps it in a folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fpt.classifier.estimator import FewShotClassifier
from fpt.classifier.saving import check_free
from fpt.classifier.transform import Transform
from fpt.pictures.resizing import resize_of
from pipeline.config import Run
from pipeline.limits import check_weights, limits_of
from sweeps.classifiers.support import Support, support_of
from sweeps.lookup.winner import parameters_of, told, with_calibration


@dataclass(frozen=True)
class FittedTo:
    """This tells what a classifier was fitted to, and how well it does on that, which says little of other pictures;
    and why it was not calibrated, None where it was.
    """

    support: Support
    accuracy: float
    seconds: float
    told: str
    uncalibrated: str | None


def fitted_to(run: Run, out: Path, progress: Callable[[int, int], None], config: Path | None = None) -> FittedTo:
    """Fits a classifier to the images of a run, with the calibration that lies beside its file `config`, and saves it.
    Raises ValueError for bad input, before anything is read.
    """
    try:
        check_free(out)
    except ValueError as error:
        raise ValueError(f"--out: {error}") from error
    check_weights(run)
    began, (parameters, uncalibrated) = time.monotonic(), with_calibration(parameters_of(run), config)
    classifier = FewShotClassifier(**parameters)
    limits = limits_of(run)
    transform = Transform(limits.image_size, resize_of(run.dataset.resize, limits.seen))
    support = support_of(run, transform, progress)
    classifier.set_params(depth=support.depth)
    classifier.fit(support.images, support.classes)
    accuracy = float(classifier.score(support.images, support.classes))
    classifier.save(out)
    return FittedTo(support, accuracy, time.monotonic() - began, told(parameters), uncalibrated)
