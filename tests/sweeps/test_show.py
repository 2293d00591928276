"""What a picture of an episode needs, and which episode is drawn."""

import json
from pathlib import Path

import pytest

from tests.sweeps.refusals import refused
from tests.sweeps.tiny import CONFIG


@pytest.mark.parametrize(
    ("arguments", "override", "sentence"),
    [
        ([], "prompts.alpha=0", "solver.name must be one that takes prompts (full, lora, ssf, vpt)"),
        (
            [],
            "solver.name=r2d2",
            "solver.name must be one that takes prompts (full, lora, ssf, vpt)",
        ),
        (["--out", "a.jpg"], "prompts.alpha=1", "--out must be a PNG file but got 'a.jpg'"),
    ],
)
def test_a_picture_needs_prompts_and_a_place(fpt, arguments, override, sentence):
    refused(fpt("show", str(CONFIG), *arguments, overrides=[override]), sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
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


def test_show_draws_the_episode_that_is_asked_for(fpt, monkeypatch):
    asked = []
    monkeypatch.setattr("sweeps.show.packed_images", lambda run, home: "packed")
    monkeypatch.setattr("sweeps.show.on_this_node", lambda packed: f"{packed} here")
    monkeypatch.setattr("sweeps.show.solved_episode", lambda *these: asked.append(these[1:]) or "solved")
    monkeypatch.setattr("sweeps.show.draw_solved", lambda *these: asked.append(these) or these[1])
    monkeypatch.setattr("sweeps.show.as_json", lambda solved, path: {"file": str(path), "accuracy": 0.5})
    result = fpt("show", str(CONFIG), "--episode", "3", "--out", "here/it.png")
    assert (result.exit_code, result.stdout.strip()) == (0, "here/it.png")
    assert asked == [("packed here", 3), ("solved", Path("here/it.png"), "map", "both", 8)]
    options = ["--attention", "cover", "--images", "query", "--most", "20", "--json"]
    result = fpt("show", str(CONFIG), "--out", "it.png", *options)
    assert json.loads(result.stdout.splitlines()[-1]) == {"file": "it.png", "accuracy": 0.5}
    assert asked[2:] == [("packed here", 0), ("solved", Path("it.png"), "cover", "query", 20)]
