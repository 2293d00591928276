"""What can be known to be wrong before anything is packed, started or written."""

from collections.abc import Mapping

from fpt.glyphs.characters import characters
from fpt.glyphs.scenes import SIDE
from pipeline.config import Dataset, Episodes, Run
from pipeline.data.listed import class_sizes as sizes_of
from pipeline.data.listed import handed_over, listing_of
from pipeline.data.pictures import parts_of_classes, small_in_a_part, too_few_pictures
from pipeline.data.store import ImageStore
from pipeline.fitting import Splits, drawn_from, most_images, set_aside, way_from, ways_on
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


def _side(dataset: Dataset) -> int | None:
    """Returns the side in pixels of images that are of one size; None where they are packed as a backbone takes them,
    or a packed file does not tell.
    """
    if dataset.source == "glyphs":
        return SIDE
    size = handed_over(dataset).manifest.get("size") if dataset.source == "packed" else None
    return size if isinstance(size, int) else None


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


def check_episodes(run: Run, splits: Splits, split_field: str = "episodes.split") -> None:
    """Raises ValueError, naming the field that is to blame and what will do, for episodes that cannot be drawn from
    what the splits hold.
    """
    episodes = run.episodes
    if episodes.split not in splits:
        from_base = split_field == "search.split" and "base" in splits
        way_on = way_from("base", run, splits) if from_base else ""
        raise ValueError(f"{split_field} must be one of {', '.join(splits)} but got {episodes.split!r}{way_on}")
    if said := _misfit(run, splits):
        raise ValueError(said if run.dataset.source == "glyphs" else f"{said}{ways_on(run, splits)}")


def _misfit(run: Run, splits: Splits) -> str | None:
    """Returns why episodes cannot be drawn, None where they can be."""
    episodes = run.episodes
    way, shot, query, where = episodes.way, episodes.shot, episodes.query, _named(episodes)
    parts, classes = parts_of_classes(splits), drawn_from(splits, episodes)
    small = [name for name, images in classes.items() if images < shot + query]
    if way > len(classes):
        aside = "" if run.dataset.source == "glyphs" else set_aside(splits, episodes)
        if len(classes) < 2:
            return f"dataset.path must give {where} 2 classes at least but gives it {len(classes)}{aside}"
        return f"episodes.way must be at most {len(classes)}, the classes of {where}{aside}, but got {way}"
    if run.dataset.small_classes == "leave_out":
        if way <= len(classes) - len(small):
            return None
        most, each = most_images(splits, episodes), " in each split" if parts else ""
        why = f"as {way} classes of {where} have {most} images and more{each}"
        if most > shot:
            return f"episodes.query must be at most {most - shot} beside {shot} for support, {why}, but got {query}"
        return f"episodes.shot + episodes.query must be at most {most}, {why}, but got {shot} + {query}"
    if small_parts := small_in_a_part(parts, shot + query):
        return too_few_pictures(small_parts, shot, query)
    if small:
        fewest = min(small, key=lambda name: classes[name])
        others = f" and {len(small) - 1} classes more" if len(small) > 1 else ""
        said = "which is dataset.images_per_class" if run.dataset.source == "glyphs" else f"as {fewest!r}{others} show"
        return f"episodes.shot + episodes.query must be at most {classes[fewest]}, {said}, but got {shot} + {query}"
    return None


def check_packed(run: Run, store: ImageStore, split_field: str = "episodes.split") -> None:
    """Raises ValueError where episodes cannot be drawn from what was really packed: broken files, copies and leaks are
    left out of it, which only packing finds.
    """
    splits = {split: {name: len(rows) for name, rows in store.classes(split).items()} for split in sorted(store.splits)}
    try:
        check_episodes(run, splits, split_field)
    except ValueError as error:
        raise ValueError(f"{error} (as packed: what was left out, and why, {store.path}.json tells)") from error


def check_run(run: Run, split_field: str = "episodes.split") -> None:
    """Raises ValueError, naming the field, for a run that its data set or backbone cannot serve."""
    check_episodes(run, class_sizes(run), split_field)
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
    side = _side(run.dataset)
    if side not in (None, limits.image_size):
        of = "scenes" if run.dataset.source == "glyphs" else run.dataset.path
        raise ValueError(
            f"backbone.image_size must be {side}, the side of {of}, but {run.backbone.name} takes "
            f"{limits.image_size}; many models can be given image_size: {side}"
        )
