from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ValidationError

from pipeline.bounds import SEEDS, number, whole
from sweeps.schema.sweep import Sweep

UNBOUNDED = {"Range": {"low", "high"}}  # what they may be follows from what is searched


class Bounded(BaseModel):
    count: Annotated[int, whole("images", 1, 2000)] = 1
    seed: Annotated[int | None, whole("seed", 0, SEEDS)] = None
    rate: Annotated[float, number("rate", 1e6)] = 1.0
    share: Annotated[float | None, number("share", 0.5, 0)] = None


def test_a_description_tells_the_bounds():
    assert [field.description for field in Bounded.model_fields.values()] == [
        "images: 1 to 2,000",
        "seed: 0 to 2^63 - 2",
        "rate: above 0, at most 1,000,000",
        "share: 0 to 0.5",
    ]


@pytest.mark.parametrize(
    "values",
    [{"count": 0}, {"count": 2001}, {"seed": -1}, {"seed": SEEDS + 1}, {"rate": 0}, {"rate": 1.1e6}, {"share": 0.6}],
)
def test_what_lies_outside_is_refused(values):
    with pytest.raises(ValidationError):
        Bounded(**values)
    assert Bounded(count=2000, seed=SEEDS, rate=1e6, share=0.5)


def numbers_in(schema: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = [schema, *schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])]
    kinds += [schema["additionalProperties"]] if isinstance(schema.get("additionalProperties"), dict) else []
    return [kind for kind in kinds if kind.get("type") in ("integer", "number")]


def test_every_number_of_a_configuration_has_both_bounds():
    whole_schema = Sweep.model_json_schema()
    without, seen = [], 0
    for model, schema in {**whole_schema["$defs"], "Sweep": whole_schema}.items():
        for field, described in schema.get("properties", {}).items():
            if field in UNBOUNDED.get(model, ()) or field in ("first", "choices"):  # checked as what they are set to
                continue
            for kind in numbers_in(described):
                seen += 1
                if not {"minimum", "exclusiveMinimum"} & set(kind) or not {"maximum", "exclusiveMaximum"} & set(kind):
                    without.append((model, field))
    assert without == []
    assert seen > 35
