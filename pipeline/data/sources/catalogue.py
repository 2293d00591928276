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
    root may be a file; `options` are what the function takes beside the root, as fields of a data set are called. What
    takes `addresses` may be named by s3://bucket/photos and the like, by braces or stars, and is called with text.
    """

    function: str | None
    signs: tuple[str, ...] = ()
    takes_files: bool = False
    options: tuple[str, ...] = ()
    addresses: bool = False


COLUMNS = ("image_column", "label_column")

SOURCES = Registry(
    "fpt.sources",
    {
        "glyphs": SourceEntry(None),
        "folder": SourceEntry("pipeline.data.sources.folders:folder", options=("classes", "follow_links")),
        "table": SourceEntry("pipeline.data.sources.tables:table", takes_files=True, options=COLUMNS),
        "huggingface": SourceEntry(
            "pipeline.data.sources.archives.parquet:huggingface", takes_files=True, options=COLUMNS, addresses=True
        ),
        "webdataset": SourceEntry(
            "pipeline.data.sources.archives.webdataset:webdataset", takes_files=True, options=COLUMNS, addresses=True
        ),
        "hub": SourceEntry("pipeline.data.sources.hub:hub", takes_files=True, options=COLUMNS, addresses=True),
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


def list_source(source: str, root: str | Path, **options: Any) -> Listing:
    """Returns what a source holds at root, read as its `options` say. Raises ValueError for a source that is not known,
    and for a root that is not there or not laid out as the source needs it.
    """
    check_name("source", source, listed())
    known = SOURCES[source]
    assert known.function is not None
    function: Callable[..., Listing] = load(known.function)
    if known.addresses:
        return function(str(root), **options)
    folder = Path(root)
    _check_open(folder)
    if not known.takes_files and not folder.is_dir():
        raise ValueError(f"root of {source} must be a folder but {root} is a file")
    return function(folder, **options)


def detect(where: str | Path, image_column: str | None = None, label_column: str | None = None) -> str:
    """Returns the source that a place is laid out for, by files and folders that only that source has; a table is tried
    before a folder of class folders, which anything with folders in it may be. The columns are those that were named,
    if some were. Raises ValueError where it looks like no source's.
    """
    from pipeline.data.sources.archives.detecting import detect_archive, detect_archives_below
    from pipeline.data.sources.tables import TABLE_SUFFIXES, is_table  # pyarrow, for which no configuration waits

    if archive := detect_archive(str(where)):
        return archive
    root = Path(where)
    _check_open(root)
    if root.is_file():
        if root.suffix.lower() in TABLE_SUFFIXES:
            return "table"
        raise ValueError(f"root must be a folder or one of {', '.join(TABLE_SUFFIXES)} but got {root}")
    for source, known in SOURCES.items():
        if any(True for sign in known.signs for _ in root.glob(sign)):
            return source
    inside = sorted(root.iterdir())
    if any(is_table(path, image_column, label_column) for path in (*inside, *root.glob("*/metadata.*"))):
        return "table"
    if archive := detect_archives_below(root):
        return archive
    if any(path.is_dir() and not path.name.startswith(".") for path in inside):
        return "folder"
    tables = [path.name for path in inside if path.suffix.lower() in TABLE_SUFFIXES]
    way_on = (
        f"; --source table --set dataset.image_column=NAME --set dataset.label_column=NAME reads {tables[0]}"
        if tables
        else ""
    )
    raise ValueError(
        f"root must be laid out as one of {', '.join(listed())} but {root} holds no class folders and no table{way_on}"
    )


def _check_open(root: Path) -> None:
    if not os.path.exists(root):  # and not root.exists(), which raises where a folder above is closed
        if re.match(r"\w{2,}:/", str(root)):
            raise ValueError(
                f"root must be a folder or a table on a disk but {root} is an address: mount or copy what lies there, "
                "or pack it where it can be read, as a packed file may lie in a bucket (source packed), and tars and "
                "Parquet files with pictures too (webdataset, huggingface)"
            )
        raise ValueError(f"root must be a folder or a table that is there but {root} is not")
    if not os.access(root, os.R_OK | os.X_OK if root.is_dir() else os.R_OK):
        raise ValueError(f"root must be a folder or a table that may be read but {root} may not")
