"""Makes configuration.md from the models of a configuration: `PYTHONPATH=. .venv/bin/python docs/configuration.py`.

A test tells when the page is not what the models say any more.
"""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sweeps.schema.sweep import Sweep

PAGE = Path(__file__).with_name("configuration.md")
HEAD = """# Configuration

A configuration is a YAML file: sections with fields, as `sweeps/configs/glyphs.yaml` shows. What is left out has its
default; any field is overridden with `--set section.field=value`. A value out of bounds, and a field that there is not,
are refused in one sentence before anything starts.

This page is made from the models: `PYTHONPATH=. .venv/bin/python docs/configuration.py`.
"""


def page() -> str:
    """Returns the page, section by section."""
    parts, sections = [HEAD], [("", Sweep)]
    while sections:
        name, model = sections.pop(0)
        rows, inner = _rows(name, model)
        title = f"## `{name}`" if name else "## At the top"
        told = " ".join((model.__doc__ or "").split())
        if rows:
            head = ["| field | kind | default | bounds |", "|---|---|---|---|"]
            parts.append("\n".join([title, "", told, "", *head, *rows]) + "\n")
        sections = inner + sections
    return "\n".join(parts)


def _rows(section: str, model: type[BaseModel]) -> tuple[list[str], list[tuple[str, type[BaseModel]]]]:
    """Returns a line of the table for each field that holds values, and the sections within this one."""
    rows, inner = [], []
    for own, field in model.model_fields.items():
        name = field.alias or own
        path = f"{section}.{name}" if section else name
        within = _model_in(field.annotation)
        if within is not None:
            inner.append((path, within))
        else:
            told = [path, _kind(field.annotation), _default(field), _bounds(field)]
            rows.append(f"| `{told[0]}` | {' | '.join(told[1:])} |")
    return rows, inner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin in (Union, types.UnionType):
        return " or ".join("null" if one is type(None) else _kind(one) for one in inner)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return "names and values"
    return {int: "whole number", float: "number", str: "text", bool: "true or false"}.get(annotation, "see above")


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None or field.default is PydanticUndefined:
        return "see above" if field.default_factory is not None else "must be given"
    if isinstance(field.default, tuple):
        return f"`[{', '.join(map(str, field.default))}]`"
    value = field.default
    return f"`{'null' if value is None else str(value).lower() if isinstance(value, bool) else value}`"


def _bounds(field: FieldInfo) -> str:
    """Returns what a field's description tells, or that of what it holds a list of."""
    return field.description or next(_descriptions(field.annotation), "")


def _descriptions(annotation: Any) -> Iterator[str]:
    """Yields what the types within a type are described by."""
    for one in getattr(annotation, "__metadata__", ()):
        if isinstance(one, FieldInfo) and one.description:
            yield one.description
    for inner in get_args(annotation):
        yield from _descriptions(inner)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
