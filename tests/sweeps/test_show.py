"""What a picture of an episode needs, and which episode is drawn."""

import json

import pytest
from PIL import Image

from pipeline.config import plain_run
from pipeline.data.store import ImageStore
from pipeline.orders import WorkOrder
from pipeline.workers.worker import Worker
from sweeps.schema.loading import load
from tests.pipeline.conftest import store_path  # noqa: F401
from tests.sweeps.refusals import refused
from tests.sweeps.tiny import CONFIG, TINY


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", "a.jpg"], "--out must be a PNG file but got 'a.jpg'"),
        (["--attention", "all"], "--attention must be one of map, cover, both but got 'all'"),
        (["--images", "base"], "--images must be one of support, query, both but got 'base'"),
        (["--most", "0"], "--most must be from 1 to 100 but got 0"),
        (["--most", "101"], "--most must be from 1 to 100 but got 101"),
    ],
)
def test_a_picture_shows_what_there_is(fpt, arguments, sentence):
    refused(fpt("show", str(CONFIG), *arguments), sentence)


def test_windows_have_no_map_of_the_image(fpt, monkeypatch):
    monkeypatch.setattr("sweeps.show.check_run", lambda run: None)
    override = "backbone={name: swin_tiny_patch4_window7_224}"
    refused(
        fpt("show", str(CONFIG), overrides=[override]),
        "backbone.name must be one without windows or stages for a picture of its attention",
    )


@pytest.fixture
def noise(store_path):  # noqa: F811
    """The store of noise, handed over as `fpt data pack` would have written it."""
    store = ImageStore(store_path)
    splits = {split: {name: len(rows) for name, rows in store.classes(split).items()} for split in store.splits}
    manifest = {"fingerprint": store.fingerprint, "splits": splits}
    store_path.with_name(f"{store_path.name}.json").write_text(json.dumps(manifest))
    return store_path


def test_show_draws_the_episode_that_is_asked_for_as_the_ledger_has_it(fpt, here, noise):
    """The picture's figures are those of a worker's row, and the file is a picture of as many images as are asked."""
    overrides = [f"dataset={{source: packed, path: {noise}}}"]
    options = ["--episode", "3", "--images", "query", "--json"]
    few = fpt("show", str(CONFIG), "--out", "few.png", "--most", "3", *options, overrides=overrides)
    many = fpt("show", str(CONFIG), "--out", "many.png", "--most", "9", *options, overrides=overrides)
    told = [json.loads(result.stdout.splitlines()[-1]) for result in (few, many)]
    assert [one["file"] for one in told] == ["few.png", "many.png"]
    with Image.open(here / "few.png") as three, Image.open(here / "many.png") as nine:
        assert three.height < nine.height

    run = plain_run(load(CONFIG, [*TINY, *overrides]))
    worker = Worker("worker-0", run, noise, str(here / "ledger"))
    (row,) = worker.solve(WorkOrder("order", {"hash": run}, (3,)), 1)
    assert told[0] == {**told[1], "file": "few.png"}
    assert (told[0]["episode"], told[0]["split"], told[0]["accuracy"]) == (3, "novel", row["accuracy"])
    right = sum(said == truth for said, truth in zip(told[0]["predictions"], told[0]["classes"], strict=True))
    assert right == row["correct"]
    assert told[0]["prompt_precision"] == pytest.approx(row["prompt_precision"])


@pytest.mark.parametrize("override", ["prompts.alpha=0", "solver.name=r2d2"])
def test_a_setting_without_prompts_is_drawn_without_them(fpt, here, noise, override):
    """As a winner may be: `fpt show best.yaml`."""
    overrides = [f"dataset={{source: packed, path: {noise}}}", override]
    result = fpt("show", str(CONFIG), "--out", "it.png", "--most", "2", "--json", overrides=overrides)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout.splitlines()[-1])
    assert told["prompt_precision"] is None
    assert "no prompts" in told["setting"] or "frozen features" in told["setting"]
    assert (here / "it.png").is_file()


def test_show_says_where_the_picture_is(fpt, here, noise):
    result = fpt("show", str(CONFIG), "--out", "it.png", overrides=[f"dataset={{source: packed, path: {noise}}}"])
    assert (result.exit_code, result.stdout.strip()) == (0, "it.png")
    assert (here / "it.png").is_file()
