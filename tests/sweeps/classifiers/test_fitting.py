import pytest

from fpt.classifier.estimator import FewShotClassifier
from pipeline.config import Run
from sweeps.classifiers.fitting import fitted_to
from tests.sweeps.classifiers.photos import folder_of


def run_of(root, **solver):
    dataset = {"source": "folder", "path": str(root), "all_novel": True}
    return Run.model_validate({"dataset": dataset, "solver": {"name": "protonet", **solver}})


def test_a_folder_is_fitted_and_kept(tmp_path):
    root = folder_of(tmp_path / "photos", (3, 2, 1))
    found = fitted_to(run_of(root), tmp_path / "a.fpt", lambda *_: None)
    kept = FewShotClassifier.load(tmp_path / "a.fpt")
    assert kept.classes_.tolist() == ["crane", "heron", "stork"]
    assert list(kept.fitted_.images) == [1, 2, 3]
    assert found.accuracy == kept.score(found.support.images, list(found.support.classes))
    assert found.told == "protonet on vit_micro_glyphs"


def test_nothing_is_read_where_nothing_can_be_written(tmp_path):
    (tmp_path / "a.fpt").touch()
    with pytest.raises(ValueError, match="--out: path must be a folder, or not there yet"):
        fitted_to(run_of(tmp_path / "nowhere"), tmp_path / "a.fpt", lambda *_: None)
