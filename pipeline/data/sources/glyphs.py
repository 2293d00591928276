"""The embedded source, GlyphScenes: it yields samples for the image store."""

import os
from collections.abc import Iterator
from functools import partial

from fpt.glyphs.characters import characters
from fpt.glyphs.scenes import scene
from pipeline.data.processes import workers
from pipeline.data.store import Sample


def glyph_scenes(images_per_class: int, distractors: int) -> Iterator[Sample]:
    """Yields the scenes of GlyphScenes' validation and novel classes, drawn on all cores, in class order."""
    classes = [(split, i) for split in ("validation", "novel") for i in range(len(characters(split)))]
    draw = partial(_draw_class, images_per_class=images_per_class, distractors=distractors)
    with workers(os.cpu_count() or 1) as pool:
        for samples in pool.map(draw, classes, chunksize=8):
            yield from samples


def _draw_class(which: tuple[str, int], images_per_class: int, distractors: int) -> list[Sample]:
    split, class_index = which
    name = characters(split)[class_index]
    scenes = [scene(split, class_index, index, distractors) for index in range(images_per_class)]
    return [Sample(split, name, drawn.image, drawn.mask) for drawn in scenes]
