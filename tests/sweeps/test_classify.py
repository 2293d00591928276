"""`fpt fit` and `fpt predict`, as they are typed."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.data.packed import on_this_node, packed_images
from pipeline.data.sampler import sampler_of
from pipeline.data.store import ImageStore
from pipeline.orders import WorkOrder
from pipeline.storage.folder import Home
from pipeline.workers.worker import Worker
from sweeps import cli
from sweeps.classify import as_support
from tests.sweeps.classifiers.photos import folder_of
from tests.sweeps.lookup.test_winner import configuration

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
    path = on_this_node(packed_images(run, Home(str(here / "home"))))
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
