import csv
import json
import re
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from scipy.stats import ttest_rel
from typer.testing import CliRunner

from pipeline.config import plain_run
from pipeline.identity import Found
from pipeline.session import Session
from sweeps import cli
from sweeps.schema.loading import load
from sweeps.statistics.estimates import Estimate
from sweeps.table import (
    Pair,
    Place,
    cells_of,
    judged,
    make_table,
    means_of,
    metrics_of,
    write_files,
)
from sweeps.tables.latex import as_latex
from sweeps.tables.layout import Cell, as_markdown, as_records
from sweeps.tracking.fields import Data
from tests.sweeps.tiny import CONFIG, TINY

OF_TABLE = "table={shots: [1, 2], episodes: {closed_form: 3, fine_tuned: 2}, solvers: {knn: {}, lora: {}}}"
OF_TWO = "table.datasets={crowded: {}, alone: {distractors: 0}}"
OF_BACKBONES = "table.backbones={trained: {}, random: {weights: false}}"
RUN = plain_run(load(CONFIG, TINY))
HERE = Place("vit_micro_glyphs", "glyphs", RUN, "")


def tiny(*overrides):
    return load(CONFIG, [*TINY, OF_TABLE, *overrides])


def cell(solver, shot, mean, difference=None, episodes=200, dataset="glyphs", p=None):
    estimate = None if mean is None else Estimate(mean, 0.01, episodes)
    prompts, named = difference is not None, f"{solver} {shot}"
    return Cell("vit", dataset, solver, shot, prompts, episodes, named, estimate, difference, p)


CELLS = [
    cell("R2-D2", 1, 0.5, episodes=400),
    cell("my_lora", 1, 0.612),
    cell("my_lora", 1, 0.634, Estimate(0.022, 0.0149, 200)),
    cell("R2-D2", 5, 0.75, episodes=400),
    cell("my_lora", 5, None),
    Cell("vit", "glyphs", "my_lora", 5, True, 200, "my_lora 5", Estimate(0.8, 0.01, 200), None),
]


def rows(*accuracies):
    return [{"accuracy": accuracy, "failed": accuracy is None} for accuracy in accuracies]


def test_cells_by_hand():
    pair, own = Pair("lora", (RUN, RUN), 3), [rows(0.5, 0.6, 0.7), rows(0.6, 0.8, 0.7)]
    without, prompted = cells_of(replace(HERE, dataset="cub"), pair, own, ["a", "b"])
    assert {(cell.backbone, cell.dataset) for cell in (without, prompted)} == {("vit_micro_glyphs", "cub")}
    assert (without.prompts, without.shot, without.episodes, without.config_hash) == (False, 1, 3, "a")
    assert (prompted.prompts, prompted.config_hash) == (True, "b")
    assert (without.estimate.mean, prompted.estimate.mean) == pytest.approx((0.6, 0.7))
    assert (without.difference, prompted.difference.mean) == (None, pytest.approx(0.1))
    assert prompted.difference.ci95 == pytest.approx(4.302653 * 0.1 / 3**0.5)  # Student's t, 2 degrees of freedom
    assert (without.p_value, prompted.p_value) == (
        None,
        pytest.approx(ttest_rel([0.6, 0.8, 0.7], [0.5, 0.6, 0.7]).pvalue),
    )


def test_a_failed_episode_leaves_no_number():
    for own, missing in (
        ([rows(0.5, None), rows(0.5, 0.5)], [True, False]),
        ([rows(0.5, 0.5), rows(None, 0.5)], [False, True]),
        ([[], []], [True, True]),  # all of them lost
    ):
        cells = cells_of(HERE, Pair("lora", (RUN, RUN), 2), own, ["a", "b"])
        assert [cell.estimate is None for cell in cells] == missing
        assert (cells[1].difference, cells[1].p_value) == (None, None)


def test_one_episode_has_a_difference_and_no_p_value():
    _, prompted = cells_of(HERE, Pair("lora", (RUN, RUN), 1), [rows(0.5), rows(0.6)], ["a", "b"])
    assert (prompted.difference.mean, prompted.p_value) == (pytest.approx(0.1), None)


def test_p_values_are_corrected_over_the_whole_table():
    gain = Estimate(0.1, 0.05, 200)
    found = {("a", 1): 0.01, ("a", 5): 0.04, ("b", 1): 0.03, ("b", 5): 0.005}
    cells = [
        one
        for (dataset, shot), p in found.items()
        for one in (cell("lora", shot, 0.5, dataset=dataset), cell("lora", shot, 0.6, gain, dataset=dataset, p=p))
    ]
    whole = judged([*cells, cell("knn", 1, 0.5, dataset="a")])
    # In rising order: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04 raised to what comes before it.
    assert [one.p_holm for one in whole if one.p_value is not None] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert {one.p_holm for one in whole if one.p_value is None} == {None}


def test_means_over_data_sets_against_numpy():
    datasets, shots = ("a", "b", "c"), (1, 5)
    accuracies = {(d, s): (0.5 + 0.07 * i + 0.1 * (s == 5)) for i, d in enumerate(datasets) for s in shots}
    gains = {key: Estimate(0.1 - 0.3 * value**2, 0.02 * value, 200) for key, value in accuracies.items()}
    cells = [
        one
        for (dataset, shot), accuracy in accuracies.items()
        for one in (
            cell("knn", shot, accuracy, dataset=dataset, episodes=400),
            cell("lora", shot, accuracy, dataset=dataset),
            cell("lora", shot, accuracy + gains[dataset, shot].mean, gains[dataset, shot], dataset=dataset, p=0.01),
        )
    ]
    means = means_of(cells)
    assert [(one.dataset, one.solver, one.shot, one.prompts, one.episodes) for one in means] == [
        ("mean", solver, shot, prompts, episodes)
        for shot in shots
        for solver, prompts, episodes in (("knn", False, 1200), ("lora", False, 600), ("lora", True, 600))
    ]
    for one in means:
        own = [cell for cell in cells if (cell.solver, cell.shot, cell.prompts) == (one.solver, one.shot, one.prompts)]
        for field in ("estimate", "difference")[: 1 + one.prompts]:
            of_each, mean = [getattr(cell, field) for cell in own], getattr(one, field)
            assert mean.mean == pytest.approx(np.mean([single.mean for single in of_each]))
            # Half an interval is proportional to a standard deviation, and variances of independent means add up.
            assert mean.ci95 == pytest.approx(np.linalg.norm([single.ci95 for single in of_each]) / 3)
            assert mean.episodes == one.episodes
        assert (one.p_value, one.p_holm, one.config_hash) == (None, None, None)
        assert one.prompts or one.difference is None


def test_there_is_no_mean_of_one_data_set_or_of_what_is_missing():
    assert means_of(CELLS) == []
    gain = Estimate(0.1, 0.05, 200)
    lone = [cell("lora", 1, 0.5, dataset="a"), cell("lora", 1, 0.6, gain, dataset="a"), cell("lora", 1, 0.7)]
    assert [(one.prompts, one.estimate.mean) for one in means_of(lone)] == [(False, pytest.approx(0.6))]
    (failed,) = means_of([cell("lora", 1, 0.5, dataset="a"), cell("lora", 1, None)])
    assert (failed.estimate, failed.difference) == (None, None)


def test_files_hold_every_cell(tmp_path: Path):
    markdown, latex, values = write_files(CELLS, RUN, tmp_path / "tables" / "tiny")
    assert (markdown.read_text(), latex.read_text()) == (as_markdown(CELLS, RUN), as_latex(CELLS, RUN))
    with values.open() as file:
        read = list(csv.DictReader(file))
    assert read == [
        {name: "" if value is None else str(value) for name, value in record.items()} for record in as_records(CELLS)
    ]
    assert [row["accuracy"] for row in read] == ["0.5", "0.612", "0.634", "0.75", "", "0.8"]
    assert [row["difference_ci95"] for row in read] == ["", "", "0.0149", "", "", ""]


def test_mlflow_s_names():
    cells = [cell("LoRA (r4)", 1, 0.5), cell("LoRA (r4)", 1, 0.6, Estimate(0.1, 0.01, 200), p=0.03)]
    assert metrics_of(judged(cells)) == {
        "LoRA _r4_/1-shot/without prompts": 0.5,
        "LoRA _r4_/1-shot/with prompts": 0.6,
        "LoRA _r4_/1-shot/difference": 0.1,
        "LoRA _r4_/1-shot/p_holm": 0.03,
    }
    two = [cell("knn", 1, 0.5), cell("knn", 1, 0.7, dataset="pets & co")]
    assert metrics_of(judged(two)) == {
        "glyphs/knn/1-shot/without prompts": 0.5,
        "pets _ co/knn/1-shot/without prompts": 0.7,
        "mean/knn/1-shot/without prompts": pytest.approx(0.6),
    }
    assert metrics_of([cell("knn", 1, 0.5), replace(cell("knn", 1, 0.7), backbone="Swin-T")]) == {
        "vit/knn/1-shot/without prompts": 0.5,
        "Swin-T/knn/1-shot/without prompts": 0.7,
    }


class Sessions:
    """Stands for sessions and images, and notes what is opened; an entry of `broken` raises its value."""

    def __init__(self, monkeypatch, **broken):
        self.opened, self.broken, self.weights = [], broken, {True: "w1", False: "w2"}
        monkeypatch.setattr("sweeps.table.packed_images", self.images)
        monkeypatch.setattr("sweeps.table.open_session", self.session)
        monkeypatch.setattr("sweeps.table._solved", self.solved)
        monkeypatch.setattr("sweeps.table.data_of", self.data)
        monkeypatch.setattr("sweeps.table.watched", lambda tracker, session: nullcontext())

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
