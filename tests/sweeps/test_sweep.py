"""Whole sweeps, as they are typed, with what they leave behind read by other means."""

import csv
import json
import os
import platform
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow.parquet
import pytest
from mlflow import MlflowClient

from pipeline.config import plain_run, with_hyper_parameters
from pipeline.storage.ledger import Ledger
from sweeps.schema.loading import load
from sweeps.statistics.estimates import paired_difference
from sweeps.sweep import run_sweep
from sweeps.terminal.times import PARTS
from tests.pipeline.processes import descendants, kill_one
from tests.sweeps.ledgers import answered
from tests.sweeps.tiny import CONFIG, TINY
from tests.sweeps.whole import FPT, ended, files, queried, rows, runs, started

SAID = (
    "best",
    "final",
    "backbones",
    "trials",
    "whole",
    "may_be_best",
    "best_if_symmetric",
    "about",
    "confidence",
    "mistakes",
    "importances",
    "more_looks",
    "audit",
    "episodes_spent",
    "episodes_lost",
)
JUDGED = ("accuracy", "ci95", "difference", "difference_ci95", "p", "p_holm")
YARDSTICKS = ("yardstick", "other_yardstick", "baseline_accuracy")
FINAL = ("episodes", *JUDGED, *YARDSTICKS, "without_its_prompts", "again", "compared")
COMPARED = ("config_hash", *JUDGED, "over_episodes", "over_classes", "bounds")
LOCATED = ("prompt_precision", "prompt_chance", "attention_on_key_before", "attention_on_key_after")

pytestmark = [
    pytest.mark.timeout(900),
    # MLflow's own models use what SQLAlchemy has deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
]


def test_a_sweep_prints_and_leaves_what_it_found(undisturbed):
    home, said = undisturbed
    assert set(said) == {*SAID, "mlflow", "report", "times"}
    assert set(said["times"]["start_up_seconds"]) == {*PARTS, "first order"}
    assert 0 < said["times"]["orchestration_share"] < 1
    assert {"lambda", "alpha", "tau", "patches", "lr"} == set(said["best"])
    assert set(said["final"]) == set(FINAL)
    assert {"best", "no prompts", "paper defaults", "frozen features"} <= set(said["final"]["compared"])
    assert all(set(compared) == {*COMPARED, *LOCATED} for compared in said["final"]["compared"].values())
    assert (len(said["trials"]), said["final"]["episodes"]) == (6, 6)

    # The numbers, from the ledger's files.
    accuracies = {}
    for row in rows(home):
        assert row["accuracy"] == row["correct"] / row["queries"] == sum(row["class_hits"]) / row["queries"]
        accuracies.setdefault(row["config_hash"], {})[row["episode"]] = row["accuracy"]
    for compared in said["final"]["compared"].values():
        own = accuracies[compared["config_hash"]]
        assert sorted(own) == [0, 1, 2, 3, 4, 5]
        assert compared["accuracy"] == pytest.approx(np.mean(list(own.values())))
    best, baseline = (said["final"]["compared"][name] for name in ("best", said["final"]["yardstick"]))
    assert (said["final"]["accuracy"], said["final"]["ci95"]) == (best["accuracy"], best["ci95"])
    assert said["final"]["baseline_accuracy"] == baseline["accuracy"]
    defaults = said["final"]["compared"]["paper defaults"]
    ours, theirs = ([accuracies[one["config_hash"]][i] for i in range(6)] for one in (defaults, baseline))
    assert defaults["difference"] == pytest.approx(np.mean(np.subtract(ours, theirs)))
    judged = paired_difference(ours, theirs, 1 / 9)
    assert defaults["over_episodes"] == pytest.approx([judged.mean, judged.ci95])
    assert defaults["difference_ci95"] >= judged.ci95  # of 18 classes at most, so it is over classes

    # Every configuration is described. All six settings were looked at on an episode that no other rung has; all that
    # raced did the first rung, half of them the second, and so did those from which a yardstick was chosen.
    described = {path.stem: json.loads(path.read_text()) for path in (home / "ledger" / "configurations").iterdir()}
    assert set(described) == set(accuracies)
    kept = {name: of["episodes"]["split"] for name, of in described.items() if "scores" in of["episodes"]}
    assert sorted(kept.values()) == ["novel", "validation"]  # how sure the winner may be
    of_search = [name for name, of in described.items() if of["episodes"]["split"] == "validation"]
    searched = [accuracies[name] for name in of_search if name not in kept]
    assert {row["config_hash"] for row in rows(home) if row["scores"] is not None} == set(kept)
    assert sum(4 in own for own in searched) == 6
    assert [sorted(own) for own in searched].count([4]) == 2
    assert sum(sorted(own) == [0, 1, 2, 3, 4] for own in searched) >= 2
    assert all(sorted(set(own) - {4}) in ([], [0, 1], [0, 1, 2, 3]) for own in searched)

    # MLflow has one run for the sweep and one below it for each trial.
    ((parent, status),), children = runs(home)
    assert (parent, status) == (said["mlflow"]["run_id"], "FINISHED")
    assert [status for _, status in children] == ["FINISHED"] * 6
    below = queried(home, f"select count(*) from tags where key = 'mlflow.parentRunId' and value = '{parent}'")
    assert below == [(6,)]
    stopped_by = sorted(value for (value,) in queried(home, "select value from tags where key = 'stopped_by'"))
    assert stopped_by == ["halving", "halving", "looks", "looks", "none", "none"]
    metrics = dict(queried(home, f"select key, value from metrics where run_uuid = '{parent}'"))
    assert (metrics["accuracy"], metrics["episodes"]) == (pytest.approx(best["accuracy"]), 6)

    # The report; its configuration is the winner's.
    (folder,) = (home / "sweeps").iterdir()
    drawn = ("confidence", "differences", "episode-0", "history", "mistakes", "parallel", "racing")
    pictures = {f"{name}.png" for name in drawn}
    told = {
        "best.yaml",
        "calibration.json",
        "events.jsonl",
        "finding.json",
        "ledger.parquet",
        "sweep.yaml",
        "trials.csv",
    }
    assert {path.name for path in folder.iterdir()} == {*pictures, *told, "report.html", "report.md"}
    # Six episodes of what hardly learns: nothing has won.
    assert (folder / "report.md").read_text().startswith(("No winner: ", "No setting with prompts did better"))
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert "The surest mistakes on unseen episodes" in (folder / "report.html").read_text()
    won = {name: value for name, value in said["best"].items() if value is not None}
    judged_on = "episodes.part=first classes"  # the other half is for judging it once more
    winner = with_hyper_parameters(plain_run(load(CONFIG, [*TINY, judged_on])), won)
    assert plain_run(load(folder / "best.yaml", [])) == winner
    assert load(folder / "sweep.yaml", []) == load(CONFIG, [*TINY, f"home={home}"])
    assert set(pyarrow.parquet.read_table(folder / "ledger.parquet")["config_hash"].to_pylist()) == set(accuracies)


def test_a_report_is_drawn_again_from_the_files_of_a_sweep_byte_by_byte(undisturbed, tmp_path):
    home, said = undisturbed
    (folder,) = (home / "sweeps").iterdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    solved = {"episode-0.png", "mistakes.png"}
    drawn = [name for name in before if name.endswith((".png", ".html", ".md")) and name not in solved]
    for name in (*drawn, "best.yaml", "trials.csv"):
        (folder / name).unlink()
    command = [FPT, "report", folder.name[:6], "--home", home, "--json"]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    told = json.loads(again.stdout.splitlines()[-1])
    assert told == {name: value for name, value in said.items() if name != "times"} | {"mlflow": None}


def test_trials_are_rows_with_the_figures_of_the_ledger(undisturbed):
    home, said = undisturbed
    (path,) = (home / "sweeps").glob("*/trials.csv")
    with path.open(newline="") as file:
        read = list(csv.DictReader(file))
    told = [{name: "" if value is None else str(value) for name, value in row.items()} for row in said["trials"]]
    assert read == told
    accuracies = {}
    for row in rows(home):
        accuracies.setdefault(row["config_hash"], {})[row["episode"]] = row["accuracy"]
    of_trial = "select name.value, hash.value from tags name join tags hash using (run_uuid) where name.key = '{}'"
    hashes = dict(queried(home, of_trial.format("fpt.trial") + " and hash.key = 'config_hash'"))
    assert [row["trial"] for row in said["trials"]] == sorted(hashes) == [f"0.{i}" for i in range(6)]
    for row in said["trials"]:
        own = accuracies[hashes[row["trial"]]]
        assert row["accuracy"] == pytest.approx(np.mean([own[i] for i in range(row["raced"]) or (4,)]))
        ended_as = (row["raced"], row["stopped_at"], row["stopped_by"])
        assert ended_as in ((4, None, None), (2, 1, "halving"), (0, None, None))
        assert (row["looks"], row["episodes"]) == (1, row["raced"] + 1)
        assert row["seconds"] > 0
    winner = max((row for row in said["trials"] if row["raced"] == 4), key=lambda row: row["accuracy"])
    assert {name: winner[f"param_{name}"] for name in said["best"]} == said["best"]
    assert [row["param_alpha"] for row in said["trials"][:2]] == [0, 7]  # those that are named come first


@pytest.mark.slow
def test_the_same_seed_gives_the_same_ledger_with_any_number_of_workers(undisturbed, home, here):
    sweep = load(CONFIG, [*TINY, f"home={home}", "compute.workers=1"])
    finding, tracking, _ = run_sweep(sweep, None)
    assert rows(home) == rows(undisturbed[0])
    assert set(files(home)) == set(files(undisturbed[0]))
    said = undisturbed[1]
    assert finding.values == {name: value for name, value in said["best"].items() if value is not None}
    assert (finding.best.estimate.mean, finding.spent) == (said["final"]["accuracy"], said["episodes_spent"])
    assert tracking["experiment"] == "tiny"
    assert [run for run, _ in runs(home)[0]] == [tracking["run_id"]]


@pytest.mark.slow
def test_a_sweep_that_was_killed_is_gone_on_with(undisturbed, home):
    process = started(home)
    while process.poll() is None and len(files(home)) < 2:
        time.sleep(0.02)
    own = descendants(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for_the_end_of(own)
    before = files(home)
    assert 2 <= len(before) < len(files(undisturbed[0]))

    said = ended(started(home))
    after = files(home)
    assert {name: after[name] for name in before} == before
    assert rows(home) == rows(undisturbed[0])
    assert said["best"] == undisturbed[1]["best"]
    assert said["final"] == undisturbed[1]["final"]
    parents, children = runs(home)
    assert parents == [(said["mlflow"]["run_id"], "FINISHED")]
    assert [status for _, status in children] == ["FINISHED"] * 6
    assert queried(home, "select count(*) from metrics group by run_uuid, key, step having count(*) > 1") == []


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(undisturbed, home):
    process = started(home, "compute.shard=1")
    kill_one(process.pid, "ray::WorkerProcess.solve")
    said = ended(process)
    attempts = Ledger(str(home / "ledger")).read()["attempt"].to_pylist()
    assert set(attempts) == {1, 2}
    assert said["best"] == undisturbed[1]["best"]
    # Other shards make other stacks: predictions agree, the last bits of other figures need not.
    hits = [
        [(row["config_hash"], row["episode"], row["class_hits"]) for row in rows(one)] for one in (home, undisturbed[0])
    ]
    assert hits[0] == hits[1]


def wait_for_the_end_of(processes, seconds=60.0):
    """Ray's processes end with the one that started them; what does not is ended here."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(Path(f"/proc/{process}").exists() for process in processes):
        time.sleep(0.1)
    for process in processes:
        if Path(f"/proc/{process}").exists():
            os.kill(process, signal.SIGKILL)


def test_the_winner_is_a_model_of_the_sweeps_run(undisturbed):
    home, said = undisturbed
    client = MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny").experiment_id
    (model,) = client.search_logged_models([experiment])
    assert (model.name, model.status, model.source_run_id) == ("tiny recipe", "READY", said["mlflow"]["run_id"])
    assert model.tags["config_hash"] == said["final"]["compared"]["best"]["config_hash"]
    told = {one.key: (one.value, one.dataset_name) for one in model.metrics}
    assert told["accuracy"] == (pytest.approx(said["final"]["accuracy"]), "glyphs novel")
    outputs = client.get_run(said["mlflow"]["run_id"]).outputs.model_outputs
    assert [one.model_id for one in outputs] == [model.model_id]
    held = Path(urlsplit(model.artifact_location).path)
    assert (held / "MLmodel").is_file()
    assert not list(home.glob(".winner-*"))


def test_mlflow_tells_a_sweep_as_its_users_expect(undisturbed):
    """Through MLflow's own client; the numbers from the ledger's files, by other means."""
    home, said = undisturbed
    client = MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    (parent,) = [run for run in found if run.data.tags["fpt.kind"] == "sweep"]
    trials = {run.data.tags["fpt.trial"]: run for run in found if run.data.tags["fpt.kind"] == "trial"}
    (of_ledger,) = (home / "images").glob("*.arrow.json")
    images = json.loads(of_ledger.read_text())["fingerprint"]

    # What a reader filters by.
    assert parent.data.tags["verdict"] in ("no winner", "no prompts")
    assert parent.data.tags["mlflow.source.name"] == "fpt sweep"
    assert parent.data.tags["env.python"] == platform.python_version()
    assert (parent.data.params["search.space.lambda.high"], parent.data.params["precision"]) == ("30.0", "float32")
    assert "`fpt run best.yaml`" in parent.data.tags["mlflow.note.content"]
    assert "best.yaml" in [file.path for file in client.list_artifacts(parent.info.run_id)]
    assert sum(run.data.tags["winner"] == "yes" for run in trials.values()) == 1
    (winner,) = [run for run in trials.values() if run.data.tags["winner"] == "yes"]
    assert {name: float(winner.data.params[name]) for name, value in said["best"].items() if value is not None} == {
        name: value for name, value in said["best"].items() if value is not None
    }
    for run, inputs in ((parent, {"search", "final"}), *((run, {"search"}) for run in trials.values())):
        assert {tag.value for one in run.inputs.dataset_inputs for tag in one.tags} == inputs
        assert {one.dataset.digest for one in run.inputs.dataset_inputs} == {images}
        assert run.data.params["dataset_fingerprint"] == images
        assert (run.data.tags["backbone"], run.data.tags["way"], run.data.tags["shot"]) == (
            "vit_micro_glyphs",
            "3",
            "1",
        )

    # Each trial's accuracies, by its configuration hash.
    accuracies = {}
    for row in rows(home):
        accuracies.setdefault(row["config_hash"], {})[row["episode"]] = row["accuracy"]
    scores = {name: accuracies[run.data.tags["config_hash"]] for name, run in trials.items()}

    def history(run, metric):
        return {one.step: one.value for one in client.get_metric_history(run.info.run_id, metric)}

    races = [history(run, "episodes") for run in trials.values()]
    assert sorted(map(len, races)) == [0, 0, 1, 1, 2, 2]
    for name, run in trials.items():
        assert history(run, "look") == {0: scores[name][4]}
        steps = history(run, "episodes")
        assert history(run, "accuracy") == {
            n: pytest.approx(np.mean([scores[name][i] for i in range(n)])) for n in steps
        }
        assert set(history(run, "episodes_per_second")) == set(steps)
    # What the model of all looks expects of the best of them.
    (best_so_far,) = history(parent, "best_so_far").items()
    assert (best_so_far[0], 0 < best_so_far[1] < 1) == (6, True)
    assert 0 <= history(parent, "system/cpu_utilization_percentage").popitem()[1] <= 100


def test_the_winner_is_found_again_by_the_file_that_the_sweep_wrote(compare, undisturbed):
    home, said = undisturbed
    (best,) = home.glob("sweeps/*/best.yaml")
    won, baseline = (said["final"]["compared"][name] for name in ("best", said["final"]["yardstick"]))
    found = json.loads(answered(compare(str(best), baseline["config_hash"], f"--home={home}", "--json")))
    assert (found["a"]["config_hash"], found["a"]["accuracy"]) == (won["config_hash"], won["accuracy"])
    assert (found["common"], found["difference"]) == (6, pytest.approx(won["difference"]))
