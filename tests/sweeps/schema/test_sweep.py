import math
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from sweeps.schema.space import Range
from sweeps.schema.sweep import Search, Sweep, load
from tests.sweeps.tiny import CONFIG, TINY


def test_the_shipped_configuration_is_what_its_file_says():
    sweep = load(CONFIG, [])
    written = yaml.safe_load(CONFIG.read_text())
    read = sweep.model_dump(by_alias=True, mode="json")
    for section in ("dataset", "backbone", "episodes", "solver", "prompts", "final"):
        for field, value in written[section].items():
            assert read[section][field] == value, (section, field)
    assert set(sweep.search.space) == set(written["search"]["space"])
    assert sweep.search.first == written["search"]["first"]
    assert sweep.search.rungs == tuple(written["search"]["rungs"])


def test_overrides_replace_fields_at_any_depth():
    sweep = load(
        CONFIG,
        [
            *TINY,
            "prompts.lambda=2.5",
            "solver.lr=1e-3",
            "search.space.tau.high=9",
            "search.space.lambda={low: 1, high: 2}",
            "search.first.mine={alpha: 3, lr: 0.01}",
            "search.first.paper defaults.alpha=5",
            "tracking_uri=http://host:5000",
            "name=2x2",
            "final.masks=false",
        ],
    )
    assert (sweep.episodes.way, sweep.dataset.images_per_class) == (3, 8)
    assert sweep.search.rungs == (2, 4)
    assert (sweep.prompts.lam, sweep.solver.lr) == (2.5, 0.001)
    assert sweep.search.space["tau"] == Range(low=0.3, high=9, log=True)
    assert sweep.search.space["lambda"] == Range(low=1, high=2)
    assert sweep.search.first["mine"] == {"alpha": 3, "lr": 0.01}
    assert sweep.search.first["paper defaults"]["alpha"] == 5
    assert (sweep.tracking_uri, sweep.name, sweep.final.masks) == ("http://host:5000", "2x2", False)
    assert sweep.solver.rank == 4


def test_the_last_of_two_overrides_counts():
    assert load(CONFIG, ["solver.rank=2", "solver.rank=3"]).solver.rank == 3


def test_an_override_may_name_a_section_that_the_file_lacks(tmp_path: Path):
    path = tmp_path / "short.yaml"
    path.write_text("name: short\n")
    assert load(path, ["compute.workers=3"]) == Sweep(name="short", compute={"workers": 3})


MISTAKES = [
    ("prompts.alpa=1", "prompts.alpa is not a field; did you mean prompts.alpha?"),
    ("prompts.lamda=1", "prompts.lamda is not a field; did you mean prompts.lambda?"),
    ("prompts.lambda_=1", "prompts.lambda_ is not a field; did you mean prompts.lambda?"),
    ("solvr.lr=1", "solvr is not a field; did you mean solver?"),
    ("search.trails=1", "search.trails is not a field; did you mean search.trials?"),
    ("search.space.tau.lo=1", "search.space.tau.lo is not a field; did you mean search.space.tau.low?"),
    ("prompts.tau=0", "prompts.tau must be greater than 0 but got 0"),
    ("episodes.way=1", "episodes.way must be greater than or equal to 2 but got 1"),
    ("episodes.shot=two", "episodes.shot must be a valid integer, unable to parse string as an integer but got 'two'"),
    ("prompts.lambda=.nan", "prompts.lambda must be a finite number but got nan"),
    ("prompts.variant=best", "prompts.variant must be one of paper, scaled, official, masks but got 'best'"),
    ("prompts.layers=3", "prompts.layers must be at most 2, which is solver.blocks, but got 3"),
    ("search.keep=1", "search.keep must be less than 1 but got 1"),
    ("search.rungs=[4, 2]", "search: rungs must rise but got [4, 2]"),
    ("search.rungs=[]", "search: rungs must rise but got []"),
    ("search.rungs=[2, 2]", "search: rungs must rise but got [2, 2]"),
    ("search.rungs=[0, 2]", "search.rungs.0 must be greater than or equal to 1 but got 0"),
    ("search.space.tau.high=0.3", "search.space.tau: low must be below high, 0.3, but got 0.3"),
    ("search.space.tau.low=0", "search.space.tau: low must be above 0 on a log scale but got 0"),
    ("search.space.alpha={low: -1, high: 2}", ".*alpha must be greater than or equal to 0 but got -1.0"),
    ("search.first.paper defaults.tau=0", ".*tau must be greater than 0 but got 0"),
    ("search.space.warmth={low: 1, high: 2}", "warmth is not a field of prompts or solver; did you mean .*"),
    ("name.first=1", "--set name.first must name a field but name holds 'tiny'"),
    ("name", "--set must be like a.b=c but got 'name'"),
    ("=1", "--set must be like a.b=c but got '=1'"),
]


@pytest.mark.parametrize(("override", "sentence"), MISTAKES, ids=[override for override, _ in MISTAKES])
def test_a_mistake_is_said_in_one_sentence(override, sentence):
    pattern = re.escape(sentence).replace(re.escape(".*"), ".*")
    with pytest.raises(ValueError, match=rf"^{pattern}\Z") as caught:
        load(CONFIG, [*TINY, override])
    assert not isinstance(caught.value, ValidationError)


def test_a_value_that_is_no_yaml_is_a_mistake_too():
    with pytest.raises(ValueError, match="name"):
        load(CONFIG, [*TINY, "name=["])


def test_a_mistake_in_a_first_setting_is_found_there():
    with pytest.raises(ValueError, match=r"search\.first\.paper defaults"):
        load(CONFIG, [*TINY, "search.first.paper defaults.tau=0"])


def test_an_unknown_hyper_parameter_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean .*lambda\?"):
        load(CONFIG, [*TINY, "search.space.lamda={low: 1, high: 2}"])


@pytest.mark.parametrize("values", ["{alpha: 1, rank: 2}", "{rank: 2}"])
def test_a_first_setting_may_only_name_what_is_searched(values):
    with pytest.raises(ValueError, match="space"):
        load(CONFIG, [*TINY, f"search.first.mine={values}"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "CONFIG must be a YAML file but '.*' is none"),
        ("", "CONFIG must hold fields and values but .* holds None"),
        ("- 1\n- 2\n", r"CONFIG must hold fields and values but .* holds \[1, 2\]"),
        ("name: [a\n", "CONFIG must be YAML but .* is not: [^\n]*"),
    ],
)
def test_a_file_that_is_none_is_said_to_be_so(tmp_path: Path, content, sentence):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        load(path, [])


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(ValueError, match="CONFIG must be a YAML file"):
        load(tmp_path, [])


def test_the_ends_of_a_range():
    assert Range(low=2, high=16, integer=True).ends() == (2, 16)
    assert all(isinstance(end, int) for end in Range(low=2, high=16, integer=True).ends())
    assert Range(low=0.5, high=2).ends() == (0.5, 2.0)


def test_a_range_takes_only_numbers():
    for values in ({"low": 0, "high": math.inf}, {"low": math.nan, "high": 1}, {"low": 1}):
        with pytest.raises(ValidationError):
            Range(**values)


def test_a_search_needs_a_space():
    with pytest.raises(ValidationError, match="space"):
        Search()
