"""Names, and what packages may add to them."""

from importlib import import_module
from importlib.metadata import EntryPoint
from inspect import signature
from pathlib import Path

import pytest

from fpt import defaults, registry
from fpt.heads.closed_form import named_head
from fpt.prompts.variants import Variant, variant_named
from fpt.registry import ESTIMATED, HEADS, OF_SOLVERS, SOLVERS, Registry, SolverEntry, check_name, load, rows_of
from fpt.solvers import learner_named

OURS = SolverEntry("json:dumps", trained=True, frozen_features=True, steered=False, fields=frozenset({"lr"}))


def points(monkeypatch, *named):
    """A registry of two entries, beside what packages name `named`."""
    found = [EntryPoint(name, value, "group") for name, value in named]
    monkeypatch.setattr(registry, "entry_points", lambda group: found if group == "group" else pytest.fail(group))
    return Registry("group", {"b": "here", "a": "here too"}, lambda point: f"loaded {point.value}")


def test_what_packages_name_comes_after_what_is_here(monkeypatch):
    found = points(monkeypatch, ("d", "module:d"), ("c", "module:c"))
    assert list(found) == ["b", "a", "c", "d"]
    assert (len(found), found["b"], found["c"]) == (4, "here", "loaded module:c")
    assert ("d" in found, "e" in found) == (True, False)
    with pytest.raises(KeyError):
        found["e"]


def test_an_entry_is_not_loaded_before_it_is_read(monkeypatch):
    found = points(monkeypatch, ("c", "module:c"))
    found._of_package = lambda point: pytest.fail("loaded")
    assert "c" in found
    assert list(found) == ["b", "a", "c"]
    assert found["a"] == "here too"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ([("a", "module:own")], "has 'a', which comes with fpt"),
        ([("c", "module:one"), ("c", "other:one")], "has 'c', which is also an installed package's"),
    ],
)
def test_a_name_that_is_taken_is_refused(named, message, monkeypatch):
    found = points(monkeypatch, *named)
    with pytest.raises(ValueError, match=f"^entry points of group must have names .* taken but .* {message}$"):
        list(found)


def test_what_is_not_there_is_said():
    assert load("json:dumps")([1]) == "[1]"
    for where in ("no_such_module:one", "json:no_such_function", "json"):
        with pytest.raises(ValueError, match=f"^{where} must be the module and name of .* but cannot be loaded"):
            load(where)
    with pytest.raises(ValueError, match=r"^solver must be one of a, b but got 'c'$"):
        check_name("solver", "c", ("a", "b"))


def test_an_entry_point_that_is_no_solver_is_refused():
    said = "^solver own of an installed package"
    with pytest.raises(ValueError, match=f"{said} must be a SolverEntry but json:dumps is"):
        registry._of_package(EntryPoint("own", "json:dumps", "fpt.solvers"))
    with pytest.raises(ValueError, match=f"{said}: no_such:one must be the module and name"):
        registry._of_package(EntryPoint("own", "no_such:one", "fpt.solvers"))
    assert registry._of_package(EntryPoint("own", f"{__name__}:OURS", "fpt.solvers")) is OURS


def test_an_entry_that_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match=r"^fields must be among batch, .* but got rate, speed$"):
        SolverEntry("module:own", True, True, False, frozenset({"speed", "rate", "lr"}))
    with pytest.raises(ValueError, match=r"^steered must be false for a solver that reads frozen features alone"):
        SolverEntry("module:own", True, True, True)


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_is_where_it_should_be_and_reads_what_it_says(name):
    """Fields that not every trained solver reads stand in the file of those that do."""
    known, solver = SOLVERS[name], learner_named(name)
    assert solver.learn.__module__ == f"fpt.solvers.{name}"
    assert len(signature(solver).parameters) == 3
    assert bool(known.fields) == known.trained
    code = Path(str(import_module(solver.learn.__module__).__file__)).read_text()
    for field in ("rank", "tokens", "deep", "embeddings"):
        assert (f"training.{field}" in code) == (field in known.fields), field


def test_heads_and_variants_are_where_they_should_be():
    assert all(load(where).__name__ == name for name, where in HEADS.items())
    assert all(isinstance(variant_named(name), Variant) for name in ESTIMATED)
    assert signature(named_head).parameters["name"].annotation is str


def test_the_released_code_steers_all_rows_and_the_paper_those_of_patches():
    assert {name: rows_of(name, None) for name in registry.VARIANTS} == {
        "paper": "patches",
        "scaled": "patches",
        "contrast": "patches",
        "official": "all",
        "masks": "patches",
    }
    assert all(rows_of(variant, rows) == rows for variant in registry.VARIANTS for rows in registry.ROWS)


def test_defaults_are_names_that_there_are():
    assert (defaults.SOLVER in SOLVERS, defaults.HEAD in HEADS, defaults.VARIANT in ESTIMATED) == (True, True, True)
    assert (rows_of(defaults.VARIANT, defaults.ROWS) in registry.ROWS, defaults.HEADS in registry.STEERED_HEADS) == (
        True,
        True,
    )
    assert all(hasattr(defaults, field.upper()) for field in OF_SOLVERS)
