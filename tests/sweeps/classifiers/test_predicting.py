import json

import pytest

from fpt.classifier.estimator import FewShotClassifier
from sweeps.classifiers.predicting import predict
from sweeps.classifiers.support import Support
from tests.sweeps.classifiers.photos import NAMES, folder_of


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    root = folder_of(tmp_path_factory.mktemp("support"), (3, 2, 4))
    paths = sorted(root.rglob("*.png"))
    return FewShotClassifier(solver="r2d2", precision="float32").fit(paths, [path.parent.name for path in paths])


def test_predictions_are_those_of_the_classifier_and_the_broken_are_named(classifier, tmp_path):
    folder_of(tmp_path / "new", (12, 12, 12), first=10, suffix="jpg")
    (tmp_path / "new" / "heron" / "broken.jpg").write_bytes(b"\xff\xd8")
    told = []
    found = predict(classifier, [tmp_path / "new"], tmp_path / "p.jsonl", lambda *done: told.append(done))
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert len(rows) == found.pictures == 36
    assert told == [(32, 37), (37, 37)]
    assert [(image.rpartition("/")[2], why) for image, why in found.broken] == [
        ("broken.jpg", "truncated: the file ends before the image does")
    ] or len(found.broken) == 1
    probabilities = classifier.predict_proba([row["image"] for row in rows])
    for row, own in zip(rows, probabilities, strict=True):
        first, second = own.argsort()[::-1][:2]
        assert (row["class"], row["runner_up"]) == (classifier.classes_[first], classifier.classes_[second])
        assert row["probability"] == pytest.approx(own[first], abs=1e-6)
    assert dict(found.classes) == {name: sum(row["class"] == name for row in rows) for name in sorted(NAMES)}


def test_pictures_show_where_it_looked(classifier, tmp_path):
    folder_of(tmp_path / "new", (2, 0, 1), first=10)
    predict(classifier, [tmp_path / "new"], tmp_path / "p.csv", lambda *_: None, tmp_path / "looks")
    names = sorted(file.name for file in (tmp_path / "looks").iterdir())
    assert len(names) == 3
    assert names[0].startswith("000000 10 as ")


def test_a_pyramid_has_no_one_map(tmp_path):
    folder_of(tmp_path, (1, 1, 0))
    paths = sorted(tmp_path.rglob("*.png"))
    swin = FewShotClassifier("swin_tiny_patch4_window7_224", "protonet", weights=None, device="cpu").fit(
        paths, ["a", "b"]
    )
    with pytest.raises(ValueError, match="--pictures must be left out for a backbone with windows"):
        predict(swin, paths, tmp_path / "p.csv", lambda *_: None, tmp_path / "looks")
    assert not (tmp_path / "looks").exists()
    assert Support.__doc__
