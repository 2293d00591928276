import subprocess
import sys

import pytest

from pipeline.config import plain_run, with_hyper_parameters
from pipeline.data.store import ImageStore
from pipeline.identity import Inputs, configuration_hash, identity
from pipeline.storage.folder import Home
from sweeps.schema.identity import NOT_OF_A_SWEEP
from sweeps.schema.loading import load
from sweeps.tracking.fields import (
    compute_tags,
    cut,
    data_of,
    flat,
    hash_tag,
    hyper_parameters_of,
    parameters_of_sweep,
    parameters_of_trial,
    tags_of,
)
from tests.pipeline.conftest import CLASSES, IMAGES, store_path  # noqa: F401
from tests.sweeps.tiny import CONFIG, TINY

INPUTS = Inputs("images", "weights", "float32")
FIRST = {"patches": 4, "alpha": 7.0, "lr": 0.005}


def searched(values, *overrides):
    return with_hyper_parameters(plain_run(load(CONFIG, [*TINY, *overrides]), "validation"), values)


def test_sections_become_names():
    described = {"a": 1, "b": {"c": [2, 4], "d": {"e e": None, "f": {}}}, "g": {"x/y": 1}, "h": {"": 2}, 3: {4: 5}}
    assert flat(described) == {
        "a": 1,
        "b.c": [2, 4],
        "b.d.e e": None,
        "b.d.f": {},
        "g": {"x/y": 1},
        "h": {"": 2},
        "3.4": 5,
    }


def test_a_sweeps_parameters_identify_it():
    sweep = load(CONFIG, [*TINY, "home=elsewhere", "tracking_uri=http://host:1", "compute.workers=1"])
    told = parameters_of_sweep(sweep, INPUTS._asdict(), NOT_OF_A_SWEEP)
    assert not [name for name in told if name.split(".")[0] in ("home", "tracking_uri", "compute", "table", "device")]
    assert (told["search.space.lambda.low"], told["search.space.lr.log"]) == (0.03, True)
    assert told["search.first.paper defaults.alpha"] == 7
    assert (told["search.rungs"], told["search.split"], told["episodes.split"]) == ([2, 4], "validation", "novel")
    assert (told["solver.epochs"], told["dataset_fingerprint"], told["precision"]) == (2, "images", "float32")


def test_a_trials_parameters_are_all_that_its_result_follows_from():
    run = searched(FIRST)
    told = parameters_of_trial(run, FIRST, 1, 5, INPUTS)
    assert {name: told[name] for name in ("lambda", "alpha", "tau", "patches", "lr")} == {
        "lambda": 1.0,  # was not searched
        "alpha": 7.0,
        "tau": 1.0,
        "patches": 4,
        "lr": 0.005,
    }
    assert (told["prompts.alpha"], told["prompts.patches"], told["solver.lr"], told["solver.rank"]) == (
        7.0,
        4,
        0.005,
        4,
    )
    assert (told["generation"], told["search.seed"], told["episodes.seed"]) == (1, 5, 0)
    assert (told["episodes.split"], told["dataset.source"], told["backbone.name"]) == (
        "validation",
        "glyphs",
        "vit_micro_glyphs",
    )
    assert (told["dataset_fingerprint"], told["backbone_fingerprint"]) == ("images", "weights")
    assert "solver.tokens" not in told  # VPT's
    assert "prompts" not in told


def test_what_a_trial_does_not_use_is_not_told():
    none = {"alpha": 0.0, "lr": 0.01}
    told = parameters_of_trial(searched(none), none, 0, 0, INPUTS)
    assert (told["alpha"], told["lr"]) == (0.0, 0.01)
    assert not [name for name in told if name.startswith("prompts") or name in ("lambda", "tau", "patches")]
    frozen = {"name": "protonet"}
    told = parameters_of_trial(searched(frozen), frozen, 0, 0, INPUTS)
    assert [name for name in told if name.startswith("solver")] == ["solver.name"]
    assert "lr" not in told


def test_only_hyper_parameters_are_read_back():
    told = parameters_of_trial(searched(FIRST), FIRST, 1, 5, INPUTS)
    back = hyper_parameters_of({name: str(value) for name, value in told.items()})
    assert back == {"lambda": "1.0", "alpha": "7.0", "tau": "1.0", "patches": "4", "lr": "0.005", "generation": "1"}


def test_tags_to_filter_by():
    run = searched(FIRST)
    assert tags_of(run, "trial") == {
        "fpt.kind": "trial",
        "solver": "lora",
        "data": "glyphs",
        "backbone": "vit_micro_glyphs",
        "way": "3",
        "shot": "1",
    }
    assert hash_tag(run, INPUTS) == {"config_hash": configuration_hash(identity(run, INPUTS))}
    assert compute_tags(searched({}, "compute.workers=7"))["compute.workers"] == "7"


@pytest.mark.parametrize("length", [0, 9, 10, 11, 99])
def test_a_text_is_cut_to_what_may_be(length):
    text = "x" * length
    assert cut(text, 10) == (text if length <= 10 else "xxxxxx ...")


def test_each_split_is_a_data_set_of_the_packed_file(store_path, tmp_path):  # noqa: F811
    run, splits = searched({}), {"search": "validation", "final": "novel"}
    images = ImageStore(store_path)
    one, other = data_of(run, splits, store_path, Home(str(tmp_path)), images.fingerprint)
    assert (one.name, one.context, other.name, other.context) == (
        "glyphs validation",
        "search",
        "glyphs novel",
        "final",
    )
    assert one.digest == other.digest == images.fingerprint
    assert (one.uri, one.source_type) == (store_path.as_uri(), "local")
    assert one.profile == {
        "split": "validation",
        "split_images": CLASSES * IMAGES,
        "split_classes": CLASSES,
        "images": 2 * CLASSES * IMAGES,
        "splits": ["novel", "validation"],
        "masks": True,
        "height": 64,
        "width": 64,
    }


def test_a_store_that_is_a_nodes_copy_is_not_the_source(store_path, tmp_path):  # noqa: F811
    there = Home("memory://bucket/home")
    (own,) = data_of(searched({}), {"search": "novel"}, store_path, there, "digest")
    assert (own.uri, own.source_type) == ("memory://bucket/home/images", "memory")
    described = searched({}).model_dump(by_alias=True)
    run = searched({}).model_validate({**described, "dataset": {"source": "folder", "path": "s3://me:secret@host/x"}})
    (own,) = data_of(run, {"search": "novel"}, store_path, there, "digest")
    assert (own.uri, own.source_type) == ("s3://***@host/x", "s3")


def test_describing_needs_no_mlflow():
    code = "import sys, sweeps.tracking.fields, sweeps.tracking.connecting; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
