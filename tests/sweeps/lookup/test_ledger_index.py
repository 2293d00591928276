"""A run is found in a ledger by what it is and by what workers found."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.config import plain_run, with_hyper_parameters
from pipeline.data.packed import packed_images
from pipeline.storage.folder import Home
from sweeps.schema.loading import load
from tests.sweeps.ledgers import FOUND, OURS, THEIRS, WITH, WITHOUT, answered, kept, refused
from tests.sweeps.tiny import CONFIG

FOLDER = CONFIG.with_name("folder.yaml")


def test_a_sweeps_file_stands_for_its_run(compare):
    sweep = load(CONFIG, [])
    a = kept(sweep, OURS)
    b = kept(load(CONFIG, ["prompts.alpha=0"]), THEIRS)
    found = json.loads(answered(compare(str(CONFIG), b, "--json")))
    assert (found["a"]["config_hash"], found["common"]) == (a, 40)


def test_a_precision_that_a_file_asks_for_is_meant(compare, config):
    a, b = kept(WITH, OURS), kept(WITH, THEIRS, ("images", "weights", "bfloat16"))
    found = json.loads(answered(compare(config, config, "--set-b", "backbone.precision=bfloat16", "--json")))
    assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (a, b)
    said = refused(
        compare(config, config, "--set-a=backbone.precision=auto", "--set-b=backbone.precision=bfloat16"),
        f"A must be one configuration but the ledger has {config} as ",
    )
    assert f"{a} (data set images, weights weights, float32)" in said
    assert f"{b} (data set images, weights weights, bfloat16)" in said


def test_packed_images_tell_which_data_set_a_fingerprint_is_of(compare, config):
    a, b = kept(WITH, OURS), kept(WITHOUT, OURS)
    other = kept(WITHOUT, OURS, ("other images", "weights", "float32"))
    Path("runs/images").mkdir()
    for fingerprint, distractors in (("images", 2), ("other images", 5)):
        dataset = {"source": "glyphs", "images_per_class": 8, "distractors": distractors, "version": 1}
        described = {"fingerprint": fingerprint, "dataset": dataset}
        Path(f"runs/images/{fingerprint}.arrow.json").write_text(json.dumps(described))
    found = json.loads(answered(compare(config, config, "--set-b=prompts.alpha=0", "--json")))
    assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (a, b)
    assert f"({other})" in answered(compare(other, config, "--set-b=prompts.alpha=0", "--set-b=dataset.distractors=5"))
    refused(compare(a, config, "--set-b=dataset.distractors=3"), "B must be in the ledger of")


def test_a_home_without_a_ledger_is_refused(compare, config):
    refused(compare(config, config), "home must hold a ledger but 'runs' has none; fpt run and fpt sweep make one")
    refused(compare("abcd", "abcd", "--home", "x"), "home must hold a ledger but 'x' has none")
    assert [path.name for path in Path.cwd().iterdir()] == [config]


@pytest.fixture
def photos(here):
    """A folder of pictures, 8 of each of 6 classes."""
    random = np.random.default_rng(0)
    for name in "abcdef":
        (here / "photos" / name).mkdir(parents=True)
        for i in range(8):
            pixels = random.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(here / "photos" / name / f"{i}.png")
    return "photos"


def of_folder(*overrides):
    """The shipped configuration of a folder of one's own, for a backbone and classes that are here."""
    small = ["dataset.path=photos", "backbone.name=vit_micro_glyphs", "episodes.way=3", "solver.blocks=2"]
    return load(FOLDER, [*small, *overrides])


def packed(sweep):
    """Packs the images of a sweep into its home, and returns what identifies its rows there."""
    return FOUND._replace(dataset_fingerprint=packed_images(plain_run(sweep), Home("runs")).fingerprint)


def written(sweep, name, **changed):
    """Writes the run of a sweep as a sweep writes its best.yaml, with other fields of the data set."""
    described = plain_run(sweep).model_dump(by_alias=True, mode="json")
    described["dataset"] |= changed
    Path(name).write_text(yaml.safe_dump(described))
    return name


def hashes(result):
    found = json.loads(answered(result))
    return found["a"]["config_hash"], found["b"]["config_hash"]


def test_the_shipped_configuration_of_a_folder_finds_its_rows(compare, photos):
    found = packed(of_folder())
    a, b = kept(of_folder(), OURS, found), kept(of_folder("prompts.alpha=0"), THEIRS, found)
    others = packed(of_folder("dataset.resize=squash"))
    kept(of_folder(), THEIRS, others)
    kept(of_folder("prompts.alpha=0"), OURS, others)
    names = ["dataset.path=photos", "backbone.name=vit_micro_glyphs", "episodes.way=3", "solver.blocks=2"]
    sets = [f"--set-{side}={override}" for side in "ab" for override in names]
    assert hashes(compare(str(FOLDER), str(FOLDER), *sets, "--set-b=prompts.alpha=0", "--json")) == (a, b)


def test_a_configuration_that_a_sweep_wrote_finds_its_rows(compare, photos):
    found = packed(of_folder())
    a, b = kept(of_folder(), OURS, found), kept(of_folder("prompts.alpha=0"), THEIRS, found)
    best = written(of_folder(), "best.yaml")
    assert hashes(compare(best, best, "--set-b=prompts.alpha=0", "--json")) == (a, b)
    assert hashes(compare(best, b, "--json")) == (a, b)


UNREAD = {
    "folder": {"small_classes": "refuse", "images_per_class": 7, "distractors": 0},
    "all novel": {"shares": {"novel": 1.0}, "split_seed": 5, "small_classes": "refuse"},
    "glyphs": {
        "resize": "squash",
        "shares": {"novel": 1.0},
        "split_seed": 5,
        "all_novel": True,
        "small_classes": "leave_out",
    },
}


@pytest.mark.parametrize("kind", UNREAD)
def test_a_field_that_packing_does_not_read_tells_no_data_sets_apart(compare, photos, kind):
    sweep = {"folder": of_folder(), "all novel": of_folder("dataset.all_novel=true"), "glyphs": WITH}[kind]
    found = packed(sweep)
    a = kept(sweep, OURS, found)
    b = kept(with_hyper_parameters(plain_run(sweep), {"alpha": 0}), THEIRS, found)
    same = written(sweep, "same.yaml")
    for field, value in UNREAD[kind].items():
        other = written(sweep, f"{field}.yaml", **{field: value})
        assert hashes(compare(same, other, "--set-b=prompts.alpha=0", "--json")) == (a, b), field
        assert hashes(compare(other, b, "--json")) == (a, b), field


READ = {
    "resize": "squash",
    "shares": {"novel": 1.0},
    "split_seed": 5,
    "hold_out": "pictures",
    "all_novel": True,
}


@pytest.mark.parametrize("field", READ)
def test_a_field_that_packing_reads_tells_data_sets_apart(compare, photos, field):
    a = kept(of_folder(), OURS, packed(of_folder()))
    refused(compare(a, written(of_folder(), "other.yaml", **{field: READ[field]})), "B must be in the ledger of")


def test_a_folder_is_the_same_however_its_path_is_spelled(compare, photos, here):
    found = packed(of_folder())
    a, b = kept(of_folder(), OURS, found), kept(of_folder("prompts.alpha=0"), THEIRS, found)
    plain = written(of_folder(), "plain.yaml")
    for spelled in ("photos/", "./photos", str(here / "photos")):
        other = written(of_folder(), "other.yaml", path=spelled)
        assert hashes(compare(plain, other, "--set-b=prompts.alpha=0", "--json")) == (a, b)


def test_a_packed_file_tells_its_fingerprint_itself(compare, photos, here):
    first, second = packed(of_folder()), packed(of_folder("dataset.resize=squash"))
    (here / "elsewhere").mkdir()
    of_packed = {}
    for file in Path("runs/images").glob("*.json"):
        named = json.loads(file.read_text())["fingerprint"]
        for name in (file.name, file.name.removesuffix(".json")):
            shutil.move(Path("runs/images") / name, here / "elsewhere" / name)
        path = f"elsewhere/{file.name.removesuffix('.json')}"
        of_packed[named] = written(of_folder(), f"{named[:4]}.yaml", source="packed", path=path)
    for found in (first, second):
        a, b = kept(of_folder(), OURS, found), kept(of_folder("prompts.alpha=0"), THEIRS, found)
        config = of_packed[found.dataset_fingerprint]
        assert hashes(compare(config, config, "--set-b=prompts.alpha=0", "--json")) == (a, b)
