"""A saved view of MLflow's table of runs: the columns that a sweep is read by, the best trial first.

MLflow 3.17 shows none of a run's metrics and parameters until columns are chosen, one by one. What its page saves as a
view is a tag of the experiment, and so is this one; a page that does not know such tags shows its usual columns.
"""

import base64
import json
import zlib
from collections.abc import Iterable

from sweeps.schema.naming import in_order

VIEW = "fpt-trials"
TAG = f"mlflow.sharedViewState.{VIEW}"
PAGES = "workflowType=machine_learning"  # in an address: not those for language models, which come first
METRICS = (
    "score",
    "to_best",
    "to_best_ci95",
    "accuracy",
    "ci95",
    "episodes",
    "prompt_precision",
    "attention_on_key_after",
)
TAGS = ("stopped_by", "winner")


def arrangement(searched: Iterable[str]) -> dict[str, str]:
    """Returns tags of an experiment whose trials differ in `searched`: its pages are those for training, with this
    view.
    """
    return {"mlflow.experimentKind": "custom_model_development", TAG: trials_view(searched)}


def trials_view(searched: Iterable[str]) -> str:
    """Returns the tag's value: trials only, their score first, then the hyper-parameters that were searched."""
    columns = [
        *(f"metrics.`{name}`" for name in METRICS),
        *(f"params.`{name}`" for name in in_order(searched)),
        *(f"tags.`{name}`" for name in TAGS),
        "attributes.`Duration`",
    ]
    state = {
        "searchFilter": "tags.`fpt.kind` = 'trial'",
        "orderByKey": "metrics.`score`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": columns,
        "runsHiddenMode": "SHOWALL",
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return json.dumps({"name": "trials, best first", "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"})
