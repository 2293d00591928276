import json
import re
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
from typer.testing import CliRunner

from pipeline.identity import Found
from pipeline.session import Session
from sweeps import cli
from sweeps.schema.loading import load
from sweeps.table import check_table, make_table
from sweeps.tables.cells import as_records
from sweeps.tracking.fields import Data
from tests.sweeps.tables.examples import CELLS, OF_BACKBONES, OF_TABLE, OF_TWO, cell, tiny
from tests.sweeps.tiny import CONFIG, TINY


class Sessions:
    """Stands for sessions and images, and notes what is opened; an entry of `broken` raises its value."""

    def __init__(self, monkeypatch, **broken):
        self.opened, self.broken, self.weights = [], broken, {True: "w1", False: "w2"}
        monkeypatch.setattr("sweeps.table.packed_images", self.images)
        monkeypatch.setattr("sweeps.table._check_drawn", lambda place, table, packed: None)
        monkeypatch.setattr("sweeps.table.open_session", self.session)
        monkeypatch.setattr("sweeps.table._solved", self.solved)
        monkeypatch.setattr("sweeps.table.data_of", self.data)
        monkeypatch.setattr("sweeps.table.watched", lambda tracker, session: nullcontext())
        monkeypatch.setattr("sweeps.table.story_written", lambda session, *where: nullcontext(session))

    def images(self, run, home):
        if "images" in self.broken and run.dataset.distractors == 0:
            raise ValueError(self.broken["images"])
        return SimpleNamespace(fingerprint=f"d{run.dataset.distractors}")

    @contextmanager
    def session(self, run, home, address):
        if "weights" in self.broken and not run.backbone.weights:
            raise ValueError(self.broken["weights"])
        weights = self.weights[run.backbone.weights]
        self.opened.append(f"{weights} d{run.dataset.distractors}")
        yield Session(Found("", weights, "float32", "cpu", 64, 6, True, {}), Path("store"), None)

    def data(self, run, splits, store, home, fingerprint):
        ((context, split),) = splits.items()
        return [Data(f"{run.dataset.source} {split}", fingerprint, "file:///images.arrow", context, {})]

    def solved(self, session, place, pairs):
        self.opened[-1] += " solved"
        if "solving" in self.broken and place.dataset == "alone":
            raise ValueError(self.broken["solving"])
        return [replace(cell("knn", 1, 0.5, dataset=place.dataset), backbone=place.backbone)]


def recorded_runs(here):
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{here}/home/mlflow.db")
    return client.search_runs([client.get_experiment_by_name("tiny").experiment_id], order_by=["start_time"])


@pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own
def test_each_place_has_a_session_and_the_table_one_run_in_mlflow(here, monkeypatch):
    sessions, sweep = Sessions(monkeypatch), tiny(OF_TWO, OF_BACKBONES, "home=home")
    cells, _ = make_table(sweep, None)
    # The other backbone is tried before anything is computed.
    assert sessions.opened == ["w2 d2", "w1 d2 solved", "w1 d0 solved", "w2 d2 solved", "w2 d0 solved"]
    assert [(one.backbone, one.dataset) for one in cells] == [
        (backbone, dataset) for backbone in ("trained", "random") for dataset in ("crowded", "alone")
    ] + [("trained", "mean"), ("random", "mean")]
    make_table(sweep, None)
    (run,) = recorded_runs(here)
    assert (run.info.status, run.data.params["dataset_fingerprint"]) == ("FINISHED", "d2, d0, d2, d0")
    assert run.data.params["backbone_fingerprint"] == "w1, w1, w2, w2"
    assert {name: run.data.tags[name] for name in ("fpt.kind", "backbone", "data", "shot", "mlflow.source.name")} == {
        "fpt.kind": "table",
        "backbone": "trained, random",
        "data": "crowded, alone",
        "shot": run.data.params["table.shots"].strip("[]"),
        "mlflow.source.name": "fpt table",
    }
    read = {(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs}
    assert read == {("glyphs novel", "d2"), ("glyphs novel", "d0")}
    sessions.weights[False] = "w3"
    make_table(sweep, None)
    assert [own.data.params["backbone_fingerprint"] for own in recorded_runs(here)] == [
        "w1, w1, w2, w2",
        "w1, w1, w3, w3",
    ]


def test_what_cannot_be_opened_is_named_before_anything_is_computed(here, monkeypatch):
    sweep = tiny(OF_TWO, OF_BACKBONES, "home=home")
    for broken, sentence in (
        ({"images": "no such folder"}, "table.datasets.alone, table.backbones.trained: no such folder"),
        ({"weights": "no such file"}, "table.datasets.crowded, table.backbones.random: no such file"),
    ):
        sessions = Sessions(monkeypatch, **broken)
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            make_table(sweep, None)
        assert sessions.opened == []
    Sessions(monkeypatch, images="no such folder")
    with pytest.raises(ValueError, match=r"^no such folder$"):
        make_table(tiny("dataset.distractors=0", "home=home"), None)
    assert not (here / "home" / "mlflow.db").exists()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own
def test_a_table_that_breaks_off_is_recorded_as_failed_and_goes_on(here, monkeypatch):
    sweep = tiny(OF_TWO, "home=home")
    Sessions(monkeypatch, solving="lost")
    with pytest.raises(ValueError, match=r"^lost$"):
        make_table(sweep, None)
    assert [run.info.status for run in recorded_runs(here)] == ["FAILED"]
    Sessions(monkeypatch)
    make_table(sweep, None)
    assert [run.info.status for run in recorded_runs(here)] == ["FINISHED"]


def test_the_command_prints_a_table_or_an_object(here, monkeypatch):
    monkeypatch.setattr("sweeps.table.make_table", lambda sweep, address: (CELLS, [here / "table.md"]))
    sets = [f"--set={override}" for override in (*TINY, OF_TABLE)]
    shown = CliRunner().invoke(cli.app, ["table", str(CONFIG), *sets])
    assert shown.exit_code == 0
    assert "63.4 ± 1.0" in shown.stdout
    assert str(here / "table.md") in shown.stdout
    said = json.loads(CliRunner().invoke(cli.app, ["table", str(CONFIG), "--json", *sets]).stdout)
    assert said == {"rows": as_records(CELLS), "files": [str(here / "table.md")]}


@pytest.mark.slow
@pytest.mark.timeout(900)  # images are drawn first
@pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own
def test_a_table_is_computed_once_and_recorded_once(here):
    sweep = tiny(OF_TWO, "home=home", "table.shots=[1]", "table.at_dataset={alone: {lr: 0.02}}")
    cells, files = make_table(sweep, None)
    assert [(cell.dataset, cell.solver, cell.prompts, cell.episodes) for cell in cells] == [
        (dataset, solver, prompts, times * episodes)
        for dataset, times in (("crowded", 1), ("alone", 1), ("mean", 2))
        for solver, prompts, episodes in (("knn", False, 3), ("lora", False, 2), ("lora", True, 2))
    ]
    assert len({cell.config_hash for cell in cells}) == 7  # of six cells, and none of a mean
    assert [cell.p_holm is None for cell in cells] == [True, True, False, True, True, False, True, True, True]
    assert {file.parent for file in files} == {here / "home" / "tables" / "tiny"}
    kept = {path: path.stat().st_mtime_ns for path in (here / "home" / "ledger" / "rows").iterdir()}
    assert make_table(sweep, None) == (cells, files)
    assert {path: path.stat().st_mtime_ns for path in (here / "home" / "ledger" / "rows").iterdir()} == kept
    (run,) = recorded_runs(here)
    assert (run.data.tags["fpt.kind"], run.info.status) == ("table", "FINISHED")
    assert len(set(run.data.params["dataset_fingerprint"].split(", "))) == 2
    assert run.data.metrics["alone/knn/1-shot/without prompts"] == cells[3].estimate.mean
    assert run.data.metrics["mean/knn/1-shot/without prompts"] == cells[6].estimate.mean
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{here}/home/mlflow.db")
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {file.name for file in files}


def test_what_data_and_backbone_cannot_serve_is_found_before_the_start():
    with pytest.raises(ValueError, match=r"^table must be in CONFIG for a table but is missing$"):
        check_table(load(CONFIG, TINY))
    with pytest.raises(ValueError, match=r"^table\.solvers\.knn, 9-shot: episodes\.shot \+ episodes\.query must be"):
        check_table(tiny("table.shots=[1, 9]"))
    with pytest.raises(ValueError, match=r"^table\.solvers\.lora, 1-shot: prompts\.patches must be at most 64"):
        check_table(tiny("table.solvers.lora.patches=65"))
    with pytest.raises(ValueError, match=r"^table\.datasets\.few, table\.solvers\.knn, 2-shot: episodes\.shot \+ epi"):
        check_table(tiny(OF_TWO, "table.datasets.few.images_per_class=4"))


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "..", "a\\b"])
def test_a_table_s_name_leads_to_no_other_folder(name):
    with pytest.raises(ValueError, match=r"^name must be one that a folder can have, .* but got "):
        check_table(tiny(OF_TABLE).model_copy(update={"name": name}))
