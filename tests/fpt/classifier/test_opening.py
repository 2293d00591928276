"""What a stranger may have put into a folder is refused in a sentence, and runs nothing."""

import json
import os
import pickle
import shutil
import struct
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fpt.classifier.estimator import FewShotClassifier
from fpt.classifier.saving import digest_of_file
from tests.fpt.classifier.checks import CALIBRATION
from tests.fpt.classifier.test_estimator import ASKED, LABELS, STEER, SUPPORT


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two classifiers: one of the embedded backbone, one whose backbone lies in the folder too."""
    folder = tmp_path_factory.mktemp("saved")
    other = {"weights": None, "image_size": 32, "device": "cpu"}
    FewShotClassifier(solver="lora", **STEER).fit(SUPPORT, LABELS).save(folder / "glyphs.fpt")
    FewShotClassifier(solver="svm", precision="float32").fit(SUPPORT, LABELS).save(folder / "svm.fpt")
    FewShotClassifier("test_vit", "full", **{**STEER, "epochs": 1}, **other).fit(SUPPORT, LABELS).save(
        folder / "vit.fpt"
    )
    return folder


def opened(saved, tmp_path, name, change):
    """Opens a copy that was changed. Its fingerprint is made right, as whoever changes it can do."""
    folder = tmp_path / name
    shutil.copytree(saved / name, folder)
    change(folder)
    told = folder / "classifier.json"
    if told.is_file() and not told.is_symlink() and told.stat().st_size < 2**20:
        try:
            values = json.loads(told.read_text())
            values["fingerprints"]["learnt"] = digest_of_file(folder / "learnt.safetensors")
            told.write_text(json.dumps(values))
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            pass
    return FewShotClassifier.load(folder)


def telling(*path, value):
    """Changes an entry of the JSON."""

    def change(folder):
        file = folder / "classifier.json"
        told = json.loads(file.read_text())
        inner = told
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        file.write_text(json.dumps(told))

    return change


def tensors(**changed):
    """Exchanges tensors of what was learnt, or drops those that are None."""

    def change(folder):
        file = folder / "learnt.safetensors"
        held = load_file(file)
        for name, value in changed.items():
            held.pop(name) if value is None else held.update({name: value})
        save_file(held, file)

    return change


def header(told, rest=b""):
    """A file of safetensors with any header."""
    text = json.dumps(told).encode()
    return struct.pack("<Q", len(text)) + text + rest


def written(name, content):
    def change(folder):
        (folder / name).unlink()
        (folder / name).write_bytes(content)

    return change


def linked(name):
    def change(folder):
        (folder / name).unlink()
        (folder / name).symlink_to("../../../../etc/passwd")

    return change


class Runs:
    """Writes a file where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("/tmp/fpt-was-run",)


ABSURD = {"0.head.weight": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 2**64 - 1]}}
HUGE = {"0.head.weight": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}

HOSTILE = {
    "absurd shape": (
        "glyphs.fpt",
        written("learnt.safetensors", header(ABSURD)),
        "must be a whole file of safetensors",
    ),
    "more than the file": ("glyphs.fpt", written("learnt.safetensors", header(HUGE)), "whole file of safetensors"),
    "endless header": (
        "glyphs.fpt",
        written("learnt.safetensors", struct.pack("<Q", 2**60)),
        "whole file of safetensors",
    ),
    "empty": ("glyphs.fpt", written("learnt.safetensors", b""), "whole file of safetensors"),
    "a pickle": ("glyphs.fpt", written("learnt.safetensors", pickle.dumps(Runs())), "whole file of safetensors"),
    "a pickled backbone": (
        "vit.fpt",
        written("backbone.safetensors", pickle.dumps(Runs())),
        "whole file of safetensors",
    ),
    "another shape": ("glyphs.fpt", tensors(**{"0.head.weight": torch.zeros(1, 3, 9)}), r"shape \(1, 3, 128\) but has"),
    "another type": ("glyphs.fpt", tensors(**{"0.head.bias": torch.zeros(1, 3).long()}), "must not be of type I64"),
    "none": (
        "glyphs.fpt",
        tensors(**{"0.head.bias": None}),
        "must hold what its solver learns but differs in 0.head.b",
    ),
    "one more": (
        "glyphs.fpt",
        tensors(**{"0.more": torch.zeros(1)}),
        "must hold what its solver learns but differs in",
    ),
    "not finite": (
        "glyphs.fpt",
        tensors(**{"0.head.bias": torch.full((1, 3), torch.nan)}),
        "0.head.bias must be finite",
    ),
    "labels beyond": ("svm.fpt", tensors(**{"0.labels": torch.full((1, 6), 7)}), "0.labels must be from 0 to 2"),
    "a link": ("glyphs.fpt", linked("learnt.safetensors"), "learnt.safetensors must be a file in it and no link"),
    "linked JSON": ("glyphs.fpt", linked("classifier.json"), "classifier.json must be a file in it and no link"),
    "path upwards": (
        "vit.fpt",
        telling("parameters", "weights", value="../../../etc/passwd"),
        "weights true or backbone.safetensors, which lies in the folder",
    ),
    "absolute path": ("vit.fpt", telling("parameters", "weights", value="/etc/passwd"), "weights true or backbone"),
    "backbone of the Hub": (
        "vit.fpt",
        telling("parameters", "backbone", value="hf-hub:evil/model"),
        "name of a timm model",
    ),
    "backbone by path": (
        "vit.fpt",
        telling("parameters", "backbone", value="local-dir:../../x"),
        "name of a timm model",
    ),
    "downloads": ("vit.fpt", telling("parameters", "weights", value=True), "weights must be backbone.safetensors"),
    "unknown solver": ("glyphs.fpt", telling("parameters", "solver", value="os:system"), "solver must be one of knn"),
    "unknown head": ("glyphs.fpt", telling("parameters", "head", value="os:system"), "head must be one of"),
    "absurd rank": ("glyphs.fpt", telling("parameters", "rank", value=10**9), "rank must not be '1000000000'"),
    "some rank": ("glyphs.fpt", telling("parameters", "rank", value=99_999), r"shape \(1, 99999, 128\) but has"),
    "absurd side": ("vit.fpt", telling("parameters", "image_size", value=10**6), "image_size must not be"),
    "absurd blocks": ("glyphs.fpt", telling("parameters", "blocks", value=999), "blocks must be from 1 to 6"),
    "a number for text": ("glyphs.fpt", telling("parameters", "solver", value=3), "solver must not be '3'"),
    "a further parameter": ("glyphs.fpt", telling("parameters", "exec", value="x"), "parameters must be those of"),
    "no images": (
        "glyphs.fpt",
        telling("images", value=[]),
        "images must be a whole number, 1 at least, for each class",
    ),
    "absurd images": (
        "svm.fpt",
        telling("images", value=[10**9] * 3),
        r"shape \(1, 2, 3000000000\) but has|must have the",
    ),
    "one class": ("glyphs.fpt", telling("classes", "names", value=["a"]), "classes must be 2 to"),
    "a class twice": ("glyphs.fpt", telling("classes", "names", value=["a", "a", "b"]), "classes must differ"),
    "classes of kinds": (
        "glyphs.fpt",
        telling("classes", "names", value=["a", 3, None]),
        "classes must all be of the kind",
    ),
    "temperature": (
        "glyphs.fpt",
        telling("calibration", "temperature", value=0),
        "calibration must hold coverage, .* and nothing else, but differs in",
    ),
    "calibration": (
        "glyphs.fpt",
        telling("calibration", value={**asdict(CALIBRATION), "known": 7}),
        "calibration must tell known as a number from 0 to 1",
    ),
    "geometry": ("glyphs.fpt", telling("transform", "geometry", value="eval"), "transform must be one of"),
    "crop": ("glyphs.fpt", telling("transform", "crop_pct", value=1e-12), "transform must not enlarge"),
    "further argument": ("glyphs.fpt", telling("transform", "code", value="x"), "transform .*unexpected keyword"),
    "depth": ("glyphs.fpt", telling("transform", "depth", value=-1), "depth must be from 8 to 16"),
    "size": ("glyphs.fpt", telling("transform", "size", value=10**7), "of the backbone's size 64"),
    "pixels": ("vit.fpt", telling("pixels", value=[[1, 2], 3]), "pixels must be null, or"),
    "other weights": (
        "vit.fpt",
        telling("fingerprints", "backbone", value="0" * 16),
        "backbone must have the fingerprint",
    ),
    "format": ("glyphs.fpt", telling("format", value=2), "format must be 1, which this fpt reads, but is 2"),
    "kind": ("glyphs.fpt", telling("kind", value="pickle"), "must say that it is of an fpt.FewShotClassifier"),
    "a further entry": ("glyphs.fpt", telling("run", value="rm"), "and nothing else, but differs in"),
    "no JSON": ("glyphs.fpt", written("classifier.json", b"\x80\x04"), "classifier.json cannot be read"),
    "deep JSON": ("glyphs.fpt", written("classifier.json", b"[" * 100_000), "classifier.json cannot be read"),
    "not a number": ("glyphs.fpt", written("classifier.json", b'{"a": NaN}'), "NaN is no number of JSON"),
    "a list": ("glyphs.fpt", written("classifier.json", b"[]"), "must say that it is of an fpt.FewShotClassifier"),
    "endless JSON": ("glyphs.fpt", written("classifier.json", b" " * (2**26 + 1)), "must have at most 67108864 bytes"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_strangers_folder_is_refused_in_a_sentence(case, saved, tmp_path):
    name, change, message = HOSTILE[case]
    with pytest.raises(ValueError, match=message) as caught:
        opened(saved, tmp_path, name, change)
    assert "\n" not in str(caught.value)
    assert not os.path.exists("/tmp/fpt-was-run")


def test_what_was_learnt_and_then_changed_is_told(saved, tmp_path):
    shutil.copytree(saved / "glyphs.fpt", tmp_path / "a.fpt")
    tensors(**{"0.head.bias": torch.zeros(1, 3)})(tmp_path / "a.fpt")
    with pytest.raises(ValueError, match=r"learnt.safetensors must have the fingerprint"):
        FewShotClassifier.load(tmp_path / "a.fpt")


@pytest.mark.parametrize("where", ["none.fpt", "file.fpt"])
def test_what_is_no_folder_is_told(where, tmp_path):
    (tmp_path / "file.fpt").touch()
    with pytest.raises(ValueError, match=r"path must be the folder of a saved classifier but .* is (not there|a file)"):
        FewShotClassifier.load(tmp_path / where)


def test_an_unchanged_copy_is_opened(saved, tmp_path):
    for name in ("glyphs.fpt", "svm.fpt", "vit.fpt"):
        found = opened(saved, tmp_path, name, lambda folder: None)
        assert np.isfinite(found.predict_proba(ASKED[:2])).all()


def test_no_device_that_is_not_here(saved):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match="device must be one that is here but got 'cuda'"):
        FewShotClassifier.load(saved / "glyphs.fpt", device="cuda")
