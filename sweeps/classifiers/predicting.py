"""Names any number of pictures by a fitted classifier, in constant memory."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fpt.classifier.answering import answers_at
from fpt.classifier.estimator import FewShotClassifier
from sweeps.classifiers.drawing import draw_looks
from sweeps.classifiers.reading import Batch, pictures_in, read_pictures
from sweeps.classifiers.tables import Prediction, check_table, predictions_into


@dataclass(frozen=True)
class Predicted:
    """This tells how many pictures were held to be of each class, and how many of all were answered, where a risk was
    named; which could not be read and why, and notes on what lay beside them.
    """

    classes: Mapping[str, int]
    answered: Mapping[str, int]
    broken: Sequence[tuple[str, str]]
    notes: Sequence[str]

    @property
    def pictures(self) -> int:
        return sum(self.classes.values())


def predict(
    classifier: FewShotClassifier,
    places: Sequence[Path],
    out: Path,
    progress: Callable[[int, int], None],
    drawn: Path | None = None,
    risk: float | None = None,
) -> Predicted:
    """Writes the predictions of pictures into a file; with `drawn`, a picture of where the model looked in each into
    that folder; with `risk`, which of them are answers, of which no larger share is wrong. Raises ValueError for what
    is not there or cannot be written, and for a risk that cannot be promised.
    """
    check_table(out)
    answers = None if risk is None else answers_at(classifier.fitted_.calibration, risk)
    paths, notes = pictures_in(places)
    if drawn is not None and classifier.fitted_.backbone.pyramid:
        raise ValueError("--pictures must be left out for a backbone with windows or stages, which has no one map")
    counted, said, broken, done = Counter[str](), Counter[str](), list[tuple[str, str]](), 0
    with predictions_into(out, answers is not None) as write:
        for batch in read_pictures(paths, classifier.fitted_.transform, os.cpu_count() or 1):
            if batch.paths:
                rows = _named(classifier, batch, answers)
                counted.update(row.label for row in rows)
                said.update(row.answered for row in rows if row.answered is not None)
                write(rows)
                if drawn is not None:
                    draw_looks(classifier.fitted_, batch, rows, done, drawn)
            broken += [(_text(path), why) for path, why in batch.broken]
            done += len(batch.paths) + len(batch.broken)
            progress(done, len(paths))
    return Predicted(dict(sorted(counted.items())), dict(said), broken, notes)


def _named(classifier: FewShotClassifier, batch: Batch, answers: Callable[[float], str] | None) -> list[Prediction]:
    probabilities = classifier.probabilities(batch.pixels)
    if not np.isfinite(probabilities).all():
        raise RuntimeError("scores are not finite: the classifier cannot name these pictures")
    order = np.argsort(-probabilities, axis=1, kind="stable")
    names = [str(name) for name in classifier.classes_]
    return [
        Prediction(
            _text(path),
            names[first],
            float(row[first]),
            names[second],
            float(row[second]),
            None if answers is None else answers(float(row[first])),
        )
        for path, row, (first, second) in zip(batch.paths, probabilities, order[:, :2].tolist(), strict=True)
    ]


def _text(path: Path) -> str:
    """Returns a path as it may be written: bytes of it that are no UTF-8 as \\xe9."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
