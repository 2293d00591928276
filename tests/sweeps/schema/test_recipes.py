"""Configurations that are shipped for images that are not here."""

from pathlib import Path

import pytest

from pipeline.config import plain_run
from sweeps.schema.loading import load

CONFIGS = Path(__file__).parents[3] / "sweeps" / "configs"


@pytest.mark.parametrize(
    ("backbone", "dataset", "label", "lr", "tau", "alpha", "patches"),
    [
        ("dino", "cub", "full", 1e-5, 1, 3e-2, 14),
        ("dino", "pets", "full", 1e-5, 10, 1, 14),
        ("dino", "cub", "ssf", 5e-3, 1, 1e-1, 14),
        ("dino", "pets", "ssf", 5e-3, 1, 8e-2, 14),
        ("dino", "cub", "lora", 5e-3, 1, 5e-1, 14),
        ("dino", "pets", "lora", 5e-3, 1, 1e-1, 14),
        ("ibot", "cub", "full", 5e-5, 10, 3e-1, 7),
        ("ibot", "cub", "ssf", 5e-3, 20, 5e-1, 7),
        ("ibot", "cub", "lora", 5e-3, 10, 3e-1, 7),
    ],
)
def test_the_papers_commands(backbone, dataset, label, lr, tau, alpha, patches):
    sweep = load(CONFIGS / "paper.yaml", [])
    places = sweep.table.places(plain_run(sweep))
    assert len(places) == 12
    for shot in (1, 5):
        run = sweep.table.run(places[backbone, dataset], backbone, dataset, label, shot, True)
        assert (run.solver.lr, run.solver.epochs) == (lr, 5 if label == "full" else 10)
        assert (run.prompts.tau, run.prompts.alpha, run.prompts.patches) == (tau, alpha, patches)
        assert (run.prompts.variant, run.prompts.lam, run.solver.head) == ("official", 1, "metaoptnet")
        assert (run.episodes.way, run.episodes.shot, run.episodes.query) == (20, shot, 15)
        assert (run.dataset.source, run.dataset.resize, run.dataset.all_novel) == (dataset, "squash", True)
        without = sweep.table.run(places[backbone, dataset], backbone, dataset, label, shot, False)
        assert without.prompts.alpha == 0
    assert sweep.table.episodes.fine_tuned == 2000


def test_a_folder_of_ones_own_needs_its_path_alone(tmp_path):
    sweep = load(CONFIGS / "folder.yaml", [f"dataset.path={tmp_path}"])
    assert (sweep.dataset.source, sweep.episodes.way, sweep.episodes.shot) == ("folder", 5, 1)
    with pytest.raises(ValueError, match="path must say where the images of source folder are but is missing"):
        load(CONFIGS / "folder.yaml", [])
