"""What MLflow runs of a sweep's winner: it keeps this file as the model's code, beside a copy of the package `fpt`.

Pictures go in, paths or the bytes of files; classes and their probabilities come out, and at a risk that is named which
of these are answers. Nothing is pickled.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from fpt.classifier.answering import answers_at, need_not_hold
from fpt.classifier.estimator import FewShotClassifier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of classes of its own
    import mlflow.pyfunc


class Winner(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A winner is a classifier that was fitted already, or a recipe: parameters of a classifier, which is fitted to
    those pictures of a question that have a class, and names the others.
    """

    def load_context(self, context: Any) -> None:
        """Opens the fitted classifier, where the model holds one."""
        folder = context.artifacts.get("classifier")
        self.fitted = None if folder is None else FewShotClassifier.load(folder)
        self.parameters = dict(context.model_config)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Returns a row for each picture to be named: its class, how probable that is, and what comes next; with the
        parameter `risk` also whether that is an answer, of which no larger share is wrong. Raises ValueError for a
        picture that cannot be read, for a recipe that is given fewer than two classes, and for a risk that cannot be
        promised.
        """
        classifier, asked = (self.fitted, model_input) if self.fitted is not None else self._fit(model_input)
        risk = (params or {}).get("risk")
        answered = None if risk is None else _answers(classifier, risk)
        probabilities = classifier.predict_proba(asked["image"].tolist())
        order = np.argsort(-probabilities, axis=1, kind="stable")
        names, rows = np.array([str(name) for name in classifier.classes_]), np.arange(len(asked))
        first, second = order[:, 0], order[:, 1]
        found = pd.DataFrame(
            {
                "class": names[first],
                "probability": probabilities[rows, first],
                "runner_up": names[second],
                "runner_up_probability": probabilities[rows, second],
            },
            index=asked.index,
        )
        if answered is not None:
            found["answered"] = [answered(highest) for highest in found["probability"]]
        return found

    def _fit(self, frame: pd.DataFrame) -> tuple[FewShotClassifier, pd.DataFrame]:
        known = frame["class"].notna() & (frame["class"] != "")
        support = frame[known]
        if support["class"].nunique() < 2:
            raise ValueError(
                "class must name at least 2 classes, of whose pictures the recipe learns, but names "
                f"{support['class'].nunique()}; rows without a class are the pictures to be named"
            )
        classifier = FewShotClassifier(**self.parameters)
        classifier.fit(support["image"].tolist(), [str(name) for name in support["class"]])
        return classifier, frame[~known]


def _answers(classifier: FewShotClassifier, risk: float) -> Callable[[float], str]:
    """Returns what says whether a prediction is an answer, and warns where what that promises need not hold."""
    calibration = classifier.fitted_.calibration
    try:
        answered = answers_at(calibration, risk)
    except ValueError as error:
        raise ValueError(str(error).replace("--risk", "risk")) from error
    assert calibration is not None
    said = need_not_hold(calibration, classifier.fitted_.images)
    if said is not None:
        warnings.warn(said.replace("--risk", "risk"), stacklevel=3)
    return answered


mlflow.models.set_model(Winner())
