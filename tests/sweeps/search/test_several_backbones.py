"""Whole sweeps whose space holds backbones, as they are typed, with what they leave behind read by other means."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fpt.backbones.loading import load_backbone
from pipeline.storage.ledger import Ledger
from sweeps.schema.loading import load
from sweeps.search.backbones import FIRST, RUNGS
from tests.sweeps.whole import ended, files, queried, rows, started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@dataclass(frozen=True)
class Swept:
    home: Path
    said: dict
    overrides: tuple[str, ...]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of the embedded architecture: weights that nobody has trained, and the trained ones a little shaken."""
    folder = tmp_path_factory.mktemp("weights")
    trained = load_backbone("vit_micro_glyphs", weights=True).model.state_dict()
    generator = torch.Generator().manual_seed(0)
    shaken = {
        name: value * (1 + 0.02 * torch.randn(value.shape, generator=generator)) if value.is_floating_point() else value
        for name, value in trained.items()
    }
    untrained = load_backbone("vit_micro_glyphs").model.state_dict()
    for name, state in (("near", shaken), ("untrained", untrained)):
        save_file({key: value.contiguous() for key, value in state.items()}, folder / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="module")
def swept(weights, tmp_path_factory):
    """A sweep over the trained backbone, the shaken one and the untrained one."""
    home = tmp_path_factory.mktemp("backbones") / "home"
    named = {name: {"weights": f"{weights}/{name}.safetensors"} for name in ("near", "untrained")}
    overrides = (
        f"backbones={json.dumps(named)}",
        "search.space.backbone={choices: [vit_micro_glyphs, near, untrained]}",
        "search.trials=12",
    )
    return Swept(home, ended(started(home, *overrides)), overrides)


def of_backbones(home):
    """Of each configuration, by its hash, the fingerprint of its backbone and its solver."""
    described = {path.stem: json.loads(path.read_text()) for path in (home / "ledger" / "configurations").iterdir()}
    return {name: (of["backbone"]["fingerprint"], of["solver"]["name"]) for name, of in described.items()}


def test_the_untrained_backbone_loses_the_frozen_race_and_nothing_is_fine_tuned_on_it(swept):
    told = swept.said["backbones"]
    assert [label for label, one in told.items() if one["stays"]] == ["vit_micro_glyphs", "near"]
    assert told["untrained"]["difference"] < -0.3
    assert abs(told["near"]["difference"] or told["vit_micro_glyphs"]["difference"] or 0.0) < 0.05

    # By the ledger: three backbones did frozen episodes that nothing else saw, two did all else.
    known = of_backbones(swept.home)
    raced = [row for row in rows(swept.home) if row["episode"] >= FIRST]
    others = [row for row in rows(swept.home) if row["episode"] < FIRST]
    assert {known[row["config_hash"]][1] for row in raced} == {"knn", "ridge", "svm", "protonet", "r2d2", "metaoptnet"}
    assert len({known[row["config_hash"]][0] for row in raced}) == 3
    assert len({known[row["config_hash"]][0] for row in others}) == 2
    assert all(row["episode"] < FIRST + RUNGS[-1] for row in raced)

    # Both that are left were searched, and MLflow tells of each trial on which it was.
    searched = {trial["param_backbone"] for trial in swept.said["trials"]}
    assert searched == {"vit_micro_glyphs", "near"}
    labels, found = (
        dict(queried(swept.home, f"select run_uuid, value from params where key = '{key}'"))
        for key in ("backbone", "backbone_fingerprint")
    )
    assert len(labels) == len(swept.said["trials"])
    of_label = {label: {found[run] for run in labels if labels[run] == label} for label in searched}
    assert sorted(map(len, of_label.values())) == [1, 1]
    assert set.union(*of_label.values()) == {known[row["config_hash"]][0] for row in others}


def test_the_report_the_story_and_mlflow_say_which_were_left_out(swept):
    (folder,) = (swept.home / "sweeps").iterdir()
    report = (folder / "report.md").read_text()
    assert "Frozen classifiers of 3 backbones raced on validation episodes that nothing else sees: " in report
    assert "Settings were searched on vit_micro_glyphs, near." in report
    assert "Settings were searched on vit_micro_glyphs, near." in (folder / "report.html").read_text()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    (event,) = [one for one in events if one["event"] == "backbones raced"]
    assert (event["searched"], event["left_out"]) == (["vit_micro_glyphs", "near"], ["untrained"])
    assert event["problems"] == sum(row["episode"] >= FIRST for row in rows(swept.home))
    tags = dict(queried(swept.home, "select key, value from tags where key like 'backbone%' and value like '%,%'"))
    assert tags == {"backbone": "vit_micro_glyphs, near"}
    assert queried(swept.home, "select value from tags where key = 'backbones.left_out'") == [("untrained",)]

    # best.yaml is the winner on its own backbone, by its fields.
    best = load(folder / "best.yaml", [])
    label = swept.said["best"]["backbone"]
    assert swept.said["about"]["backbone"] == label
    assert ("near" in str(best.backbone.weights)) == (label == "near")
    assert best.backbones == {}
    assert load(folder / "sweep.yaml", []).search.space["backbone"].choices == ("vit_micro_glyphs", "near", "untrained")


def test_the_same_command_computes_nothing_and_finds_the_same(swept):
    before = files(swept.home)
    again = ended(started(swept.home, *swept.overrides))
    assert files(swept.home) == before
    ours, theirs = ({name: one[name] for name in one if name not in ("times", "mlflow")} for one in (again, swept.said))
    assert ours == theirs


def test_one_worker_finds_the_same_as_two(swept, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "images").symlink_to(swept.home / "images")
    alone = ended(started(home, *swept.overrides, "compute.workers=1"))
    assert rows(home) == rows(swept.home)
    assert (alone["best"], alone["final"]) == (swept.said["best"], swept.said["final"])


def test_a_backbone_of_another_size_is_searched_beside(swept, weights, tmp_path):
    """Where nothing is raced, all are searched: here one with other patches, on the same scenes."""
    small = "backbones={small: {name: vit_tiny_patch16_224, image_size: 64, weights: false}}"
    home = tmp_path / "home"
    home.mkdir()
    (home / "images").symlink_to(swept.home / "images")
    both = "search.space.backbone={choices: [vit_micro_glyphs, small]}"
    said = ended(started(home, small, both, "search.frozen_race=false", "search.trials=12"))
    assert {trial["param_backbone"] for trial in said["trials"]} == {"vit_micro_glyphs", "small"}
    assert said["backbones"] == {
        label: {
            "stays": True,
            **dict.fromkeys(("classifier", "accuracy", "ci95", "difference", "difference_ci95")),
        }
        for label in ("vit_micro_glyphs", "small")
    }
    assert not any(row["episode"] >= FIRST for row in Ledger(str(home / "ledger")).read().to_pylist())
