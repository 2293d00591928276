"""What MLflow runs of a sweep's winner: it keeps this file as the model's code, beside a copy of the package `fpt`.

Pictures go in, paths or the bytes of files; classes and their probabilities come out. Nothing is pickled.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd

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
        """Returns a row for each picture to be named: its class, how probable that is, and what comes next. Raises
        ValueError for a picture that cannot be read, and for a recipe that is given fewer than two classes.
        """
        classifier, asked = (self.fitted, model_input) if self.fitted is not None else self._fit(model_input)
        probabilities = classifier.predict_proba(asked["image"].tolist())
        order = np.argsort(-probabilities, axis=1, kind="stable")
        names, rows = np.array([str(name) for name in classifier.classes_]), np.arange(len(asked))
        first, second = order[:, 0], order[:, 1]
        return pd.DataFrame(
            {
                "class": names[first],
                "probability": probabilities[rows, first],
                "runner_up": names[second],
                "runner_up_probability": probabilities[rows, second],
            },
            index=asked.index,
        )

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


mlflow.models.set_model(Winner())
