"""Which fields take what is typed as it is."""

import pytest

from sweeps.schema.sweep import Sweep
from sweeps.schema.text_fields import text_of

TEXT = ["name", "home", "tracking_uri", "dataset.path", "dataset.source", "dataset.resize", "backbone.weights"]
TEXT += ["backbone.name", "episodes.split", "search.split", "search.stop", "solver.name", "prompts.order"]
TEXT += ["table.datasets.cub.path", "table.backbones.dino.weights"]
OTHERS = ["dataset", "dataset.shares", "solver.lr", "prompts.lambda", "search.space.lambda", "search.first.mine.lr"]
OTHERS += ["compute.workers", "backbone.mean", "no.such.field", "name.below", "table.datasets.cub", "search.rungs"]


@pytest.mark.parametrize("field", TEXT)
@pytest.mark.parametrize("typed", ["2024", "on", "photos #2", "@x", "[", "~"])
def test_text_is_as_it_was_typed(field, typed):
    assert text_of(Sweep, field.split("."), typed) == typed


@pytest.mark.parametrize("field", OTHERS)
def test_other_fields_are_not_text(field):
    assert text_of(Sweep, field.split("."), "2024") is None


@pytest.mark.parametrize(
    ("field", "typed"),
    [("tracking_uri", "null"), ("dataset.path", ""), ("backbone.weights", "true"), ("prompts.rows", "null")],
)
def test_other_values_of_a_field_are_not_text(field, typed):
    assert text_of(Sweep, field.split("."), typed) is None


def test_null_is_text_where_nothing_may_be_null():
    assert text_of(Sweep, ["name"], "null") == "null"
