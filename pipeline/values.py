"""What no field of a configuration may hold, whatever its kind: a truth for a number, half a character for text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fpt.paths import whole_path

TRUTHS = {True: "true", False: "false"}


def check_values(fields: Mapping[str, FieldInfo], values: Any) -> None:
    """Raises ValueError, naming the field, for true or false where numbers are meant, which would count as 1 or 0, and
    for text with a byte that is no UTF-8, unless it is a path: no file, store or page takes it.
    """
    if not isinstance(values, Mapping):
        return
    for own, field in fields.items():
        name = field.alias or own
        if name not in values or _holds(field.annotation, BaseModel):  # sections look at what is theirs
            continue
        for one in _inside(values[name]):
            if isinstance(one, bool) and not _holds(field.annotation, bool, Any):
                raise ValueError(f"{name} must be a number but got {TRUTHS[one]}")
            is_path = any(getattr(told, "func", None) is whole_path for told in _told(field))
            if isinstance(one, str) and not is_path and any(0xD800 <= ord(letter) <= 0xDFFF for letter in one):
                raise ValueError(f"{name} must be text in UTF-8 but got {one!r}")


def _inside(value: Any) -> Iterator[Any]:
    """Yields what a value holds, keys included, or the value itself."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from _inside(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for inner in value:
            yield from _inside(inner)
    else:
        yield value


def _holds(annotation: Any, *kinds: Any) -> bool:
    """Returns whether a type has one of these kinds in it."""
    if any(annotation is kind for kind in kinds):
        return True
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return any(isinstance(kind, type) and issubclass(annotation, kind) for kind in kinds)
    return any(_holds(part, *kinds) or isinstance(part, bool) for part in get_args(annotation))


def _told(field: FieldInfo) -> Iterator[Any]:
    """Yields what is told of a field's type, in each part of it."""
    yield from field.metadata
    pending = [field.annotation]
    while pending:
        part = pending.pop()
        yield from getattr(part, "__metadata__", ())
        pending += get_args(part) if not isinstance(part, type) or get_origin(part) else ()
