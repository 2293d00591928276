"""Which source reads files that hold many pictures: told from what was typed, and from what lies there."""

import os
from pathlib import Path

from fpt.pictures.formats import is_image
from pipeline.data.sources.archives.containers import (
    BRACES,
    HUB,
    PARQUET,
    TAR,
    containers,
    holds_containers,
    is_address,
)
from pipeline.data.sources.archives.parquet import holds_pictures


def detect_archive(where: str) -> str | None:
    """Returns the source that reads a data set on the Hub, files at an address, those that braces or a star stand for,
    and a single file, None where it is none of these. Raises ValueError for an address at which no such files lie.
    """
    if where.startswith(HUB):
        return "hub"
    named = where.partition("?")[0].lower() if is_address(where) else where.lower()
    several = bool(BRACES.search(where) or "*" in os.path.basename(where)) and not os.path.lexists(where)
    if is_address(where) or several or os.path.isfile(where):
        if named.endswith(TAR):
            return "webdataset"
        if named.endswith(PARQUET[0]) and (is_address(where) or several or holds_pictures(Path(where))):
            return "huggingface"
    if is_address(where):
        found = containers("SRC", where, (*TAR, *PARQUET))
        return "webdataset" if found[0].name.lower().endswith(TAR) else "huggingface"
    return None


def detect_archives_below(root: Path) -> str | None:
    """Returns the source that reads a folder of such files, None where pictures lie in it as files, or neither does."""
    for _, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(is_image(name) for name in names):
            return None
    if holds_containers(root, TAR):
        return "webdataset"
    return "huggingface" if holds_containers(root, PARQUET) else None
