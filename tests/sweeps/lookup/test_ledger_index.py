"""A run is found in a ledger by what it is and by what workers found."""

import json
from pathlib import Path

from sweeps.schema.loading import load
from tests.sweeps.ledgers import OURS, THEIRS, WITH, WITHOUT, answered, kept, refused
from tests.sweeps.tiny import CONFIG


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
