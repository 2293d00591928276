"""A solver and a source of another package, known by entry points alone, through every process of a command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fpt.glyphs.scenes import scene
from tests.sweeps.tiny import CONFIG

FPT = Path(sys.executable).with_name("fpt")
PLUGIN = '''
from fpt.registry import SolverEntry

FARTHEST = SolverEntry(
    "toy:farthest", trained=False, frozen_features=True, steered=False, fields=frozenset({"temperature"}), version=7
)


def farthest(backbone, stack, training):
    """The class whose mean is farthest away: worse than chance, which shows that it is this one that ran."""
    import torch

    from fpt.heads.closed_form import class_means
    from fpt.solvers import Solution

    means = class_means(stack.support_features, stack.labels, training.way)
    return Solution(torch.cdist(stack.query_features, means) / training.temperature, stack.query_attention)


def flat(root):
    """Files called CLASS-NUMBER.png in one folder."""
    from pipeline.data.sources.listing import Listed, assemble

    return assemble("flat", root, [Listed(path, path.name.partition("-")[0], "novel") for path in root.glob("*.png")])
'''
ENTRY_POINTS = """
[fpt.solvers]
farthest = toy:FARTHEST

[fpt.sources]
flat = toy:flat
"""
WAY, SHOT, QUERY, EPISODES = 4, 2, 3, 4


@pytest.fixture
def typed(tmp_path):
    """Types a command where the package is installed."""
    installed, photos = tmp_path / "installed", tmp_path / "photos"
    (installed / "toy-1.0.dist-info").mkdir(parents=True)
    (installed / "toy-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (installed / "toy-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    (installed / "toy.py").write_text(PLUGIN)
    photos.mkdir()
    for kind in range(WAY):
        for number in range(SHOT + QUERY):
            Image.fromarray(scene("novel", 50 * kind, number).image).save(photos / f"kind{kind}-{number}.png")
    path = os.pathsep.join([str(installed), os.getcwd(), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("RAY_ADDRESS", None)
    sets = [
        "name=toy",
        f"home={tmp_path / 'home'}",
        f"dataset={{source: flat, path: {photos}}}",
        f"episodes={{way: {WAY}, shot: {SHOT}, query: {QUERY}, count: {EPISODES}}}",
        "solver={name: farthest, temperature: 2, blocks: 2}",
        "compute.workers=1",
    ]

    def type_(command, *overrides):
        return subprocess.run(
            [FPT, command, CONFIG, "--json", *(f"--set={override}" for override in (*sets, *overrides))],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    return type_


def said(ran):
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_and_a_table_with_a_solver_and_a_source_of_another_package(typed, tmp_path):
    alone = said(typed("run"))
    assert (alone["episodes"], alone["accuracy"] < 1 / WAY) == (EPISODES, True)
    (described,) = (
        found
        for path in (tmp_path / "home" / "ledger").rglob("*.json")
        if (found := json.loads(path.read_text())).get("solver", {}).get("name") == "farthest"
    )
    assert described["solver"] == {"name": "farthest", "temperature": 2.0, "version": 7}
    table = said(
        typed(
            "table",
            f"table={{shots: [{SHOT}], episodes: {{closed_form: {EPISODES}, fine_tuned: 1}}}}",
            "table.solvers={farthest: {}, protonet: {}}",
        )
    )
    accuracies = {row["solver"]: row["accuracy"] for row in table["rows"]}
    assert accuracies["farthest"] == alone["accuracy"] < 1 / WAY < accuracies["protonet"]


def test_a_name_that_is_taken_is_refused_in_a_sentence(typed, tmp_path):
    points = tmp_path / "installed" / "toy-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text().replace("farthest =", "knn ="))
    ran = typed("run")
    assert ran.returncode == 2
    assert "entry points of fpt.solvers must have names that are not taken but toy has 'knn', which comes with fpt" in (
        ran.stderr
    )
    assert "Traceback" not in ran.stderr
