"""A mistake in a configuration is said here in one sentence: the field, the value and what is allowed."""

from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from sweeps.schema.space import Range

LONGEST_VALUE = 300  # characters


def sentence_of(error: ValueError, model: type[BaseModel]) -> str:
    """Returns what a mistake says; one that pydantic found while it read `model` is put into one sentence."""
    return _first_mistake(error, model) if isinstance(error, ValidationError) else str(error)


def _first_mistake(error: ValidationError, model: type[BaseModel]) -> str:
    """Returns the first mistake: field, value, what is allowed; for an unknown field, the nearest that there is. An
    unknown section comes before all others: the file may be another one, whose values are nobody's business.
    """
    mistakes = error.errors()
    unknown = [one for one in mistakes if one["type"] == "extra_forbidden" and len(one["loc"]) == 1]
    first = (unknown or mistakes)[0]
    location = tuple(part for part in first["loc"] if not str(part).startswith("<"))  # kinds of a union
    field = ".".join(map(str, location))
    if first["type"] == "extra_forbidden":
        near = get_close_matches(str(location[-1]), _fields_beside(location, model), 1, 0.0)
        return f"{field} is not a field; did you mean {'.'.join([*map(str, location[:-1]), *near])}?"
    if first["type"] == "missing":
        return f"{field} must be given but is missing"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{field}: {message}" if field else message
    allowed = message[0].lower() + message[1:].replace("Input should be", "must be")
    allowed = allowed.replace("input should be", "must be")
    return f"{field} {allowed} but got {_shown(first['input'])}"


def _shown(value: Any) -> str:
    """Returns a value that was given, or its beginning: it may be as long as a file."""
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return "a number with thousands of digits"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _fields_beside(location: tuple[Any, ...], model: Any) -> list[str]:
    """Returns the names of the fields beside a location, which begins at `model`."""
    for part in location[:-1]:
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next((kind for kind in candidates if hasattr(kind, "model_fields")), Range)
    return [field.alias or name for name, field in model.model_fields.items()]
