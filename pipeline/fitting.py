"""Whether episodes fit into what a data set holds, and with which changes they would."""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

import numpy as np

from pipeline.config import Episodes, Run
from pipeline.data.listed import divided_by_pictures
from pipeline.data.pictures import parts_of_classes
from pipeline.data.sampler import part_of

WAYS_NAMED = 2

# The number of images by split and class.
Splits = Mapping[str, Mapping[str, int]]


def drawn_from(splits: Splits, episodes: Episodes) -> dict[str, int]:
    """Returns the number of images of each class that episodes are drawn from. Of a class that splits share, the part
    with the fewest pictures decides for all of them.
    """
    parts = parts_of_classes(splits)
    sizes = {name: min(of_class.values()) for name, of_class in parts.items()} or splits.get(episodes.split, {})
    if episodes.part == "all":
        return dict(sizes)
    everything = {name: np.arange(images) for name, images in sizes.items()}
    return {name: len(rows) for name, rows in part_of(everything, episodes.part).items()}


def fits(run: Run, splits: Splits) -> bool:
    """Returns whether a run's episodes can be drawn from its split, and from those that a sweep needs beside it."""
    needed = run.episodes.shot + run.episodes.query
    for split in {run.episodes.split, *(split for split in ("validation", "novel") if split in splits)}:
        sizes = drawn_from(splits, run.episodes.model_copy(update={"split": split})).values()
        large = sum(images >= needed for images in sizes)
        if large < run.episodes.way or (large < len(sizes) and run.dataset.small_classes == "refuse"):
            return False
    return True


def most_images(splits: Splits, episodes: Episodes) -> int:
    """Returns how many images each of `way` classes has, of those that have the most."""
    sizes = sorted(drawn_from(splits, episodes).values(), reverse=True)
    return sizes[episodes.way - 1]


def set_aside(splits: Splits, episodes: Episodes) -> str:
    """Returns, in words, which classes episodes cannot have as they lie in other splits; nothing where splits share
    classes.
    """
    others = [split for split in splits if split != episodes.split]
    if episodes.part != "all" or not others or parts_of_classes(splits):
        return ""
    aside, total = sum(len(splits[split]) for split in others), sum(map(len, splits.values()))
    return f" ({aside} of all {total} classes are set aside for {' and '.join(others)})"


def ways_on(run: Run, splits: Splits) -> str:
    """Returns the changes, as they are typed, with which the episodes fit; nothing where none is known."""
    ways: list[dict[str, Any]] = []
    for changes in _changes(run, splits):
        if len(ways) < WAYS_NAMED and not any(set(changes) >= set(other) for other in ways):
            ways.append(changes)
    return f"; {', or '.join(_typed(changes) for changes in ways)} will do" if ways else ""


def way_from(split: str, run: Run, splits: Splits) -> str:
    """Returns the changes, as they are typed, with which a sweep searches on another split; nothing where none is
    known.
    """
    other = _changed(run, {"episodes.split": split})
    changes = {} if fits(other, splits) else next(_changes(other, splits), None)
    return "" if changes is None else f"; {_typed({'search.split': split, **changes})} will do"


def _typed(changes: Mapping[str, Any]) -> str:
    return " ".join(f"--set {name}={value}" for name, value in changes.items())


def _changes(run: Run, splits: Splits) -> Iterator[dict[str, Any]]:
    """Yields changes with which the episodes fit, those first that change what is to blame and nothing else."""
    pictures = divided_by_pictures(run.dataset, splits)
    held_out, left_out = {"dataset.hold_out": "pictures"}, {"dataset.small_classes": "leave_out"}
    as_it_is: list[tuple[dict[str, Any], Splits]] = [({}, splits), (left_out, splits)]
    other = [(held_out, pictures), ({**held_out, **left_out}, pictures)] if pictures else []
    few_classes = run.episodes.way > len(drawn_from(splits, run.episodes))
    for begun, into in [*other, *as_it_is] if few_classes else [*as_it_is, *other]:
        if fits(_changed(run, begun), into):
            yield begun
    way, shot, query = run.episodes.way, run.episodes.shot, run.episodes.query
    fewer = [("episodes.query", range(query - 1, 0, -1)), ("episodes.way", range(way - 1, 1, -1))]
    for field, values in reversed(fewer) if few_classes else fewer:
        for begun, into in [*as_it_is, *other]:
            found = ({**begun, field: value} for value in values)
            yield from islice((changes for changes in found if fits(_changed(run, changes), into)), 1)
    shots = sorted({shot, 1}, reverse=True)
    for begun, into in [*as_it_is, *other]:
        for ways, shots_each, queries in product(range(way, 1, -1), shots, range(query, 0, -1)):
            sizes = {"way": (way, ways), "shot": (shot, shots_each), "query": (query, queries)}
            changes = begun | {f"episodes.{name}": new for name, (old, new) in sizes.items() if new != old}
            if fits(_changed(run, changes), into):
                yield changes
                break


def _changed(run: Run, changes: Mapping[str, Any]) -> Run:
    sections: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        section, field = name.split(".")
        sections.setdefault(section, {})[field] = value
    return run.model_copy(
        update={section: getattr(run, section).model_copy(update=fields) for section, fields in sections.items()}
    )
