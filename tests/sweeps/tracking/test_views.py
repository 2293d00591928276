import base64
import json
import os
import subprocess
import sys
import zlib

from sweeps.tracking.views import TAG, arrangement


def test_a_view_shows_trials_by_their_scores_and_what_was_searched():
    told = json.loads(arrangement(["alpha", "rank"])[TAG])
    state = json.loads(zlib.decompress(base64.b64decode(told["state"].removeprefix("deflate;"))))
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`score`", False)
    assert state["searchFilter"] == "tags.`fpt.kind` = 'trial'"
    assert {"metrics.`score`", "params.`alpha`", "params.`rank`", "tags.`stopped_by`"} <= set(state["selectedColumns"])


def test_the_same_sweep_saves_the_same_view_in_every_process():
    """Sets and their hashes differ from process to process; what MLflow keeps must not."""
    code = "from sweeps.tracking.views import TAG, arrangement; print(arrangement(['alpha', 'lr'])[TAG])"
    told = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1] != ""
    assert told[0].strip() == arrangement(["alpha", "lr"])[TAG]
    assert arrangement(["alpha"])[TAG] != arrangement(["alpha", "lr"])[TAG]
