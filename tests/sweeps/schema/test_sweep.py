import pytest
import yaml
from pydantic import ValidationError

from pipeline.config import plain_run
from sweeps.schema.loading import load
from sweeps.schema.sweep import Search, searched_run
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
    assert (sweep.search.split, sweep.search.seed) == (written["search"]["split"], written["search"]["seed"])


@pytest.mark.parametrize("values", ["{alpha: 1, rank: 2}", "{rank: 2}"])
def test_a_first_setting_may_only_name_what_is_searched(values):
    with pytest.raises(ValueError, match="space"):
        load(CONFIG, [*TINY, f"search.first.mine={values}"])


def test_a_search_needs_a_space():
    with pytest.raises(ValidationError, match="space"):
        Search()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"problems": 100, "trials": 10}, "problems must stand alone, without trials, which says as much"),
        ({"problems": 100, "minutes": 5}, "problems must stand alone, without minutes, which says as much"),
        ({"trials": 10, "minutes": 5}, "minutes must stand alone, without trials, which says as much"),
        ({"rungs": [4, 2]}, r"rungs must rise but got \[4, 2\]"),
    ],
)
def test_what_a_search_takes_is_said_once(given, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Search(space={"tau": {"low": 0.1, "high": 0.5}}, **given)


def test_only_patches_have_shares():
    with pytest.raises(ValueError, match=r"space\.tau\.share must be false, as only patches have shares, but is true"):
        Search(space={"tau": {"low": 0.1, "high": 0.5, "share": True}})


@pytest.mark.parametrize(("variant", "searched"), [("contrast", True), ("scaled", False), ("official", False)])
def test_the_weight_of_contrast_is_searched_where_prompts_read_it(variant, searched):
    sweep = load(CONFIG, [f"prompts.variant={variant}"])
    assert ("contrast" in sweep.search.space) == searched
    assert ("contrast" in sweep.search.first["paper defaults"]) == searched


@pytest.mark.parametrize(("given", "up_to"), [(None, None), (2, None), (3, None), (4, 4), (15, 15)])
def test_a_search_asks_more_queries_than_a_verdict_or_as_many(given, up_to):
    sweep = load(CONFIG, [*TINY, f"search.query={'null' if given is None else given}"])
    run = searched_run(sweep, sweep.search)
    assert run == plain_run(sweep, "validation").model_copy(update={"episodes": run.episodes})
    assert run.episodes == sweep.episodes.model_copy(update={"split": "validation", "query_up_to": up_to})
    more = sweep.model_copy(update={"episodes": sweep.episodes.model_copy(update={"query_up_to": 20})})
    assert searched_run(more, more.search).episodes.query_up_to == 20
    assert ("query" in sweep.search.model_dump()) == (given is not None)
