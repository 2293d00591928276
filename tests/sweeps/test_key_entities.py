"""`fpt run` on small trees whose boxes or masks say where the key entity is: what it says of where prompts fall."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from sweeps import cli

pytestmark = pytest.mark.slow  # each run starts Ray

WIDTH, HEIGHT, SIDE, PATCH, CLASSES, IMAGES = 80, 64, 64, 8, 3, 4


def images(folder: Path, names: list[str]) -> None:
    random = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(folder / name, quality=95)


def birds(root: Path, box: str) -> None:
    """Like CUB: the same box in every image."""
    classes = [f"{i + 1:03d}.Bird_{i}" for i in range(CLASSES)]
    names = [f"{name}/{name[4:]}_{i}.jpg" for name in classes for i in range(IMAGES)]
    images(root / "images", names)
    (root / "classes.txt").write_text("".join(f"{i + 1} {name}\n" for i, name in enumerate(classes)))
    (root / "images.txt").write_text("".join(f"{i + 1} {name}\n" for i, name in enumerate(names)))
    labels = "".join(f"{i + 1} {i // IMAGES + 1}\n" for i in range(len(names)))
    (root / "image_class_labels.txt").write_text(labels)
    (root / "bounding_boxes.txt").write_text("".join(f"{i + 1} {box}\n" for i in range(len(names))))


def pets(root: Path, values: np.ndarray) -> None:
    """Like Pets: the same trimap with every image."""
    names = [f"Breed_{'abc'[k]}_{i}" for k in range(CLASSES) for i in range(IMAGES)]
    images(root / "images", [f"{name}.jpg" for name in names])
    (root / "annotations/trimaps").mkdir(parents=True)
    (root / "annotations/list.txt").write_text("".join(f"{name} 1 1 1\n" for name in names))
    for name in names:
        Image.fromarray(values).save(root / "annotations/trimaps" / f"{name}.png")


def ran(tmp_path: Path, **dataset) -> dict:
    config = {
        "dataset": {"all_novel": True, **dataset},
        "home": str(tmp_path / "home"),
        "episodes": {"way": 2, "shot": 2, "query": 2, "count": 3},
        "solver": {"epochs": 1, "rank": 2},
        "prompts": {"alpha": 1, "patches": 5},
        "compute": {"workers": 1},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    result = CliRunner().invoke(cli.app, ["run", str(path), "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_a_trimap_and_what_it_leaves_share_the_prompts(tmp_path, here):
    """The left half of what is kept (pixels 8 to 72 of 80), 1 and 3 in turn, and then all else: patches are on one
    side or the other, so that the two shares make 1.
    """
    left = np.full((HEIGHT, WIDTH), 2, np.uint8)
    left[:, 8:40] = 1
    left[::2, 8:40] = 3
    pets(tmp_path / "left", left)
    pets(tmp_path / "right", np.where(left == 2, 1, 2).astype(np.uint8))
    one, other = (ran(tmp_path, source="pets", path=str(tmp_path / side)) for side in ("left", "right"))
    assert one["prompt_chance"] == other["prompt_chance"] == 0.5
    assert one["prompt_precision"] + other["prompt_precision"] == pytest.approx(1, abs=1e-6)
    assert one["attention_on_key_before"] + other["attention_on_key_before"] == pytest.approx(1, abs=1e-5)
    assert one["attention_on_key_after"] + other["attention_on_key_after"] == pytest.approx(1, abs=1e-5)
    assert one["accuracy"] == other["accuracy"]


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_a_box_goes_where_the_image_goes(tmp_path, here, resize):
    """By hand: the share of patches that a box from (30, 10) of 20 x 13 pixels fills to 1/16, the chance of each."""
    birds(tmp_path / "birds", "30.0 10.0 20.0 13.0")
    found = ran(tmp_path, source="cub", path=str(tmp_path / "birds"), resize=resize)
    wide, high = (int(1.15 * SIDE),) * 2 if resize == "squash" else (WIDTH * SIDE // HEIGHT, SIDE)
    filled = []
    for first, last, length, resized in ((30, 50, WIDTH, wide), (10, 23, HEIGHT, high)):
        before = round((resized - SIDE) / 2)
        inside = [k for k in range(SIDE) if first <= (k + before + 0.5) * length / resized < last]
        assert len(inside) == pytest.approx((last - first) * resized / length, abs=1)
        filled.append(np.bincount([k // PATCH for k in inside], minlength=SIDE // PATCH))
    key = np.outer(*filled) >= PATCH**2 / 16
    assert found["prompt_chance"] == pytest.approx(key.mean())
    assert 0 <= found["prompt_precision"] <= 1
    assert 0 < found["attention_on_key_before"] < 1


def test_a_box_of_the_whole_image_holds_every_prompt(tmp_path, here):
    birds(tmp_path / "birds", f"0.0 0.0 {WIDTH}.0 {HEIGHT}.0")
    found = ran(tmp_path, source="cub", path=str(tmp_path / "birds"))
    assert found["prompt_precision"] == found["prompt_chance"] == 1
    assert found["attention_on_key_before"] == pytest.approx(1, abs=1e-6)
