"""Scenes of four classes, and a run on them."""

import pytest

from fpt.glyphs.scenes import scene
from pipeline.backbones import BackboneName
from pipeline.config import Dataset, Episodes, Prompts, Run, Solver
from pipeline.data.store import Sample, pack

CLASSES = ("h", "a long name of a class", "$", "猫")


def packed(folder, with_masks):
    """Scenes of four classes, 6 of each."""
    return pack(
        (
            Sample("novel", name, one.image, one.mask if with_masks else None)
            for way, name in enumerate(CLASSES)
            for one in (scene("novel", way, i) for i in range(6))
        ),
        folder / "scenes.arrow",
    )


@pytest.fixture(scope="module")
def store_path(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("scenes"), True)


@pytest.fixture(scope="module")
def run():
    return Run(
        dataset=Dataset(images_per_class=6),
        backbone=BackboneName(precision="float32"),
        episodes=Episodes(way=3, shot=2, query=3),
        solver=Solver(epochs=4, rank=2, lr=0.03, head="r2d2", temperature=0.1, blocks=2),
        prompts=Prompts(patches=3, layers=2, rows="class"),
    )
