"""What no field may hold, whatever its kind."""

import pytest
from pydantic import ValidationError

from pipeline.config import Dataset, Run


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"episodes": {"seed": True}}, "seed must be a number but got true"),
        ({"prompts": {"alpha": False}}, "alpha must be a number but got false"),
        ({"compute": {"gpus_per_worker": True}}, "gpus_per_worker must be a number but got true"),
        ({"dataset": {"shares": {"novel": True}}}, "shares must be a number but got true"),
        ({"backbone": {"mean": [True, 0, 0], "std": [1, 1, 1]}}, "mean must be a number but got true"),
        ({"name": "a\udcff"}, r"name must be text in UTF-8 but got 'a\\udcff'"),
        ({"episodes": {"split": "\ud83e"}}, r"split must be text in UTF-8 but got '\\ud83e'"),
        ({"dataset": {"shares": {"\udcff": 1}}}, r"shares must be text in UTF-8 but got '\\udcff'"),
    ],
)
def test_truths_for_numbers_and_halves_of_characters_are_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        Run.model_validate(values)


def test_what_may_be_true_and_paths_of_any_bytes_are_taken():
    run = Run.model_validate({"solver": {"deep": True}, "backbone": {"weights": False}, "ensemble": [{"deep": True}]})
    assert (run.solver.deep, run.backbone.weights, run.ensemble) == (True, False, ({"deep": True},))
    assert Dataset(source="folder", path="/photos\udcff").path == "/photos\udcff"
    assert Run.model_validate({"backbone": {"weights": "/w\udcff"}}).backbone.weights == "/w\udcff"
