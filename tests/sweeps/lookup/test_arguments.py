"""Which configuration an argument of `fpt compare` names."""

import json
from pathlib import Path

import pytest
from scipy import stats

from pipeline.config import plain_run, with_hyper_parameters
from pipeline.identity import METHOD_VERSION, configuration_hash, identity
from pipeline.storage.ledger import Ledger
from sweeps.schema.loading import load
from sweeps.sweep import parameters
from sweeps.tracking.tracker import Tracker
from tests.sweeps.ledgers import FOUND, OURS, THEIRS, WITH, WITHOUT, answered, kept, refused, with_sets
from tests.sweeps.tiny import CONFIG

# Of two trials.
VALUES = (
    {"alpha": 0.25, "lambda": 2e-05, "tau": 0.7, "patches": 3, "lr": 0.02},
    {"alpha": 0.0, "lr": 0.004},
)

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")


def test_a_file_and_overrides_find_their_rows(compare, config):
    a, b = kept(WITH, OURS), kept(WITHOUT, THEIRS)
    found = json.loads(answered(compare(config, config, "--set-b", "prompts.alpha=0", "--json")))
    assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (a, b)
    found = json.loads(answered(compare(b, config, "--json")))
    assert (found["a"]["config_hash"], found["b"]["config_hash"]) == (b, a)


def test_a_sweeps_file_stands_for_its_run(compare):
    sweep = load(CONFIG, [])
    a = kept(sweep, OURS)
    b = kept(load(CONFIG, ["prompts.alpha=0"]), THEIRS)
    found = json.loads(answered(compare(str(CONFIG), b, "--json")))
    assert (found["a"]["config_hash"], found["common"]) == (a, 40)


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


def test_a_configuration_that_the_ledger_lacks_is_named(compare, config):
    kept(WITH, OURS)
    kept(WITHOUT, OURS, method=METHOD_VERSION - 1)
    refused(
        compare(config, config, "--set-b", "prompts.alpha=0"),
        f"B must be in the ledger of '{Path.cwd()}/runs' but lora · no prompts · lr 0.01, split novel, 3-way 1-shot, "
        "is not; fpt run computes a configuration",
    )


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


def test_a_home_without_a_ledger_is_refused(compare, config):
    refused(compare(config, config), "home must hold a ledger but 'runs' has none; fpt run and fpt sweep make one")
    refused(compare("abcd", "abcd", "--home", "x"), "home must hold a ledger but 'x' has none")
    assert [path.name for path in Path.cwd().iterdir()] == [config]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A home and in its MLflow a sweep of two trials, as now and as older versions recorded it: runs by version.

    Making a store takes seconds, so one serves all.
    """
    home, runs = tmp_path_factory.mktemp("home"), {}
    recorded = parameters(WITH, FOUND._asdict())
    versions = {
        "new": recorded,
        "older": {**recorded, "backbone.pretrained": "True"},
        "oldest": {field: value for field, value in recorded.items() if field != "precision"},
    }
    with pytest.MonkeyPatch.context() as patched:
        for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
            patched.setenv(name, "1")  # or the tracker sets it for all tests
        for version, of_sweep in versions.items():
            tracker = Tracker(f"sqlite:///{home}/mlflow.db", "tiny")
            tracker.start(f"sweep {version}", version, of_sweep, {"fpt.kind": "sweep"})
            for number, values in enumerate(VALUES):
                tracker.trial(f"0.{number}", "a setting", {**values, "generation": 0}, {"fpt.kind": "trial"})
            assert tracker.flush(60) == 0
            runs[version] = (tracker.run_id, tracker.children["0.0"], tracker.children["0.1"])
            tracker.close()
    for values, accuracies in zip(VALUES, (OURS, THEIRS), strict=True):
        for split, count in (("validation", 40), ("novel", 7)):
            kept(with_hyper_parameters(plain_run(WITH, split), values), accuracies[:count], home=home)
    return home, runs


@pytest.fixture
def typed(compare, store):
    return lambda *arguments: compare(*arguments, "--home", str(store[0]))


def test_a_trial_stands_for_the_episodes_it_was_searched_on(typed, store):
    _, a, b = store[1]["new"]
    found = json.loads(answered(typed(a, b, "--json")))
    for side, values in zip("ab", VALUES, strict=True):
        run = with_hyper_parameters(plain_run(WITH, "validation"), values)
        assert found[side]["config_hash"] == configuration_hash(identity(run, FOUND))
    assert found["common"] == 40
    assert found["p"] == pytest.approx(stats.ttest_rel(OURS, THEIRS).pvalue)


def test_a_trial_may_be_beside_a_hash_and_on_another_split(typed, store):
    _, a, _ = store[1]["new"]
    b = configuration_hash(identity(with_hyper_parameters(plain_run(WITH), VALUES[1]), FOUND))
    refused(typed(a, b), "A and B must draw the same episodes but differ in episodes.split (validation and novel)")
    assert json.loads(answered(typed(a, b, "--split", "novel", "--json")))["common"] == 7


def test_a_run_that_is_no_trials_is_refused(typed, store):
    sweep, trial, _ = store[1]["new"]
    refused(typed(sweep, trial), f"run {sweep} must be a trial's but is a sweep, which is no single configuration")
    refused(typed(trial, "0" * 32), f"run {'0' * 32} must be in sqlite:///{store[0]}/mlflow.db but is not")


def test_a_run_of_another_version_is_refused(typed, store):
    _, trial, _ = store[1]["new"]
    older, oldest = store[1]["older"][1], store[1]["oldest"][1]
    refused(
        typed(trial, older),
        f"B must be a trial that this version understands but {older} recorded backbone.pretrained otherwise",
    )
    refused(typed(oldest, trial), "A must be a trial of a sweep that recorded precision but that of")


def test_rows_of_several_versions_of_the_method_are_named(compare, store, tmp_path):
    _, trial, other = store[1]["new"]
    run = with_hyper_parameters(plain_run(WITH, "validation"), VALUES[0])
    versions = (METHOD_VERSION - 1, METHOD_VERSION)
    names = [kept(run, OURS, home=tmp_path / "home", method=version) for version in versions]
    (tmp_path / "home" / "mlflow.db").symlink_to(store[0] / "mlflow.db")
    said = refused(
        compare(trial, other, "--home", str(tmp_path / "home")),
        f"A must be one configuration but the ledger has the setting of {trial} in 2 versions of the method",
    )
    assert all(name in said for name in names)
    refused(compare(other, trial, "--home", str(tmp_path / "home")), "A must be in the ledger of")


def test_a_store_that_is_not_there_is_not_made(compare, store, here):
    kept(WITH, OURS)
    _, a, b = store[1]["new"]
    refused(compare(a, b), f"run {a} must be in MLflow's store but there is no {here}/runs/mlflow.db")
    assert [path.name for path in (here / "runs").iterdir()] == ["ledger"]


def test_a_files_store_is_used(compare, store, config):
    b = kept(with_hyper_parameters(plain_run(WITH, "validation"), VALUES[0]), OURS)
    kept(with_sets("episodes.split=validation"), THEIRS)
    typed = (store[1]["new"][1], config, "--split=validation", "--json")
    sets = f"--set-b=tracking_uri=sqlite:///{store[0]}/mlflow.db"
    assert json.loads(answered(compare(*typed, sets)))["a"]["config_hash"] == b


def test_a_store_that_does_not_answer_is_refused(compare, unreachable, monkeypatch):
    kept(WITH, OURS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unreachable)
    refused(compare("0" * 32, "1" * 32), f"tracking_uri must be one that MLflow can reach but '{unreachable}' failed: ")
