"""A configuration and a classifier's parameters are the same thing in two forms."""

import json

import numpy as np
import pytest

import fpt
from fpt.classifier.calibration import as_described
from fpt.glyphs.scenes import scene
from fpt.registry import SOLVERS
from pipeline.config import Run, with_hyper_parameters
from pipeline.data.sampler import sampler_of
from pipeline.data.store import ImageStore, Sample, pack
from pipeline.orders import WorkOrder
from pipeline.workers.worker import Worker, setting
from sweeps.lookup.winner import calibration_beside, parameters_of, parameters_of_run, with_calibration
from tests.fpt.classifier.checks import CALIBRATION

EPISODES = (0, 3)
VALUES = {"lr": {"full": 1e-4, "ssf": 1e-3}, "alpha": 0.2}


def configuration(solver):
    described = {
        "dataset": {"images_per_class": 8},
        "backbone": {"precision": "float32"},
        "episodes": {"split": "novel", "way": 4, "shot": 2, "query": 4, "seed": 3},
        "solver": {"name": solver, "epochs": 2, "batch": 3, "blocks": 2, "lr": VALUES["lr"].get(solver, 5e-3)},
        "prompts": {"alpha": VALUES["alpha"], "lambda": 0.3, "patches": 3, "layers": 2},
    }
    return Run.model_validate(described)


def scenes_of_five_classes(folder):
    """Packed scenes, 8 of each, of which a worker draws episodes of four classes."""
    drawn = ((f"class {way}", scene("novel", way, i)) for way in range(5) for i in range(8))
    return pack((Sample("novel", name, one.image, one.mask) for name, one in drawn), folder / "scenes.arrow")


@pytest.fixture(scope="module")
def store_path(tmp_path_factory):
    return scenes_of_five_classes(tmp_path_factory.mktemp("scenes"))


@pytest.mark.parametrize("solver", SOLVERS)
def test_fit_and_predict_on_an_episode_have_what_the_ledger_has_of_it(solver, store_path, tmp_path):
    """As many right queries of each class, in two episodes; a worker wrote the ledger as it does in a sweep."""
    run, store = configuration(solver), ImageStore(store_path)
    worker = Worker("worker-0", run, store_path, str(tmp_path))
    worker.solve(WorkOrder("order", {"hash": run}, EPISODES), 1)
    rows = {row["episode"]: row for row in worker.ledger.read().to_pylist()}
    sampler = sampler_of(store.classes("novel"), run.episodes, "refuse")
    for index in EPISODES:
        drawn = sampler[index]
        classifier = fpt.FewShotClassifier(**parameters_of(run), index=index)
        classifier.fit(store.images(drawn.support), drawn.labels)
        right = classifier.predict(store.images(drawn.query)) == drawn.query_labels
        hits = np.bincount(drawn.query_labels[right], minlength=4).tolist()
        assert hits == rows[index]["class_hits"]
        assert classifier.score(store.images(drawn.query), drawn.query_labels) == rows[index]["accuracy"]


@pytest.mark.parametrize("solver", ["lora", "knn"])
def test_a_classifier_has_the_setting_of_its_configuration(solver):
    run = with_hyper_parameters(configuration(solver), {"variant": "official", "rank": 7, "head_multiplier": 3.0})
    (found,) = fpt.FewShotClassifier(**parameters_of(run)).settings_for(4)
    assert found == setting(run)


def test_members_of_an_ensemble_are_whole_settings():
    run = configuration("lora").model_copy(update={"ensemble": ({"lr": 1e-3}, {"lambda": 5.0, "rank": 2})})
    first, second = fpt.FewShotClassifier(**parameters_of(run)).settings_for(4)
    assert (first.lr, first.lam, second.lr, second.lam, second.training.rank) == (1e-3, 0.3, 5e-3, 5.0, 2)


def test_a_finished_sweep_is_found_by_its_id_and_its_file(tmp_path):
    folder = tmp_path / "runs" / "sweeps" / "abc123"
    folder.mkdir(parents=True)
    (folder / "best.yaml").write_text("name: birds\nsolver: {name: ssf, lr: 0.125}\nprompts: {lambda: 3}\n")
    found = fpt.FewShotClassifier.from_run("abc", str(tmp_path / "runs"))
    assert (found.solver, found.lr, found.lam) == ("ssf", 0.125, 3.0)
    assert parameters_of_run(str(folder / "best.yaml")) == parameters_of_run("abc123", str(tmp_path / "runs"))
    with pytest.raises(ValueError, match=r"ID must be one of abc123 in .* but 'xyz' is none of them"):
        fpt.FewShotClassifier.from_run("xyz", str(tmp_path / "runs"))
    with pytest.raises(ValueError, match="must be in MLflow's store but there is no"):
        fpt.FewShotClassifier.from_run("0" * 32, str(tmp_path / "runs"))


def test_a_calibration_comes_with_the_winner(tmp_path):
    folder = tmp_path / "runs" / "sweeps" / "abc123"
    folder.mkdir(parents=True)
    (folder / "best.yaml").write_text("solver: {name: ssf, lr: 0.125}\n")
    parameters = parameters_of_run("abc", str(tmp_path / "runs"))
    assert parameters["calibration"] is None
    del parameters["calibration"]
    assert with_calibration(parameters, folder / "best.yaml") == (
        parameters,
        f"no calibration.json lies beside {folder / 'best.yaml'}",
    )
    (folder / "calibration.json").write_text(json.dumps(as_described(CALIBRATION, parameters)))
    found = fpt.FewShotClassifier.from_run("abc", str(tmp_path / "runs"))
    assert found.calibration == calibration_beside(folder / "best.yaml")
    assert fpt.FewShotClassifier.from_run(str(folder / "best.yaml")).calibration == found.calibration
    assert with_calibration(parameters, folder / "best.yaml") == (
        {**parameters, "calibration": found.calibration},
        None,
    )
    other, why = with_calibration({**parameters, "lr": 0.25}, folder / "best.yaml")
    assert "calibration" not in other
    assert why == "calibration.json must be of these parameters but is of lr 0.125, not 0.25"


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is no JSON"), ("[]", "holds no object"), ('{"of": {}}', "calibration must hold coverage")],
)
def test_what_is_no_calibration_is_refused(content, message, tmp_path):
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        with_calibration({}, tmp_path / "best.yaml")
