"""A finding's winner as a model: a recipe, or a classifier that is fitted to the pictures that are named."""

import sys
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest

from fpt.classifier.estimator import FewShotClassifier
from fpt.glyphs.scenes import scene
from pipeline.config import plain_run, with_hyper_parameters
from pipeline.data.store import Sample, pack
from sweeps.classifiers.winner import check_support, keep_winner, recipe_example, tell_of_winner, winner_model
from sweeps.lookup.winner import parameters_of
from sweeps.schema.loading import load
from tests.sweeps.classifiers.photos import folder_of
from tests.sweeps.tiny import CONFIG, TINY

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(autouse=True)
def _own_path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))  # MLflow puts the code of what it loads before all else


@pytest.fixture
def store(tmp_path):
    images = [
        Sample("novel", f"class {way}", one.image, one.mask)
        for way in range(4)
        for one in (scene("novel", way, i) for i in range(6))
    ]
    return pack(iter(images), tmp_path / "scenes.arrow")


@pytest.fixture
def photos(tmp_path):
    return folder_of(tmp_path / "photos", (2, 1, 2))


def sweep_of(*overrides):
    return load(CONFIG, [*TINY, *overrides])


def run_of(sweep=None):
    return with_hyper_parameters(plain_run(sweep or sweep_of()), {"name": "r2d2"})


def test_without_a_support_set_the_model_is_the_recipe(store, tmp_path):
    run = run_of()
    kept = winner_model(run, None, store, "abc", tmp_path / "model")
    assert (kept.name, kept.tags["fpt.kind"], kept.tags["solver"]) == ("tiny recipe", "recipe", "r2d2")
    model = mlflow.pyfunc.load_model(str(kept.folder))
    assert model.model_config["solver"] == "r2d2"
    assert len(model.predict(model.input_example)) == 1
    same = winner_model(run, None, store, "abc", tmp_path / "again")
    other = winner_model(with_hyper_parameters(run, {"temperature": 2}), None, store, "abc", tmp_path / "other")
    assert same.identity == kept.identity != other.identity
    assert kept.identity.startswith("abc/")


def test_with_a_support_set_the_model_is_fitted_to_it_as_fpt_fit_does(store, photos, tmp_path):
    run = run_of()
    kept = winner_model(run, str(photos), store, "abc", tmp_path / "model")
    assert (kept.name, kept.tags["fpt.kind"]) == ("tiny fitted", "fitted classifier")
    paths = sorted(map(str, photos.rglob("*.png")))
    found = mlflow.pyfunc.load_model(str(kept.folder)).predict(pd.DataFrame({"image": paths}))
    expected = FewShotClassifier(**parameters_of(run)).fit(paths, [path.split("/")[-2] for path in paths])
    assert found["probability"].tolist() == pytest.approx(expected.predict_proba(paths).max(1).tolist(), abs=1e-6)
    more = folder_of(tmp_path / "more photos", (3, 1, 2))
    assert winner_model(run, str(more), store, "abc", tmp_path / "more").identity != kept.identity


def test_a_support_set_that_is_gone_leaves_the_recipe_and_is_said(store, tmp_path, capfd):
    kept = winner_model(run_of(), str(tmp_path / "gone"), store, "abc", tmp_path / "model")
    assert kept.tags["fpt.kind"] == "recipe"
    said = capfd.readouterr().err
    assert "fpt: the winner is kept as a recipe, as it could not be fitted to fit.support: fit.support must be" in said


def test_a_recipes_example_has_two_classes_and_one_to_be_named(store):
    assert [one.label for one in recipe_example(run_of(), store)] == ["class 0", "class 1", None]


def test_a_support_set_is_looked_at_before_anything_starts(photos, tmp_path):
    check_support(sweep_of())
    check_support(sweep_of(f"fit.support={photos}"))
    with pytest.raises(ValueError, match=r"fit.support must be a folder or a table that is there but .*nowhere"):
        check_support(sweep_of(f"fit.support={tmp_path}/nowhere"))
    with pytest.raises(ValueError, match=r"^fit.support must be a file that fpt data pack has written but .* is none$"):
        check_support(sweep_of(f"fit.support={tmp_path}/nowhere.arrow"))
    alone = folder_of(tmp_path / "alone", (2, 0, 0))
    for empty in ("heron", "crane"):
        (alone / empty).rmdir()
    with pytest.raises(ValueError, match=r"fit.support must hold pictures of at least 2 classes but holds 1"):
        check_support(sweep_of(f"fit.support={alone}"))


def test_a_model_that_cannot_be_written_is_said_and_ends_nothing(store, tmp_path, monkeypatch, capfd):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sweeps.classifiers.winner.write_model", full)
    found = SimpleNamespace(best=SimpleNamespace(run=run_of()))
    assert keep_winner(None, found, sweep_of(), store, tmp_path / "abc", tmp_path) is None
    tell_of_winner(None, None, found, sweep_of("tracking.register=true"), [], [])
    assert "fpt: the winner is not kept as a model: [Errno 28] No space left on device" in capfd.readouterr().err
