"""`fpt fit` and `fpt predict`, as they are typed."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fpt.classifier.calibration import as_described
from pipeline.data.sampler import sampler_of
from pipeline.data.store import ImageStore
from pipeline.orders import WorkOrder
from pipeline.workers.worker import Worker
from sweeps import cli
from sweeps.classify import as_support
from sweeps.lookup.winner import parameters_of_run
from tests.fpt.classifier.checks import CALIBRATION
from tests.sweeps.classifiers.photos import folder_of
from tests.sweeps.lookup.test_winner import configuration, scenes_of_five_classes

BEST = """
name: birds
backbone: {precision: float32}
episodes: {way: 4, shot: 2, query: 4, seed: 3}
solver: {name: lora, epochs: 2, batch: 0, blocks: 2, lr: 0.005}
prompts: {alpha: 0.2, lambda: 0.3, patches: 3, layers: 2}
"""


def typed(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def done(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result, message):
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()[-1:]) == 1


@pytest.fixture
def best(here):
    (here / "best.yaml").write_text(BEST)
    return here / "best.yaml"


def test_an_episodes_pictures_get_what_the_ledger_has_of_it(best, here):
    """Episode 0: its support in a folder, its queries in another, both as files."""
    run = configuration("lora")
    run = run.model_copy(update={"solver": run.solver.model_copy(update={"batch": 0})})
    path = scenes_of_five_classes(here)
    store, worker = ImageStore(path), Worker("worker-0", run, path, str(here / "ledger"))
    (row,) = worker.solve(WorkOrder("order", {"hash": run}, (0,)), 1)
    drawn = sampler_of(store.classes("novel"), run.episodes, "refuse")[0]
    for folder, rows, labels in (("support", drawn.support, drawn.labels), ("new", drawn.query, drawn.query_labels)):
        for i, (image, label) in enumerate(zip(store.images(rows), labels, strict=True)):
            (here / folder / f"class {label}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(here / folder / f"class {label}" / f"{i:02}.png")
    done(typed("fit", best, "--support", "support", "--out", "a.fpt"))
    told = json.loads(done(typed("predict", "a.fpt", "new", "--out", "p.jsonl", "--json")).splitlines()[-1])
    assert told["pictures"] == 16
    named = [json.loads(line) for line in (here / "p.jsonl").read_text().splitlines()]
    hits = [sum(one["class"] in one["image"] for one in named if f"class {way}/" in one["image"]) for way in range(4)]
    assert hits == row["class_hits"]


def test_what_is_left_out_is_named_and_counted(best, here):
    folder_of(here / "photos", (1, 3, 2))
    (here / "photos" / "heron" / "broken.png").write_bytes(b"")
    said = typed("fit", best, "--support", "photos", "--out", "a.fpt", "--set", "solver.name=protonet", "--json")
    told = json.loads(done(said).splitlines()[-1])
    assert told["classes"] == {"crane": 2, "heron": 3, "stork": 1}
    assert [one["why"] for one in told["left_out"]] == ["empty file"]
    assert "left out photos/heron/broken.png: empty file" in said.stderr
    (here / "new").mkdir()
    Image.fromarray(np.zeros((9, 30), np.uint8)).save(here / "new" / "a.png")
    for i in range(7):
        (here / "new" / f"b{i}.png").write_bytes(b"x")
    said = typed("predict", "a.fpt", "new", "--out", "p.csv")
    assert done(said).startswith("p.csv: 1 pictures (")
    assert "and 2 more pictures that cannot be read; --json names all" in said.stderr
    assert len((here / "p.csv").read_text().splitlines()) == 2


def test_mistakes_are_told_in_a_sentence(best, here):
    folder_of(here / "photos", (1, 1, 0))
    refused(
        typed("fit", best, "--support", "nowhere"), "--support must be a folder or a table that is there but nowhere"
    )
    refused(typed("fit", "none.yaml", "--support", "photos"), "CONFIG must be a YAML file")
    refused(typed("fit", best, "--support", "photos", "--set", "solver.nam=knn"), "did you mean solver.name?")
    refused(
        typed("predict", "none.fpt", "photos"),
        "path must be the folder of a saved classifier but none.fpt is not there",
    )
    refused(typed("predict", "none.fpt", "photos", "--out", "a.xls"), "--out must be a .parquet, .csv or .jsonl file")
    refused(typed("fit", best), "--support must be given but is missing")
    assert not (here / "classifier.fpt").exists()


def test_what_is_said_of_a_source_is_said_of_the_option():
    assert as_support("dataset.path must be") == "--support must be"


def test_a_risk_says_which_are_answers(best, here):
    """Three classes of two pictures, as the calibration is of."""
    folder_of(here / "photos", (2, 2, 2))
    folder_of(here / "new", (6, 6, 6), first=10)
    parameters = parameters_of_run(str(best))
    (here / "calibration.json").write_text(json.dumps(as_described(CALIBRATION, parameters)))
    told = json.loads(done(typed("fit", best, "--support", "photos", "--out", "a.fpt", "--json")).splitlines()[-1])
    assert told["calibrated"] is True
    said = typed("predict", "a.fpt", "new", "--out", "p.jsonl", "--risk", "0.125")
    rows = [json.loads(line) for line in (here / "p.jsonl").read_text().splitlines()]
    expected = [
        "none of these" if row["probability"] < 0.375 else "yes" if row["probability"] >= 0.5 else "unsure"
        for row in rows
    ]
    assert [row["answered"] for row in rows] == expected
    assert f"yes {expected.count('yes')}" in done(said)
    assert "--risk promises" not in said.stderr
    refused(
        typed("predict", "a.fpt", "new", "--risk", "0.01"),
        "--risk must be at least 0.05, the lowest that was shown to be kept in 40 3-way 2-shot episodes, but got 0.01",
    )
    done(typed("predict", "a.fpt", "new", "--out", "p.jsonl"))
    assert "answered" not in json.loads((here / "p.jsonl").read_text().splitlines()[0])


def test_a_risk_needs_a_calibration_of_the_same_setting(best, here):
    folder_of(here / "photos", (2, 3, 2))
    plain = typed("fit", best, "--support", "photos", "--out", "a.fpt")
    done(plain)
    assert "not calibrated, so that predict takes no --risk: no calibration.json lies beside" in plain.stderr
    refused(
        typed("predict", "a.fpt", "photos", "--risk", "0.05"),
        "--risk must be left out for a classifier without a calibration but got 0.05; a sweep leaves it as "
        "calibration.json beside its best.yaml",
    )
    (here / "calibration.json").write_text(json.dumps(as_described(CALIBRATION, parameters_of_run(str(best)))))
    other = typed("fit", best, "--support", "photos", "--out", "a.fpt", "--set", "solver.lr=0.01")
    done(other)
    assert "calibration.json must be of these parameters but is of lr 0.005, not 0.01" in other.stderr
    done(typed("fit", best, "--support", "photos", "--out", "a.fpt"))
    said = typed("predict", "a.fpt", "photos", "--out", "p.csv", "--risk", "0.3")
    done(said)
    shown = "what --risk promises was shown on 40 3-way 2-shot episodes, and need not hold here: 3 classes, 2 to 3"
    assert shown in said.stderr
