"""What can be known to be wrong before anything is packed, started or written."""

from collections.abc import Mapping

import numpy as np

from fpt.glyphs.characters import characters
from pipeline.config import Dataset, Episodes, Run
from pipeline.data.listed import class_sizes as sizes_of
from pipeline.data.listed import handed_over, listing_of, served_by_pictures
from pipeline.data.pictures import in_parts, parts_of_classes, small_in_a_part, too_few_pictures
from pipeline.data.sampler import part_of
from pipeline.limits import limits_of

GLYPH_SPLITS = ("validation", "novel")


def class_sizes(run: Run) -> Mapping[str, Mapping[str, int]]:
    """Returns the number of images of each class in each split of a run's data set. Raises ValueError for images that
    are not there.
    """
    dataset = run.dataset
    if dataset.source == "glyphs":
        return {split: dict.fromkeys(characters(split), dataset.images_per_class) for split in GLYPH_SPLITS}
    if dataset.source == "packed":
        packed = handed_over(dataset).manifest["splits"]
        _check_held_out(dataset, packed)
        kept = {split: {name: images for name, images in packed[split].items() if images} for split in sorted(packed)}
        return {split: classes for split, classes in kept.items() if classes}
    return sizes_of(listing_of(dataset))


def _named(episodes: Episodes) -> str:
    return f"split {episodes.split}" if episodes.part == "all" else f"split {episodes.split} ({episodes.part})"


def _check_held_out(dataset: Dataset, packed: Mapping[str, Mapping[str, int]]) -> None:
    """Raises ValueError where a packed file holds out something else than is said."""
    held_out = "pictures" if parts_of_classes(packed) else "classes"
    if dataset.hold_out != held_out:
        how = "holds other pictures of the same classes" if held_out == "pictures" else "holds other classes"
        way_on = "" if held_out == "pictures" else "; fpt data pack --hold-out pictures makes another"
        raise ValueError(
            f"dataset.hold_out must be {held_out} for {dataset.path}, each split of which {how}, "
            f"but got {dataset.hold_out!r}{way_on}"
        )


def _way_on(run: Run, splits: Mapping[str, Mapping[str, int]], small: Mapping[str, Mapping[str, int]]) -> str:
    """Returns how a data set that has too few classes may have enough, where that is known. `small` are the classes of
    which some split holds too few pictures.
    """
    if small:
        if run.dataset.small_classes == "refuse" or run.episodes.way > len(parts_of_classes(splits)):
            return ""  # with the small classes too there would be too few
        name, of_class = next(iter(small.items()))
        return f"; class {name!r} has {in_parts(of_class)}: more pictures or a smaller episodes.query will do"
    enough = served_by_pictures(run.dataset, splits, run.episodes.shot + run.episodes.query)
    if enough < run.episodes.way:
        return ""
    return f"; with dataset.hold_out: pictures all splits hold the same {enough} classes, and other pictures of them"


def check_run(run: Run, split_field: str = "episodes.split") -> None:
    """Raises ValueError, naming the field, for a run that its data set or backbone cannot serve."""
    splits, episodes = class_sizes(run), run.episodes
    if episodes.split not in splits:
        raise ValueError(f"{split_field} must be one of {', '.join(splits)} but got {episodes.split!r}")
    needed, parts = episodes.shot + episodes.query, parts_of_classes(splits)
    small_parts = small_in_a_part(parts, needed)
    # of a class that splits share, the part with the fewest pictures decides for all of them
    sizes = {name: min(of_class.values()) for name, of_class in parts.items()} or splits[episodes.split]
    everything = {name: np.arange(images) for name, images in sizes.items()}
    classes = {name: len(rows) for name, rows in part_of(everything, episodes.part).items()}
    small = [name for name, images in classes.items() if images < needed]
    kept = len(classes) - len(small) if run.dataset.small_classes == "leave_out" else len(classes)
    if episodes.way > kept:
        each = " in each split" if parts else ""
        raise ValueError(
            f"episodes.way must be at most {kept}, the classes of {_named(episodes)}"
            f"{f' with {needed} images{each}' if kept < len(classes) else ''}, but got {episodes.way}"
            f"{_way_on(run, splits, small_parts)}"
        )
    if small_parts and kept == len(classes):
        raise ValueError(too_few_pictures(small_parts, episodes.shot, episodes.query))
    if small and kept == len(classes):
        fewest = min(small, key=lambda name: classes[name])
        others = f" and {len(small) - 1} classes more" if len(small) > 1 else ""
        said = "which is dataset.images_per_class" if run.dataset.source == "glyphs" else f"as {fewest!r}{others} show"
        hint = "" if run.dataset.source == "glyphs" else "; dataset.small_classes: leave_out draws from the others"
        raise ValueError(
            f"episodes.shot + episodes.query must be at most {classes[fewest]}, {said}, "
            f"but got {episodes.shot} + {episodes.query}{hint}"
        )
    limits = limits_of(run)
    if run.prompts.alpha > 0 and run.prompts.patches > limits.patches:
        raise ValueError(
            f"prompts.patches must be at most {limits.patches}, the patches of {run.backbone.name}, "
            f"but got {run.prompts.patches}"
        )
    if run.solver.blocks > limits.depth:
        raise ValueError(
            f"solver.blocks must be at most {limits.depth}, the blocks of {run.backbone.name}, "
            f"but got {run.solver.blocks}"
        )
    if run.solver.embeddings and run.solver.blocks < limits.depth:
        raise ValueError(
            f"solver.blocks must be {limits.depth}, all blocks of {run.backbone.name}, where solver.embeddings is "
            f"true, but got {run.solver.blocks}"
        )
    if run.prompts.alpha > 0 and run.prompts.rows == "class" and not limits.has_class_token:
        raise ValueError(f"prompts.rows must be patches or all, as {run.backbone.name} has no [CLS], but got 'class'")
