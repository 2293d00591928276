"""A winner as MLflow loads it, and serves it over HTTP."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fpt.classifier.calibration import as_described
from fpt.classifier.estimator import FewShotClassifier
from sweeps import cli
from sweeps.tracking.model_folder import Labelled, write_model
from tests.fpt.classifier.checks import CALIBRATION
from tests.sweeps.classifiers.photos import folder_of

PARAMETERS = {"backbone": "vit_micro_glyphs", "solver": "protonet", "precision": "float32", "mean": None}
NAMES = ("stork", "heron", "crane")

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(autouse=True)
def _own_path(monkeypatch):
    """MLflow puts the code of what it loads before all else."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def photos(tmp_path):
    """Paths of pictures of three birds, three of each; the first of each is its support."""
    return {name: sorted((folder_of(tmp_path / "photos", (3, 3, 3)) / name).iterdir()) for name in NAMES}


def fitted(photos, folder):
    support = [photos[name][0] for name in NAMES]
    return FewShotClassifier(**PARAMETERS).fit(support, list(NAMES)).save(folder / "heron.fpt")


def test_a_fitted_classifier_is_loaded_and_names_paths_and_bytes(photos, tmp_path):
    classifier = fitted(photos, tmp_path)
    folder = write_model(tmp_path / "model", PARAMETERS, [Labelled(photos["heron"][0].read_bytes())], classifier)
    model = mlflow.pyfunc.load_model(str(folder))
    asked = [path for name in NAMES for path in photos[name][1:]]
    paths = model.predict(pd.DataFrame({"image": list(map(str, asked))}))
    read = model.predict(pd.DataFrame({"image": [path.read_bytes() for path in asked]}))
    expected = FewShotClassifier.load(classifier).predict_proba(asked)
    for found in (paths, read):
        np.testing.assert_allclose(found["probability"], expected.max(1), atol=1e-6)
    assert paths["class"].tolist() == read["class"].tolist()
    assert [column.name for column in model.metadata.signature.inputs] == ["image"]
    example = model.input_example
    assert isinstance(example["image"][0], bytes)
    assert len(model.predict(example)) == 1
    assert not list(folder.rglob("*.pkl"))  # nothing is pickled
    assert (folder / "code" / "fpt" / "classifier" / "estimator.py").is_file()


def test_a_loaded_model_answers_at_a_risk_as_fpt_predict_does(photos, tmp_path, here):
    plain = FewShotClassifier(**PARAMETERS).get_params(deep=False)
    calibration = as_described(replace(CALIBRATION, temperature=200.0, known=0.6), plain)
    support = [path for name in NAMES for path in photos[name][:2]]
    classifier = FewShotClassifier(**PARAMETERS, calibration=calibration).fit(
        support, [one.parent.name for one in support]
    )
    saved = classifier.save(tmp_path / "heron.fpt")
    typed = ["predict", str(saved), str(tmp_path / "photos"), "--out", str(here / "p.jsonl"), "--risk", "0.05"]
    assert CliRunner().invoke(cli.app, typed).exit_code == 0
    written = pd.read_json(here / "p.jsonl", lines=True)
    folder = write_model(tmp_path / "model", PARAMETERS, [Labelled(photos["heron"][0].read_bytes())], saved)
    model = mlflow.pyfunc.load_model(str(folder))
    found = model.predict(pd.DataFrame({"image": written["image"]}), params={"risk": 0.05})
    pd.testing.assert_frame_equal(found, written.drop(columns="image"), check_dtype=False, atol=1e-6)
    assert set(found["answered"]) == {"yes", "unsure", "none of these"}
    assert "answered" not in model.predict(pd.DataFrame({"image": written["image"]}))
    assert model.metadata.signature.params.to_dict() == [
        {"name": "risk", "type": "double", "default": None, "shape": None}
    ]


def test_a_recipe_is_loaded_and_fitted_where_it_is_asked(photos, tmp_path):
    rows = [Labelled(photos[name][0].read_bytes(), name) for name in NAMES]
    folder = write_model(tmp_path / "model", PARAMETERS, [*rows, Labelled(photos["crane"][1].read_bytes())])
    model = mlflow.pyfunc.load_model(str(folder))
    found = model.predict(model.input_example)
    assert found["class"].isin(NAMES).all()
    assert len(found) == 1
    assert model.metadata.signature.inputs.input_names() == ["image", "class"]
    assert model.model_config == PARAMETERS


def asked_over_http(port, records, **params):
    body = json.dumps({"dataframe_records": records, **({"params": params} if params else {})}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_serving_answers_over_http_what_fpt_predict_writes(photos, tmp_path, here):
    classifier = fitted(photos, tmp_path)
    folder = write_model(tmp_path / "model", PARAMETERS, [Labelled(photos["heron"][0].read_bytes())], classifier)
    typed = ["predict", str(classifier), str(tmp_path / "photos"), "--out", str(here / "p.jsonl")]
    assert CliRunner().invoke(cli.app, typed).exit_code == 0
    written = [json.loads(line) for line in (here / "p.jsonl").read_text().splitlines()]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        until = time.monotonic() + 300
        while time.monotonic() < until and server.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                break
            time.sleep(0.2)
        records = [{"image": base64.b64encode(Path(row["image"]).read_bytes()).decode()} for row in written]
        answers = asked_over_http(port, records)
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked_over_http(port, [{"image": base64.b64encode(b"no picture").decode()}])
        assert "must be a picture that can be read" in refused.value.read().decode()
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked_over_http(port, records[:1], risk=0.05)
        assert "risk must be left out for a classifier without a calibration" in refused.value.read().decode()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert len(answers) == 9
    for answer, row in zip(answers, written, strict=True):
        assert (answer["class"], answer["runner_up"]) == (row["class"], row["runner_up"])
        for name in ("probability", "runner_up_probability"):
            assert answer[name] == pytest.approx(row[name], abs=1e-6)
