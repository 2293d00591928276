"""Where users' images come from: each source lists what a data set holds in the layout in which it is distributed."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from pipeline.data.sources.benchmarks import aircraft, cars, cub, pets
from pipeline.data.sources.folders import folder
from pipeline.data.sources.listing import Listing
from pipeline.data.sources.lists import lists
from pipeline.data.sources.places import places
from pipeline.data.sources.plantae import plantae
from pipeline.data.sources.tables import TABLE_SUFFIXES, is_table, table

SOURCES: dict[str, Callable[[Path], Listing]] = {
    "folder": folder,
    "table": table,
    "lists": lists,
    "cub": cub,
    "cars": cars,
    "places": places,
    "plantae": plantae,
    "aircraft": aircraft,
    "pets": pets,
}

# What only one source has, in root or in the folder that its archive unpacks to.
SIGNS = {
    "lists": ("base.json", "novel.json", "all.json"),
    "cub": ("image_class_labels.txt", "CUB_200_2011/image_class_labels.txt"),
    "cars": (
        "devkit/cars_meta.mat",
        "cars_annos.mat",
        "stanford_cars/devkit/cars_meta.mat",
        "stanford_cars/cars_annos.mat",
    ),
    "aircraft": ("data/images_variant_*.txt", "fgvc-aircraft-2013b/data/images_variant_*.txt"),
    "pets": ("annotations/trimaps", "oxford-iiit-pet/annotations/trimaps"),
    "places": ("categories_places365.txt", "train/airfield", "places365_standard/train"),
    "plantae": ("Plantae/*/", "*/Plantae/*/", "train2017.json", "train2018.json"),
}


def list_source(source: str, root: Path) -> Listing:
    """What a source holds at root. Raises ValueError for a source that is not known, and for a root that is not there
    or not laid out as the source needs it.
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {', '.join(SOURCES)} but got {source!r}")
    _check_open(root)
    if source != "table" and not root.is_dir():
        raise ValueError(f"root of {source} must be a folder but {root} is a file")
    return SOURCES[source](root)


def detect(root: Path) -> str:
    """The source that root is laid out for, by files and folders that only one has; a table before a folder of class
    folders, which anything with folders in it may be. Raises ValueError where it looks like none.
    """
    _check_open(root)
    if root.is_file():
        if root.suffix.lower() in TABLE_SUFFIXES:
            return "table"
        raise ValueError(f"root must be a folder or one of {', '.join(TABLE_SUFFIXES)} but got {root}")
    for source, signs in SIGNS.items():
        if any(True for sign in signs for _ in root.glob(sign)):
            return source
    inside = sorted(root.iterdir())
    if any(is_table(path) for path in inside):
        return "table"
    if any(path.is_dir() and not path.name.startswith(".") for path in inside):
        return "folder"
    raise ValueError(
        f"root must be laid out as one of {', '.join(SOURCES)} but {root} holds no class folders and no table"
    )


def _check_open(root: Path) -> None:
    if not os.path.exists(root):  # and not root.exists(), which raises where a folder above is closed
        if re.match(r"\w{2,}:/", str(root)):
            raise ValueError(
                f"root must be a folder or a table on a disk but {root} is an address: mount or copy what lies there, "
                "or pack it where it can be read, as a packed file may lie in a bucket (source packed)"
            )
        raise ValueError(f"root must be a folder or a table that is there but {root} is not")
    if not os.access(root, os.R_OK | os.X_OK if root.is_dir() else os.R_OK):
        raise ValueError(f"root must be a folder or a table that may be read but {root} may not")
