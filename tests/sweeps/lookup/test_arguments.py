"""Which configuration an argument of `fpt compare` names."""

import json
from pathlib import Path

from pipeline.config import plain_run
from pipeline.identity import METHOD_VERSION, identity
from pipeline.storage.ledger import Ledger
from tests.sweeps.ledgers import FOUND, OURS, THEIRS, WITH, WITHOUT, answered, kept, refused, with_sets


def test_a_file_and_overrides_find_their_rows(compare, config):
    a, b = kept(WITH, OURS), kept(WITHOUT, THEIRS)
    found = json.loads(answered(compare(config, config, "--set-b", "prompts.alpha=0", "--json")))
    assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (a, b)
    found = json.loads(answered(compare(b, config, "--json")))
    assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (b, a)


def test_the_same_configuration_twice_is_said_to_be_that(compare, config):
    kept(WITHOUT, OURS)
    overrides = ("--set-a", "prompts.alpha=0", "--set-b", "prompts.alpha=0", "--set-b", "prompts.lambda=9")
    assert "p = 1: A and B are the same configuration" in answered(compare(config, config, *overrides))


def test_a_split_replaces_that_of_both(compare, config):
    a, other = kept(with_sets("episodes.split=validation"), OURS), kept(WITHOUT, THEIRS)
    b = kept(with_sets("episodes.split=validation", "prompts.alpha=0"), THEIRS)
    found = json.loads(answered(compare(config, other, "--split", "validation", "--json")))
    assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (a, b)
    refused(compare(a, b, "--split", "novel"), "A must be in the ledger of")
    refused(compare(b, a, "--split", "novel"), "B must be in the ledger of")


def test_on_a_split_that_was_searched_the_searchs_queries_do(compare, config):
    """A search asks more queries of each class than a verdict; which, a file or a hash of the verdict does not tell."""
    split = "episodes.split=validation"
    kept(WITHOUT, THEIRS)
    b = kept(WITH, OURS)
    a = kept(with_sets(split, "episodes.query_up_to=7"), OURS)
    other = kept(with_sets(split, "episodes.query_up_to=7", "prompts.alpha=0"), THEIRS)
    for typed in (config, b):
        found = json.loads(answered(compare(typed, other, "--split", "validation", "--json")))
        assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (a, other)
    kept(with_sets(split, "episodes.query_up_to=5"), THEIRS)
    refused(compare(config, other, "--split", "validation"), "A must be in the ledger of")
    exact = kept(with_sets(split), THEIRS)
    refused(compare(config, other, "--split", "validation"), "A and B must draw the same episodes but differ")
    assert exact in compare(config, exact, "--split", "validation", "--json").stdout


def test_a_configuration_that_the_ledger_lacks_is_named(compare, config):
    kept(WITH, OURS)
    kept(WITHOUT, OURS, method=METHOD_VERSION - 1)
    refused(
        compare(config, config, "--set-b", "prompts.alpha=0"),
        f"B must be in the ledger of '{Path.cwd()}/runs' but lora · no prompts · lr 0.01, split novel, 3-way 1-shot, "
        "is not; fpt run computes a configuration",
    )


def test_of_several_fingerprints_those_that_both_share_are_taken(compare, config):
    other = ("images", "other weights", "float32")
    kept(WITH, OURS)
    a, b = kept(WITH, OURS, other), kept(WITHOUT, THEIRS, other)
    found = json.loads(answered(compare(config, config, "--set-b", "prompts.alpha=0", "--json")))
    assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (a, b)


def test_of_several_fingerprints_that_both_share_those_with_most_episodes_are_taken(compare, config):
    other = ("images", "other weights", "float32")
    kept(WITH, OURS)
    kept(WITHOUT, THEIRS[:39])
    a, b = kept(WITH, OURS, other), kept(WITHOUT, THEIRS, other)
    typed = (config, config, "--set-b", "prompts.alpha=0")
    found = json.loads(answered(compare(*typed, "--json")))
    assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (a, b)
    kept(WITHOUT, THEIRS)
    refused(compare(*typed), f"A must be one configuration but the ledger has {config} as ")


def test_several_fingerprints_that_are_not_shared_are_named(compare, config):
    names = [kept(WITH, OURS), kept(WITH, OURS, ("images", "other weights", "float32"))]
    b = kept(WITHOUT, THEIRS, ("images", "a third", "float32"))
    said = refused(compare(b, config), f"B must be one configuration but the ledger has {config} as ")
    assert all(name in said for name in names)
    answered(compare(b, names[0]))


def test_what_the_ledger_knows_by_its_fingerprint_alone_is_not_guessed(compare, config):
    kept(WITH, OURS)
    kept(WITHOUT, OURS)
    for field, changed in (
        ("dataset", "dataset.distractors=5"),
        ("backbone.weights", "backbone.weights=false"),
    ):
        refused(
            compare(config, config, "--set-a=prompts.alpha=0", f"--set-b={changed}"),
            f"A and B differ in {field} but the ledger knows it by its fingerprint alone",
        )


def test_the_beginning_of_a_hash_is_enough(compare):
    a, b = kept(WITH, OURS), kept(WITHOUT, THEIRS)
    found = json.loads(answered(compare(a[:4], b[:8], "--json")))
    assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (a, b)


def test_a_beginning_of_several_hashes_is_refused(compare):
    a = kept(WITH, OURS)
    near = [a[:5] + digits for digits in ("0000000", "1111111")]
    for name in near:
        Ledger("runs/ledger").describe(name, identity(plain_run(WITH), FOUND))
    found = ", ".join(sorted([a, *near]))
    refused(compare(a, a[:4]), f"B must begin one configuration hash but {a[:4]} begins 3: {found}")


def test_arguments_that_name_nothing_are_refused(compare, config):
    a = kept(WITH, OURS)
    missing = "0000" if not a.startswith("0000") else "1111"
    refused(compare(a, missing), f"B must be in the ledger of '{Path.cwd()}/runs' but no configuration hash begins")
    for typed in ("abc", "best", "0" * 13, a.upper()):
        refused(
            compare(typed, a),
            "A must be a YAML file, a configuration hash (12 hexadecimal digits, or its first 4 at least) or an MLflow "
            f"run id (32) but got {typed!r}",
        )
    refused(compare(a, "nowhere.yaml"), "B: CONFIG must be a YAML file but 'nowhere.yaml' is none")
    refused(compare(config, a, "--set-a", "prompts.alpa=1"), "A: prompts.alpa is not a field; did you mean")
    refused(compare(config, a, "--set-b", "prompts.alpha=1"), f"--set-b must go with a YAML file but B is '{a}'")


def test_the_home_is_typed_or_the_files_or_the_default(compare, config, monkeypatch):
    for number, home in enumerate(("runs", "typed", "of the file", "of the environment")):
        kept(WITH, OURS[: 2 + number], home=home)
        kept(WITHOUT, THEIRS, home=home)
    typed = (config, config, "--set-b=prompts.alpha=0", "--json")

    def common(*options):
        return json.loads(answered(compare(*typed, *options)))["common"]

    assert (common(), common("--set-b=home=of the file"), common("--home", "typed", "--set-b=home=x")) == (2, 4, 3)
    monkeypatch.setenv("FPT_HOME", "of the environment")
    assert common() == 5
    refused(
        compare(*typed, "--set-a=home=x", "--set-b=home=y"),
        "home must be one for A and B but they name x and y; --home says which",
    )
