"""Evidence that is gathered for some images at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from torch import Tensor


def filled(parts: Iterable[Sequence[Any]], count: int) -> list[Any]:
    """Returns the evidence of `count` images at every scale, from that of some images each, which are taken in as they
    come: beside the whole there is never more than one part.
    """
    whole: list[dict[str, Tensor | None]] = []
    kinds: list[type] = []
    done = 0
    for part in parts:
        if not done and _images(part[0]) == count:
            return list(part)
        whole = whole or [_empty(of_scale, count) for of_scale in part]
        kinds = kinds or [type(of_scale) for of_scale in part]
        some = slice(done, done + _images(part[0]))
        for of_scale, room in zip(part, whole, strict=True):
            for name, tensor in room.items():
                if tensor is not None:
                    tensor[some] = getattr(of_scale, name)
        done = some.stop
        del part, of_scale
    return [kind(**room) for kind, room in zip(kinds, whole, strict=True)]


def _images(evidence: Any) -> int:
    return len(getattr(evidence, fields(evidence)[0].name))


def _empty(evidence: Any, count: int) -> dict[str, Tensor | None]:
    values = {field.name: getattr(evidence, field.name) for field in fields(evidence)}
    return {name: None if value is None else value.new_empty(count, *value.shape[1:]) for name, value in values.items()}
