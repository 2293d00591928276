"""Which fields of a configuration are text: what is typed for those is taken as it is."""

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from pipeline.backbones import BackboneName
from pipeline.config import Dataset

# Sections of a table that hold fields of a run's section, below a label.
BELOW_LABELS = {"table.datasets": Dataset, "table.backbones": BackboneName}


def text_of(model: type[BaseModel], field: Sequence[str], typed: str) -> str | None:
    """Returns what was typed for a field where that is text: as it is. None where the field is no text, or where what
    was typed is another of its values: `null` of a field that may be null, `true` of one that may be true.
    """
    kinds = _kinds(_annotation(model, field))
    if str not in kinds:
        return None
    if NoneType in kinds and typed in ("", "null"):
        return None
    return None if bool in kinds and typed in ("true", "false") else typed


def _annotation(model: Any, field: Sequence[str]) -> Any:
    """Returns the type of a field by its path, None where there is no such field."""
    own = BELOW_LABELS.get(".".join(field[:2]))
    if own is not None and len(field) > 3:
        model, field = own, field[3:]
    for place, part in enumerate(field):
        sections = [kind for kind in _kinds(model) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if len(sections) != 1:
            return None
        known = {info.alias or name: info.annotation for name, info in sections[0].model_fields.items()}
        if part not in known:
            return None
        if place == len(field) - 1:
            return known[part]
        model = known[part]
    return None


def _kinds(annotation: Any) -> set[Any]:
    """Returns the plain types that a type allows; those of the values where it lists values."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {kind for part in get_args(annotation) for kind in _kinds(part)}
    if get_origin(annotation) is Literal:
        return {type(value) for value in get_args(annotation)}
    return {annotation} if isinstance(annotation, type) and get_origin(annotation) is None else set()
