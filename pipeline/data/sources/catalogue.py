"""Where users' images come from: each source lists what a data set holds in the layout in which it is distributed.

Configurations read their names here, so that this file is quick to load: a source's code is loaded when it is used.
Installed packages add sources through the entry-point group `fpt.sources`, whose members are the functions that list;
CONTRIBUTING.md shows one.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpt.registry import Registry, check_name, load
from pipeline.data.sources.listing import Listing


@dataclass(frozen=True)
class SourceEntry:
    """An entry is what is known of a source before its code is loaded.

    `function` says, as module:name, where the function is that makes a Listing of a root; it is None where nothing is
    listed, as images are drawn or were packed before. `signs` are files and folders that only this source has, in its
    root or in the folder that its archive unpacks to; sources are tried in their order. `takes_files` says whether the
    root may be a file; `options` are what the function takes beside the root, as fields of a data set are called.
    """

    function: str | None
    signs: tuple[str, ...] = ()
    takes_files: bool = False
    options: tuple[str, ...] = ()


SOURCES = Registry(
    "fpt.sources",
    {
        "glyphs": SourceEntry(None),
        "folder": SourceEntry("pipeline.data.sources.folders:folder", options=("classes", "follow_links")),
        "table": SourceEntry("pipeline.data.sources.tables:table", takes_files=True),
        "lists": SourceEntry("pipeline.data.sources.lists:lists", ("base.json", "novel.json", "all.json")),
        "cub": SourceEntry(
            "pipeline.data.sources.benchmarks:cub",
            ("image_class_labels.txt", "CUB_200_2011/image_class_labels.txt"),
        ),
        "cars": SourceEntry(
            "pipeline.data.sources.benchmarks:cars",
            (
                "devkit/cars_meta.mat",
                "cars_annos.mat",
                "stanford_cars/devkit/cars_meta.mat",
                "stanford_cars/cars_annos.mat",
            ),
        ),
        "aircraft": SourceEntry(
            "pipeline.data.sources.benchmarks:aircraft",
            ("data/images_variant_*.txt", "fgvc-aircraft-2013b/data/images_variant_*.txt"),
        ),
        "pets": SourceEntry(
            "pipeline.data.sources.benchmarks:pets", ("annotations/trimaps", "oxford-iiit-pet/annotations/trimaps")
        ),
        "places": SourceEntry(
            "pipeline.data.sources.places:places",
            ("categories_places365.txt", "train/airfield", "places365_standard/train"),
            options=("follow_links",),
        ),
        "plantae": SourceEntry(
            "pipeline.data.sources.plantae:plantae",
            ("Plantae/*/", "*/Plantae/*/", "train2017.json", "train2018.json"),
            options=("follow_links",),
        ),
        "packed": SourceEntry(None),
    },
    lambda point: SourceEntry(point.value, takes_files=True),
)


def listed() -> tuple[str, ...]:
    """Returns the names of the sources that list a user's own images."""
    return tuple(name for name, source in SOURCES.items() if source.function is not None)


def list_source(source: str, root: Path, **options: Any) -> Listing:
    """Returns what a source holds at root, read as its `options` say. Raises ValueError for a source that is not known,
    and for a root that is not there or not laid out as the source needs it.
    """
    check_name("source", source, listed())
    _check_open(root)
    known = SOURCES[source]
    if not known.takes_files and not root.is_dir():
        raise ValueError(f"root of {source} must be a folder but {root} is a file")
    assert known.function is not None
    function: Callable[..., Listing] = load(known.function)
    return function(root, **options)


def detect(root: Path) -> str:
    """Returns the source that root is laid out for, by files and folders that only that source has; a table is tried
    before a folder of class folders, which anything with folders in it may be. Raises ValueError where root looks like
    no source's.
    """
    from pipeline.data.sources.tables import TABLE_SUFFIXES, is_table  # pyarrow, for which no configuration waits

    _check_open(root)
    if root.is_file():
        if root.suffix.lower() in TABLE_SUFFIXES:
            return "table"
        raise ValueError(f"root must be a folder or one of {', '.join(TABLE_SUFFIXES)} but got {root}")
    for source, known in SOURCES.items():
        if any(True for sign in known.signs for _ in root.glob(sign)):
            return source
    inside = sorted(root.iterdir())
    if any(is_table(path) for path in inside):
        return "table"
    if any(path.is_dir() and not path.name.startswith(".") for path in inside):
        return "folder"
    raise ValueError(
        f"root must be laid out as one of {', '.join(listed())} but {root} holds no class folders and no table"
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
