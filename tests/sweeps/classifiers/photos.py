"""Folders of pictures, as people have them."""

from pathlib import Path

from PIL import Image

from fpt.glyphs.scenes import scene

NAMES = ("stork", "heron", "crane")


def folder_of(root: Path, counts, first: int = 0, suffix: str = "png") -> Path:
    """So many scenes of each bird, numbered on from `first`."""
    for way, count in enumerate(counts):
        (root / NAMES[way]).mkdir(parents=True, exist_ok=True)
        for i in range(first, first + count):
            Image.fromarray(scene("novel", way, i).image).save(root / NAMES[way] / f"{i}.{suffix}")
    return root
