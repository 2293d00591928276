"""A finding as a file, from which a report can be drawn again."""

import json
from math import isfinite
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sweeps.verdict.finding import Finding

NAME = "finding.json"


def as_text(finding: Finding) -> str:
    """Returns all of a finding as JSON, with text for what is not finite, as the interval of a single episode is."""
    described = TypeAdapter(Finding).dump_python(finding, mode="json", by_alias=True)
    return json.dumps(_finite(described), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def finding_of(text: str | bytes) -> Finding:
    """Returns the finding that `as_text` has written. Raises ValueError, in a sentence, for any other text."""
    try:
        return TypeAdapter(Finding).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(
            f"{NAME} must be what this version of fpt writes but is not, at {place} ({first['msg']}); the same fpt "
            "sweep command writes it anew"
        ) from error


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_finite(held) for held in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value
