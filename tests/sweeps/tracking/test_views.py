import base64
import json
import zlib

from sweeps.tracking.views import TAG, arrangement


def test_a_view_shows_trials_by_their_scores_and_what_was_searched():
    told = json.loads(arrangement(["alpha", "rank"])[TAG])
    state = json.loads(zlib.decompress(base64.b64decode(told["state"].removeprefix("deflate;"))))
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`score`", False)
    assert state["searchFilter"] == "tags.`fpt.kind` = 'trial'"
    assert {"metrics.`score`", "params.`alpha`", "params.`rank`", "tags.`stopped_by`"} <= set(state["selectedColumns"])


def test_the_same_sweep_saves_the_same_view():
    assert arrangement(["alpha"]) == arrangement(["alpha"])
