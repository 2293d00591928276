import gc
import json
import weakref
from contextlib import contextmanager

import pytest

from fpt.classifier.estimator import FewShotClassifier
from sweeps.classifiers import predicting
from sweeps.classifiers.predicting import predict
from sweeps.classifiers.reading import read_some
from sweeps.classifiers.support import Support
from sweeps.classifiers.tables import predictions_into
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


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_of_all_pictures_a_batch_or_two_are_in_memory(classifier, tmp_path, monkeypatch, suffix):
    """Each is named and written before the next is read, and let go then."""
    paths = sorted(folder_of(tmp_path / "new", (6, 6, 6), first=10).rglob("*.png"))
    read, written, held = list[weakref.ref](), list[int](), list[int]()

    def by_twos(paths, transform, processes):
        for first in range(0, len(paths), 2):
            gc.collect()
            assert written == [2] * len(read)
            held.append(sum(one() is not None for one in read))
            batch = read_some(paths[first : first + 2], transform)
            read.append(weakref.ref(batch.pixels))
            yield batch
            del batch

    @contextmanager
    def noted(*arguments):
        with predictions_into(*arguments) as write:
            yield lambda rows: (write(rows), written.append(len(rows)))

    monkeypatch.setattr(predicting, "read_pictures", by_twos)
    monkeypatch.setattr(predicting, "predictions_into", noted)
    found = predict(classifier, paths, tmp_path / f"p.{suffix}", lambda *_: None)
    assert (found.pictures, written) == (18, [2] * 9)
    assert max(held) <= 1


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
