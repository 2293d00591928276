"""What can be known to be wrong before anything is packed, started or written."""

from collections.abc import Mapping

from fpt.glyphs.characters import characters
from pipeline.config import Run
from pipeline.data.listed import class_sizes as sizes_of
from pipeline.data.listed import handed_over, listing_of
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
        kept = {split: {name: images for name, images in packed[split].items() if images} for split in sorted(packed)}
        return {split: classes for split, classes in kept.items() if classes}
    return sizes_of(listing_of(dataset))


def check_run(run: Run, split_field: str = "episodes.split") -> None:
    """Raises ValueError, naming the field, for a run that its data set or backbone cannot serve."""
    splits, episodes = class_sizes(run), run.episodes
    if episodes.split not in splits:
        raise ValueError(f"{split_field} must be one of {', '.join(splits)} but got {episodes.split!r}")
    classes, needed = splits[episodes.split], episodes.shot + episodes.query
    small = [name for name, images in classes.items() if images < needed]
    kept = len(classes) - len(small) if run.dataset.small_classes == "leave_out" else len(classes)
    if episodes.way > kept:
        raise ValueError(
            f"episodes.way must be at most {kept}, the classes of split {episodes.split}"
            f"{f' with {needed} images' if kept < len(classes) else ''}, but got {episodes.way}"
        )
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
