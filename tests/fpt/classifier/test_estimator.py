"""The classifier as scikit-learn takes it, and as a sweep's solver has it."""

import io
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

import fpt
from fpt.backbones.backbone import Backbone
from fpt.classifier.calibration import as_described
from fpt.classifier.estimator import FewShotClassifier
from fpt.glyphs.scenes import scene
from fpt.problems.problem import Setting
from fpt.problems.solving import solve
from fpt.solvers import Training
from tests.fpt.classifier import checks
from tests.fpt.classifier.checks import CALIBRATION

STEER = {"alpha": 0.1, "lam": 0.3, "patches": 3, "lr": 1e-3, "epochs": 2, "blocks": 1, "precision": "float32"}


def pictures(counts, first=0):
    """So many scenes of each class, and their classes."""
    shown = [scene("novel", way, first + i).image for way, count in enumerate(counts) for i in range(count)]
    return shown, np.repeat(list("dbca")[: len(counts)], counts)


SUPPORT, LABELS = pictures((1, 3, 2))
ASKED, TRUE = pictures((4, 4, 4), first=10)


@pytest.fixture(scope="module")
def fitted():
    return FewShotClassifier(solver="lora", **STEER).fit(SUPPORT, LABELS)


def test_scikit_learns_checks():
    """In a process where types are not checked: scikit-learn tries parameters of any type."""
    command = [sys.executable, "-m", "tests.fpt.classifier.checks"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(done.stdout.splitlines()) == {*checks.AS_IT_IS, *checks.AS_PICTURES}


def test_it_is_a_classifier_of_three_dimensions():
    assert is_classifier(FewShotClassifier())
    tags = FewShotClassifier().__sklearn_tags__()
    assert (tags.input_tags.two_d_array, tags.input_tags.three_d_array) == (False, True)


def test_probabilities_sum_to_one_and_the_largest_is_predicted(fitted):
    found = fitted.predict_proba(ASKED)
    assert fitted.classes_.tolist() == ["b", "c", "d"]
    assert found.shape == (12, 3)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)
    predicted = fitted.predict(ASKED)
    assert predicted.tolist() == [fitted.classes_[row.argmax()] for row in found]
    assert fitted.score(ASKED, TRUE) == accuracy_score(TRUE, predicted)
    assert fitted.predict_proba([]).shape == (0, 3)


def test_paths_bytes_pictures_and_arrays_are_the_same(fitted, tmp_path):
    expected = fitted.predict_proba(ASKED)
    images = [Image.fromarray(pixels) for pixels in ASKED]
    paths, contents = [], []
    for i, image in enumerate(images):
        image.save(tmp_path / f"{i}.png")
        paths.append(tmp_path / f"{i}.png")
        contents.append(paths[-1].read_bytes())
    kinds = [np.stack(ASKED), images, paths, [str(path) for path in paths], contents, np.array(paths, dtype=object)]
    for kind in (*kinds, np.array([str(path) for path in paths])):
        np.testing.assert_array_equal(fitted.predict_proba(kind), expected)


def test_pictures_of_other_sizes_go_through_the_transform_of_a_sweep(fitted, tmp_path):
    from pipeline.data.packing.decoding import decode
    from pipeline.data.sources.listing import Listed

    large = Image.fromarray(ASKED[0]).resize((150, 100))
    large.save(tmp_path / "large.png")
    packed = decode(Listed(tmp_path / "large.png", "d"), 64, fitted.fitted_.transform.how).image
    np.testing.assert_array_equal(fitted.predict_proba([tmp_path / "large.png"]), fitted.predict_proba([packed]))
    np.testing.assert_array_equal(fitted.predict_proba([large]), fitted.predict_proba([np.asarray(large)]))


def test_clone_grid_search_and_cross_validation_work():
    X, y = pictures((4, 4, 4))
    kept = FewShotClassifier(solver="protonet", precision="float32")
    folds = StratifiedKFold(2)
    scored = cross_val_score(kept, X, y, cv=folds)
    by_hand = [
        clone(kept).fit([X[i] for i in here], y[here]).score([X[i] for i in there], y[there])
        for here, there in folds.split(np.zeros(12), y)
    ]
    np.testing.assert_array_equal(scored, by_hand)
    assert not hasattr(kept, "classes_")
    searched = GridSearchCV(kept, {"solver": ["knn", "r2d2"]}, cv=folds).fit(X, y)
    assert searched.best_params_["solver"] in ("knn", "r2d2")


def test_a_loaded_backbone_is_taken_and_shared():
    held = fpt.load_backbone("vit_micro_glyphs", weights=True)
    with_name = FewShotClassifier(solver="r2d2", precision="float32", device="cpu").fit(SUPPORT, LABELS)
    with_backbone = FewShotClassifier(held, solver="r2d2").fit(SUPPORT, LABELS)
    assert with_backbone.fitted_.backbone is held
    np.testing.assert_array_equal(with_backbone.predict_proba(ASKED), with_name.predict_proba(ASKED))
    assert isinstance(clone(with_backbone).backbone, Backbone)


def test_labels_may_be_numbers():
    numbers = np.repeat([7, -1, 3], [1, 3, 2])
    found = FewShotClassifier(solver="protonet").fit(np.stack(SUPPORT), numbers)
    assert found.classes_.tolist() == [-1, 3, 7]
    assert set(found.predict(ASKED)) <= {-1, 3, 7}


@pytest.mark.parametrize("solver", fpt.SOLVERS)
def test_unequal_shots_are_solved_as_an_episode_is(solver):
    """`fpt.solve`, which sees support and queries at once, has the same scores."""
    held = fpt.load_backbone("vit_micro_glyphs", weights=True)
    options = {name: value for name, value in STEER.items() if name != "precision"}
    classes, numbers = np.unique(LABELS, return_inverse=True)
    episode = fpt.Episode(
        torch.from_numpy(np.stack(SUPPORT)),
        torch.from_numpy(numbers),
        torch.from_numpy(np.stack(ASKED)),
        torch.from_numpy(np.searchsorted(classes, TRUE)),
        5,
    )
    (record,) = fpt.solve(held, [episode], solver=solver, seed=3, **options)
    found = FewShotClassifier(held, solver, seed=3, index=5, **STEER).fit(SUPPORT, LABELS)
    expected = record.logits.double().softmax(-1).numpy()
    np.testing.assert_allclose(found.predict_proba(ASKED), expected, atol=2e-5)
    assert found.predict(ASKED).tolist() == classes[record.predictions.numpy()].tolist()


def test_an_ensemble_has_the_mean_of_its_members_probabilities():
    members = [{"lr": 1e-4}, {"alpha": 0.0, "rank": 2}]
    alone = [FewShotClassifier(solver="lora", **{**STEER, **own}).fit(SUPPORT, LABELS) for own in members]
    both = FewShotClassifier(solver="lora", ensemble=members, **STEER).fit(SUPPORT, LABELS)
    mean = np.mean([one.predict_proba(ASKED) for one in alone], axis=0)
    np.testing.assert_allclose(both.predict_proba(ASKED), mean, rtol=1e-10)


def test_a_temperature_flattens_probabilities_and_moves_no_prediction(fitted):
    from copy import copy
    from dataclasses import replace

    warm = copy(fitted)
    warm.fitted_ = replace(fitted.fitted_, calibration=replace(CALIBRATION, temperature=3.0))
    logs = np.log(fitted.predict_proba(ASKED)) / 3
    expected = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
    np.testing.assert_allclose(warm.predict_proba(ASKED), expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("options", "X", "y", "message"),
    [
        ({}, SUPPORT, LABELS[:5], "y must have a label for each picture, 6, but has 5"),
        ({}, SUPPORT, ["a"] * 6, "y must name at least 2 classes but names 1 class"),
        ({}, SUPPORT, None, "requires y to be passed, but the target y is None"),
        ({}, "one.png", ["a"], "X must be a sequence of pictures but is a single str"),
        ({}, np.zeros((6, 64)), LABELS, r"X must be a sequence of paths.* but is an array of shape \(6, 64\)"),
        ({}, np.zeros((6, 64, 64, 3)), LABELS, "X must hold paths.* but holds an array of float64, 64 x 64 x 3"),
        ({}, [*SUPPORT[:5], None], LABELS, "X must hold paths.* but holds NoneType"),
        ({}, [*SUPPORT[:5], "none.png"], LABELS, r"X\[5\] \(none.png\) must be a picture that can be read but is not"),
        ({"solver": "magic"}, SUPPORT, LABELS, "solver must be one of knn, .* but got 'magic'"),
        ({"variant": "masks"}, SUPPORT, LABELS, "variant must be one of paper, scaled, .* but got 'masks'"),
        ({"blocks": 9}, SUPPORT, LABELS, "blocks must be from 1 to 6"),
        ({"resize": "fold"}, SUPPORT, LABELS, "resize must be one of crop, squash but got 'fold'"),
        ({"ensemble": [{"rang": 2}]}, SUPPORT, LABELS, "hyper-parameters must be among .* but got 'rang'"),
        ({"solver": "linear_probe", "lr": 1e38}, SUPPORT, LABELS, "lr must be small enough for training to converge"),
    ],
)
def test_a_mistake_is_said_in_one_sentence(options, X, y, message):
    with pytest.raises(ValueError, match=message) as caught:
        FewShotClassifier(**{"solver": "lora", "epochs": 2, **options}).fit(X, y)
    assert "\n" not in str(caught.value)


def test_every_hyper_parameter_is_a_parameter():
    known = {field.name for of in (Setting, Training) for field in fields(of)} - {"way", "training"}
    assert known <= FewShotClassifier().get_params().keys()


def test_an_unfitted_one_says_so():
    with pytest.raises(NotFittedError):
        FewShotClassifier().predict(ASKED)


def test_a_folder_of_many_pictures_is_read_some_at_a_time(fitted, monkeypatch):
    sizes = []
    inner = type(fitted.fitted_).probabilities

    def counted(self, images):
        sizes.append(len(images))
        return inner(self, images)

    monkeypatch.setattr(type(fitted.fitted_), "probabilities", counted)
    content = io.BytesIO()
    Image.fromarray(ASKED[0]).save(content, "PNG")
    assert fitted.predict_proba([content.getvalue()] * 70).shape == (70, 3)
    assert sizes == [32, 32, 6]


def test_the_module_is_reached_as_fpts_own():
    assert fpt.FewShotClassifier is FewShotClassifier
    assert Path(fpt.__file__).name == "__init__.py"
    assert solve is not fpt.solve


def test_a_calibration_comes_with_the_fit_and_gives_sets(tmp_path):
    plain = FewShotClassifier(solver="protonet")
    described = as_described(CALIBRATION, plain.get_params())
    calibrated = clone(plain.set_params(calibration=described)).fit(SUPPORT, LABELS)
    assert calibrated.fitted_.calibration == CALIBRATION
    kept = FewShotClassifier.load(calibrated.save(tmp_path / "a.fpt"))
    assert kept.fitted_.calibration == CALIBRATION
    np.testing.assert_array_equal(kept.predict_set(ASKED), calibrated.predict_proba(ASKED) >= 0.125)
    with pytest.raises(ValueError, match="calibration must be of these parameters but is of temperature"):
        clone(plain).set_params(temperature=0.5).fit(SUPPORT, LABELS)
    with pytest.raises(ValueError, match="calibration must be given to fit for sets of classes but is None"):
        clone(plain).set_params(calibration=None).fit(SUPPORT, LABELS).predict_set(ASKED)
