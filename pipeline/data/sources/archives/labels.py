"""What class a picture is of, as files with many pictures say it: in words, numbers, bytes or sections of JSON."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

LABELS = ("label", "class", "class_name", "labels", "target", "category")
UNKNOWN = "Pictures without a class left out"
LONGEST = 200  # characters of a class's name
SHOWN = 60


def class_called(value: object, names: Sequence[str] | None, where: str, column: str) -> str | None:
    """Returns the class that a value stands for, None where it says that there is none (nothing, or the -1 of test sets
    on the Hub). Numbers stand for their place in `names`, where there are names.

    Raises ValueError, naming `column` and `where` it is, for a number without a name, a list, a section, and a text
    too long to be a name.
    """
    if isinstance(value, bytes):
        value = os.fsdecode(value)
    if value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        kind = "a list, one of more classes" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
        if not isinstance(value, bool):
            raise ValueError(f"{column} must name one class but holds {kind} in {where}{_another(column)}")
    if isinstance(value, int) and not isinstance(value, bool):
        if value == -1:
            return None
        if names is not None:
            if not 0 <= value < len(names):
                raise ValueError(f"{column} must be 0 to {len(names) - 1}, its names, but is {value} in {where}")
            return names[value]
    said = str(value).strip()
    if len(said) > LONGEST:
        raise ValueError(
            f"{column} must name a class but holds {said[:SHOWN]!r} ... with {len(said)} characters in {where}"
            f"{_another(column)}"
        )
    return said or None


def within(section: Mapping[str, Any], path: str) -> Any:
    """Returns what lies at a path like meta.species in sections of sections. A name that has the dots itself comes
    first. Raises KeyError where there is nothing.
    """
    if path in section:
        return section[path]
    first, mark, rest = path.partition(".")
    if not mark or not isinstance(section.get(first), Mapping):
        raise KeyError(path)
    return within(section[first], rest)


def paths_of(section: Mapping[str, Any], above: str = "") -> list[str]:
    """Returns the paths of all that sections within sections hold."""
    found = []
    for name, value in section.items():
        path = f"{above}{name}"
        found += paths_of(value, f"{path}.") if isinstance(value, Mapping) and value else [path]
    return found


def _another(column: str) -> str:
    return f"; --set dataset.label_column=NAME takes another than {column}"
