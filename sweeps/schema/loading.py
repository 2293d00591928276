"""A sweep's configuration is read here from a YAML file; what was typed replaces some of its fields."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.storage.masking import MASK
from sweeps.schema.sentences import LONGEST_VALUE, sentence_of
from sweeps.schema.shipped import file_of
from sweeps.schema.strict_yaml import MOST_BYTES, NotYamlError, parse, parse_bytes
from sweeps.schema.sweep import Sweep
from sweeps.schema.text_fields import text_of


def load(path: Path, overrides: list[str]) -> Sweep:
    """Reads a configuration as `values_of` does, and checks it. Raises ValueError in one sentence for anything wrong in
    it.
    """
    try:
        return Sweep.model_validate(values_of(path, overrides))
    except ValidationError as error:
        raise ValueError(sentence_of(error, Sweep)) from error


def values_of(path: Path, overrides: list[str]) -> dict[str, Any]:
    """Returns what is in a YAML file, or in the configuration of that name that comes with this program, with `a.b=c`
    overrides in it. Raises ValueError in one sentence for what cannot be read; it never tells what is in a file that is
    no configuration.
    """
    path = file_of(path)
    if not path.is_file():
        raise ValueError(f"CONFIG must be a YAML file but {str(path)!r} is none")
    try:
        with path.open("rb") as stream:
            values = parse_bytes(stream.read(MOST_BYTES + 1))
    except NotYamlError as error:
        said = str(error)
        if said.startswith("each field must be there once but "):
            raise ValueError(
                said.replace("each field must be there once", "CONFIG must have each field once")
            ) from None
        raise ValueError(f"CONFIG must be YAML but {path} is not: {said}") from None
    except OSError as error:
        raise ValueError(f"CONFIG must be a file that can be read but {path} cannot: {error.strerror}") from error
    _check_sections(path, values)
    for one in overrides:
        override(values, one)
    return dict(values)


def load_whole(path: Path, overrides: list[str]) -> Sweep:
    """Loads a configuration that is to be run. Raises ValueError as `load` does, and for one that fpt has written
    without a secret, which has to be said again.
    """
    wanted = load(path, overrides)
    for field, value in _texts(wanted.model_dump(by_alias=True), ""):
        if f"{MASK}@" in value or f"={MASK}" in value:
            raise ValueError(
                f"{field} must be whole but {value!r} has {MASK} where fpt has left a secret out; --set {field}=... "
                "gives it again"
            )
    return wanted


def _texts(value: Any, field: str) -> Iterator[tuple[str, str]]:
    """Yields all texts in a value, each with the field that holds it."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{field}.{name}" if field else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, field)


def _check_sections(path: Path, values: Any) -> None:
    """Raises ValueError where a file holds no field of a configuration, nor any that could have been meant for one."""
    known = [field.alias or name for name, field in Sweep.model_fields.items()]
    if not isinstance(values, dict):
        kind = "nothing" if values is None else "a list" if isinstance(values, list) else "text"
        raise ValueError(f"CONFIG must hold fields and values, like name: glyphs, but {path} holds {kind}")
    names = [str(name) for name in values]
    if names and not any(get_close_matches(name, known, 1, 0.6) for name in names):
        raise ValueError(
            f"CONFIG must hold fields of a sweep ({', '.join(known)}) but none of the {len(names)} in {path} is one"
        )


def override(values: dict[str, Any], said: str) -> None:
    """Replaces one of the values as `a.b=c` says. Raises ValueError for what is not like that."""
    field, equals, typed = said.partition("=")
    if not equals or not field:
        raise ValueError(f"--set must be like a.b=c but got {said!r}")
    *parents, last = field.split(".")
    for parent in parents:
        if values.get(parent) is None:
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise ValueError(f"--set {field} must name a field but {parent} holds {values!r}")
    text = text_of(Sweep, [*parents, last], typed)
    try:
        values[last] = parse(typed) if text is None else text
    except NotYamlError as error:
        shown = typed if len(typed) <= LONGEST_VALUE else f"{typed[:LONGEST_VALUE]}..."
        raise ValueError(f"--set {field} must hold YAML but got {shown!r}: {error}") from error
