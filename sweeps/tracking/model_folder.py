"""A sweep's winner as a folder that MLflow loads and serves: code, a recipe or a fitted classifier, a signature."""

import json
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sweeps.tracking.connecting import quiet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of classes of its own
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.models.model import MLMODEL_FILE_NAME
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

CODE = Path(__file__).with_name("served.py")
CLASSIFIER = "classifier"  # among the model's artifacts
# What `fpt` imports, and what MLflow needs to run its code.
PACKAGES = (
    "mlflow",
    "pandas",
    "torch",
    "timm",
    "numpy",
    "scikit-learn",
    "safetensors",
    "jaxtyping",
    "pillow",
    "matplotlib",
)
# The bytes of pictures, which HTTP carries as base64; in Python a column of bytes takes paths too.
IMAGE = ColSpec(DataType.binary, "image")
CLASS = ColSpec(DataType.string, "class")
ANSWER = Schema(
    [
        CLASS,
        ColSpec(DataType.double, "probability"),
        ColSpec(DataType.string, "runner_up"),
        ColSpec(DataType.double, "runner_up_probability"),
        ColSpec(DataType.string, "answered", required=False),  # where a risk is named
    ]
)
RISK = ParamSchema([ParamSpec("risk", DataType.double, None)])


class Labelled(NamedTuple):
    """A picture, as the bytes of its file, and its class, None where it is to be named."""

    image: bytes
    label: str | None = None


def write_model(
    folder: Path, parameters: Mapping[str, Any], example: Sequence[Labelled], classifier: Path | None = None
) -> Path:
    """Writes what MLflow takes for a model: the recipe of those parameters of a FewShotClassifier, or the fitted
    classifier of a folder. `example` are pictures that it may be asked; a recipe needs some with their class. Returns
    the folder, which must not be there yet.
    """
    quiet()
    asked: dict[str, list[Any]] = {"image": [one.image for one in example]}
    columns = [IMAGE]
    if classifier is None:
        asked["class"] = [one.label for one in example]
        columns.append(CLASS)
    package = find_spec("fpt")
    assert package is not None
    assert package.origin is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what MLflow asks pandas for
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(CODE),
            code_paths=[str(Path(package.origin).parent)],
            artifacts=None if classifier is None else {CLASSIFIER: str(classifier)},
            model_config=json.loads(json.dumps(parameters)),
            signature=ModelSignature(Schema(columns), ANSWER, RISK),
            input_example=pd.DataFrame(asked),
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in PACKAGES],
        )
    return folder


def with_run(folder: Path, model_id: str, location: str, run_id: str) -> None:
    """Has the folder of a model tell which model of which run it is."""
    told = Model.load(str(folder))
    told.model_uuid, told.model_id, told.run_id, told.artifact_path = model_id, model_id, run_id, location
    told.save(str(folder / MLMODEL_FILE_NAME))
