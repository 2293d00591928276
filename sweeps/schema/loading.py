"""A sweep's configuration is read here from a YAML file; what was typed replaces some of its fields."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sweeps.schema.sentences import sentence_of
from sweeps.schema.sweep import Sweep

# A number of thousands of digits and a day that no calendar has are ValueErrors of Python's, not of YAML's.
MISREAD = (yaml.YAMLError, ValueError, RecursionError)


def load(path: Path, overrides: list[str]) -> Sweep:
    """Reads a YAML file and applies `a.b=c` overrides. Raises ValueError in one sentence for anything wrong in it."""
    if not path.is_file():
        raise ValueError(f"CONFIG must be a YAML file but {str(path)!r} is none")
    try:
        values = yaml.safe_load(path.read_text())
    except MISREAD as error:
        raise ValueError(f"CONFIG must be YAML but {path} is not: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(values, dict):
        raise ValueError(f"CONFIG must hold fields and values but {path} holds {values!r}")
    for override in overrides:
        _override(values, override)
    try:
        return Sweep.model_validate(values)
    except ValidationError as error:
        raise ValueError(sentence_of(error, Sweep)) from error


def _override(values: dict[str, Any], override: str) -> None:
    field, equals, value = override.partition("=")
    if not equals or not field:
        raise ValueError(f"--set must be like a.b=c but got {override!r}")
    *parents, last = field.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {field} must name a field but {parent} holds {values!r}")
    try:
        values[last] = yaml.safe_load(value)
    except MISREAD as error:
        shown = value if len(value) <= 300 else f"{value[:300]} ..."
        raise ValueError(f"--set {field} must hold YAML but got {shown!r}") from error
