"""The code that MLflow keeps with a model, asked as MLflow asks it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fpt.classifier.calibration import as_described
from fpt.classifier.estimator import FewShotClassifier
from fpt.glyphs.scenes import scene
from sweeps.tracking.served import Winner
from tests.fpt.classifier.checks import CALIBRATION
from tests.sweeps.classifiers.photos import folder_of

PARAMETERS = {"backbone": "vit_micro_glyphs", "solver": "protonet", "precision": "float32"}


def winner_of(parameters, **artifacts):
    winner = Winner()
    winner.load_context(SimpleNamespace(artifacts=artifacts, model_config=parameters))
    return winner


@pytest.fixture
def photos(tmp_path):
    """Paths of pictures of three birds, four of each."""
    return sorted(map(str, folder_of(tmp_path / "photos", (4, 4, 4)).rglob("*.png")))


def names(paths):
    return [path.split("/")[-2] for path in paths]


def test_a_fitted_classifier_answers_with_its_own_probabilities(photos, tmp_path):
    support, asked = photos[::4], [path for i, path in enumerate(photos) if i % 4]
    classifier = FewShotClassifier(**PARAMETERS).fit(support, names(support))
    winner = winner_of({}, classifier=str(classifier.save(tmp_path / "a.fpt")))
    frame = pd.DataFrame({"image": asked}, index=range(100, 100 + len(asked)))
    found, expected = winner.predict(None, frame), classifier.predict_proba(asked)
    assert found.index.tolist() == frame.index.tolist()
    np.testing.assert_allclose(found["probability"], expected.max(1), atol=1e-6)
    np.testing.assert_allclose(found["runner_up_probability"], np.sort(expected, 1)[:, -2], atol=1e-6)
    assert found["class"].tolist() == classifier.predict(asked).tolist()
    assert (found["runner_up"] != found["class"]).all()


def test_a_recipe_learns_of_the_rows_with_a_class_and_names_the_others(photos):
    labels = [name if i % 4 == 0 else None for i, name in enumerate(names(photos))]
    found = winner_of(PARAMETERS).predict(None, pd.DataFrame({"image": photos, "class": labels}))
    asked = [i for i, label in enumerate(labels) if label is None]
    assert found.index.tolist() == asked
    support = photos[::4]
    classifier = FewShotClassifier(**PARAMETERS).fit(support, names(support))
    expected = classifier.predict_proba([photos[i] for i in asked])
    np.testing.assert_allclose(found["probability"], expected.max(1), atol=1e-6)


def calibrated():
    """Parameters with a calibration of three classes, of each of which two pictures are known."""
    plain = FewShotClassifier(**PARAMETERS).get_params(deep=False)
    return {**PARAMETERS, "calibration": as_described(replace(CALIBRATION, temperature=200.0, known=0.6), plain)}


@pytest.mark.parametrize("fitted", [True, False])
def test_at_a_risk_it_is_said_which_predictions_are_answers(photos, tmp_path, fitted):
    support = [path for i, path in enumerate(photos) if i % 4 < 2]
    asked = [path for path in photos if path not in support]
    parameters = calibrated()
    classifier = FewShotClassifier(**parameters).fit(support, names(support))
    highest = classifier.predict_proba(asked).max(1)
    # At a risk of 5 % from 0.75 on, and below 0.6 it is none of these, by the calibration.
    expected = np.where(highest < 0.6, "none of these", np.where(highest >= 0.75, "yes", "unsure"))
    assert set(expected) == {"yes", "unsure", "none of these"}
    if fitted:
        winner = winner_of({}, classifier=str(classifier.save(tmp_path / "a.fpt")))
        frame = pd.DataFrame({"image": asked})
    else:
        winner = winner_of(parameters)
        frame = pd.DataFrame({"image": support + asked, "class": names(support) + [None] * len(asked)})
    found = winner.predict(None, frame, {"risk": 0.05})
    assert found["answered"].tolist() == expected.tolist()
    pd.testing.assert_frame_equal(winner.predict(None, frame, {"risk": None}), found.drop(columns="answered"))
    with pytest.raises(ValueError, match=r"^risk must be at least 0.05, the lowest that was shown to be kept in"):
        winner.predict(None, frame, {"risk": 0.01})


def test_a_promise_that_need_not_hold_is_warned_of(photos, tmp_path):
    classifier = FewShotClassifier(**calibrated()).fit(photos[::4], names(photos[::4]))
    winner = winner_of({}, classifier=str(classifier.save(tmp_path / "a.fpt")))
    with pytest.warns(
        UserWarning, match=r"^what risk promises was shown on .* need not hold here: 3 classes, 1 pictur"
    ):
        winner.predict(None, pd.DataFrame({"image": photos[1:3]}), {"risk": 0.05})


def test_a_risk_without_a_calibration_is_refused(photos):
    frame = pd.DataFrame({"image": photos, "class": [*names(photos)[:-1], None]})
    with pytest.raises(ValueError, match=r"^risk must be left out for a classifier without a calibration but got 0.05"):
        winner_of(PARAMETERS).predict(None, frame, {"risk": 0.05})


def test_a_recipe_without_classes_says_what_it_needs(photos):
    frame = pd.DataFrame({"image": photos[:2], "class": ["stork", ""]})
    with pytest.raises(ValueError, match=r"class must name at least 2 classes, .* but names 1; rows without a class"):
        winner_of(PARAMETERS).predict(None, frame)


def test_a_picture_that_cannot_be_read_is_named(tmp_path, photos):
    (tmp_path / "broken.png").write_bytes(b"x")
    Image.fromarray(scene("novel", 0, 0).image).save(tmp_path / "whole.png")
    frame = pd.DataFrame({"image": [*photos, str(tmp_path / "broken.png")], "class": [*names(photos), None]})
    with pytest.raises(ValueError, match=r"X\[0\] \(.*broken.png\) must be a picture that can be read"):
        winner_of(PARAMETERS).predict(None, frame)
