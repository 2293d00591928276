"""What can be known to be wrong before anything is packed, started or written."""

from collections.abc import Mapping

from fpt.backbones import load_backbone
from fpt.glyphs.characters import characters
from pipeline.config import Run

GLYPH_SPLITS = ("validation", "novel")


def split_sizes(run: Run) -> Mapping[str, int]:
    """Classes in each split of a run's data set."""
    return {split: len(characters(split)) for split in GLYPH_SPLITS}


def check_run(run: Run, split_field: str = "episodes.split") -> None:
    """Raises ValueError, naming the field, for a run that its data set or backbone cannot serve."""
    sizes, split = split_sizes(run), run.episodes.split
    if split not in sizes:
        raise ValueError(f"{split_field} must be one of {', '.join(sizes)} but got {split!r}")
    episodes, available = run.episodes, run.dataset.images_per_class
    if episodes.way > sizes[split]:
        raise ValueError(
            f"episodes.way must be at most {sizes[split]}, the classes of split {split}, but got {episodes.way}"
        )
    if episodes.shot + episodes.query > available:
        raise ValueError(
            f"episodes.shot + episodes.query must be at most {available}, which is dataset.images_per_class, "
            f"but got {episodes.shot} + {episodes.query}"
        )
    backbone = load_backbone(run.backbone.name, pretrained=False, device="cpu")
    if run.prompts.patches > backbone.patches:
        raise ValueError(
            f"prompts.patches must be at most {backbone.patches}, the patches of {run.backbone.name}, "
            f"but got {run.prompts.patches}"
        )
    if run.solver.blocks > backbone.depth:
        raise ValueError(
            f"solver.blocks must be at most {backbone.depth}, the blocks of {run.backbone.name}, "
            f"but got {run.solver.blocks}"
        )
