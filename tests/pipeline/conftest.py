from pathlib import Path

import numpy as np
import pytest

from pipeline.config import Dataset, Episodes, Prompts, Run, Solver
from pipeline.data.store import ImageStore, Sample, pack

CLASSES, IMAGES, SIDE = 6, 8, 64


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of the embedded backbone's size with square masks: 6 classes of 8 images in each of two splits."""
    random = np.random.default_rng(0)

    def samples():
        for split in ("validation", "novel"):
            for name in range(CLASSES):
                for _ in range(IMAGES):
                    mask = np.zeros((SIDE, SIDE), bool)
                    top, left = random.integers(0, SIDE - 16, 2)
                    mask[top : top + 16, left : left + 16] = True
                    image = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
                    # Classes can be told apart, so that accuracies are neither chance nor 1 throughout.
                    image[mask, name % 3] = 20 * name
                    yield Sample(split, f"{split} {name}", image, mask)

    return pack(samples(), tmp_path_factory.mktemp("images") / "noise.arrow")


@pytest.fixture(scope="session")
def store(store_path: Path) -> ImageStore:
    return ImageStore(store_path)


@pytest.fixture
def run() -> Run:
    """A configuration that takes a fraction of a second an episode."""
    return Run(
        dataset=Dataset(images_per_class=IMAGES),
        episodes=Episodes(split="novel", way=3, shot=1, query=3),
        solver=Solver(epochs=2, rank=2),
        prompts=Prompts(patches=4),
    )
