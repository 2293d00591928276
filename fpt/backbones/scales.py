"""Finds at which scales a transformer sees its patches: one scale, or one for each stage of a pyramid."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from math import isqrt
from typing import Any, NamedTuple

from fpt.backbones.structure import Layer


class Scales(NamedTuple):
    """Holds the scales of a transformer, finest first.

    `stages` are the indices of the layers of each scale. `target_shapes` are what one image's attention is trained
    towards at each scale: (patches,), or (windows, patches). How many tokens come before the patches is told for a
    pyramid by `stage_prefixes`, for a columnar transformer by `prefix`; `grid` (rows, columns) is the latter's too.
    """

    stages: list[list[int]]
    stage_prefixes: list[int]
    pyramid: bool
    prefix: int
    grid: tuple[int, int]
    target_shapes: list[tuple[int, ...]]


def scales_of(model: Any, layers: Sequence[Layer]) -> Scales:
    """Returns the scales of a timm model by its attention layers, lowest first.

    Raises ValueError for a model that becomes finer again.
    """
    stages = [list(indices) for _, indices in groupby(range(len(layers)), lambda i: layers[i].size)]
    ends = [layers[stage[-1]] for stage in stages]
    sizes = [end.windows * end.tokens for end in ends]
    if any(below < above for below, above in pairwise(sizes)):
        raise ValueError(
            f"backbone must only ever become coarser but {type(model).__name__} has stages of {sizes} tokens"
        )
    prefixes = [end.tokens - isqrt(end.tokens) ** 2 if end.windows == 1 else 0 for end in ends]
    if len(stages) > 1 or layers[-1].windows > 1:
        shapes: list[tuple[int, ...]] = [
            (end.windows, end.tokens - prefix) for end, prefix in zip(ends, prefixes, strict=True)
        ]
        return Scales(stages, prefixes, True, 0, (0, 0), shapes)
    prefix, grid = _tokens_of(model, layers[-1])
    return Scales(stages, prefixes, False, prefix, grid, [(grid[0] * grid[1],)])


def _tokens_of(model: Any, layer: Layer) -> tuple[int, tuple[int, int]]:
    """Returns how many prefix tokens a columnar model has, and its patch grid."""
    made = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if made is not None and made[0] * made[1] <= layer.tokens:
        return layer.tokens - made[0] * made[1], (int(made[0]), int(made[1]))
    side = isqrt(layer.tokens)
    return layer.tokens - side**2, (side, side)
