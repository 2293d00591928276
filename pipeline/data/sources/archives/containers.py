"""Files that hold many pictures each (Parquet, tar), found by what a person types: a folder, files, or an address."""

import fnmatch
import itertools
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow.fs

from pipeline.data.sources.listing import SPLITS, some_of
from pipeline.storage.folder import Folder
from pipeline.storage.masking import without_secrets

HUB = "hf:"  # how a data set on the Hub is named
PARQUET = (".parquet", ".arrow")
TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")

MOST = 1_000_000  # files that braces may stand for
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
WORDS = re.compile(r"[-_. ]|\d+")


class Container(NamedTuple):
    """A container is a file called `name` in a folder (or bucket), with so many bytes; `changed` is when, 0 where that
    is not told.
    """

    folder: Folder
    name: str
    size: int
    changed: int

    def __str__(self) -> str:
        return without_secrets(self.folder.uri_of(self.name))

    @property
    def path(self) -> str:
        return f"{self.folder.root}/{self.name}"

    def file(self) -> Any:
        """Returns the file, opened for reading here and there."""
        return self.folder.filesystem.open_input_file(self.path)

    def stream(self) -> Any:
        """Returns the file, opened for reading from first to last, as the bytes are, but for Zstandard's."""
        compression = "zstd" if self.name.endswith((".zst", ".tzst")) else None
        return self.folder.filesystem.open_input_stream(self.path, compression=compression)


def is_address(where: str) -> bool:
    """Returns whether a place is no path of a disk, like s3://bucket/photos."""
    return "://" in where


def containers(source: str, where: str, suffixes: Sequence[str]) -> list[Container]:
    """Returns the files with these suffixes that `where` names, by name: one file, those in and below a folder, those
    that `*` stands for, or those that braces do, as in photos-{000..009}.tar or {train,val}.parquet. It may be an
    address that pyarrow or fsspec knows.

    Raises ValueError where one that is named is not there, none is found, or what is there cannot be reached.
    """
    found: list[Container] = []
    missing: list[str] = []
    for one in _without_braces(where):
        try:
            files = _named(one, suffixes)
        except (OSError, ValueError) as error:
            said = " ".join(without_secrets(str(error)).split())
            said = re.sub(r"^home must .*? (but got|failed:?) ", "", said)
            named = without_secrets(one)
            raise ValueError(f"root of {source} must be what can be reached but {named} failed: {said}") from error
        if files is None:
            missing.append(without_secrets(one))
        else:
            found += files
    if missing:
        raise ValueError(f"root of {source} must name files that are there but lacks {some_of(missing)}")
    if not found:
        raise ValueError(
            f"root of {source} must hold files that end in {', '.join(suffixes)} but "
            f"{without_secrets(where)} holds none"
        )
    return sorted(found, key=lambda one: (one.folder.uri, one.name))


def holds_containers(folder: Path, suffixes: Sequence[str]) -> bool:
    """Returns whether a folder of this machine holds such files, right in it or below."""
    return any(_is_one(name, suffixes) for _, _, names in os.walk(folder) for name in names)


def splits_of(found: Sequence[Container], source: str) -> tuple[list[str | None], list[str]]:
    """Returns the split of each file, by its own name or that of a folder it lies in, as Hugging Face has them
    (train-00000-of-00005.parquet, test/0000.parquet, photos-val-003.tar), and notes.

    Files that all belong to one split have none, for then it divides nothing. Raises ValueError where some files are
    called by a split and some are not.
    """
    splits = [split_of_name(one.name) for one in found]
    without = [one.name for one, split in zip(found, splits, strict=True) if split is None]
    given = [one.name for one, split in zip(found, splits, strict=True) if split is not None]
    if given and without:
        raise ValueError(
            f"files of {source} must all be called by a split ({', '.join(SPLITS)}), or none, but {given[0]} is and "
            f"{without[0]} is not: rename or remove one"
        )
    if len(set(splits)) == 1 and splits[0] is not None:
        return [None] * len(found), [f"All files are of one split ({splits[0]}), which divides nothing: taken as none."]
    return splits, []


def split_of_name(name: str) -> str | None:
    """Returns the split that a file is called by: a word of its own name, or else of the nearest folder's."""
    path = PurePosixPath(name)
    for part in (path.name, *(folder.name for folder in path.parents)):
        said = {SPLITS[word] for word in WORDS.split(part.lower()) if word in SPLITS}
        if len(said) == 1:
            return said.pop()
    return None


def _named(where: str, suffixes: Sequence[str]) -> list[Container] | None:
    """Returns the files that a place without braces stands for, None where there is nothing."""
    above, name = _cut(where)
    if "*" in name:
        folder = Folder(above)
        names = [one for one in folder.names("") if fnmatch.fnmatchcase(one, name)]
        return [_container(folder, one) for one in names] or None
    whole = Folder(where)
    kind = whole.filesystem.get_file_info(whole.root).type
    if kind == pyarrow.fs.FileType.File:
        return [_container(Folder(above), name)]
    if kind != pyarrow.fs.FileType.Directory:
        return None
    selector = pyarrow.fs.FileSelector(whole.root, recursive=True)
    paths = [one.path for one in whole.filesystem.get_file_info(selector) if one.type == pyarrow.fs.FileType.File]
    below = [os.path.relpath(path, whole.root) for path in paths]
    return [_container(whole, one) for one in below if _is_one(one, suffixes)]


def _cut(where: str) -> tuple[str, str]:
    """Returns the folder that a place lies in, and its name there."""
    if is_address(where):
        path, mark, options = where.partition("?")
        above, _, name = path.rstrip("/").rpartition("/")
        return f"{above}{mark}{options}", name
    path_here = os.path.abspath(where)
    return os.path.dirname(path_here), os.path.basename(path_here)


def _container(folder: Folder, name: str) -> Container:
    told = folder.filesystem.get_file_info(f"{folder.root}/{name}")
    return Container(folder, name, told.size or 0, told.mtime_ns or 0)


def _is_one(name: str, suffixes: Sequence[str]) -> bool:
    """Returns whether a file is one of these, by its suffix; hidden ones are not, nor what `datasets` keeps beside."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return parts[-1].lower().endswith(tuple(suffixes)) and not hidden and not parts[-1].startswith("cache-")


def _without_braces(where: str) -> list[str]:
    """Returns what a place with braces stands for; one that is there as it was typed stands for itself."""
    if not BRACES.search(where) or (not is_address(where) and os.path.lexists(where)):
        return [where]
    pieces = BRACES.split(where)  # every second one stood in braces
    choices = [[piece] if i % 2 == 0 else _choices(piece) for i, piece in enumerate(pieces)]
    if (count := math.prod(map(len, choices))) > MOST:
        raise ValueError(f"root must name at most {MOST:,} files but {where!r} names {count:,}")
    return ["".join(one) for one in itertools.product(*choices)]


def _choices(within: str) -> list[str]:
    if match := RANGE.fullmatch(within):
        first, last = match[1], match[2]
        if int(last) - int(first) >= MOST:
            raise ValueError(f"root must name at most {MOST:,} files but {{{within}}} names more")
        return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return within.split(",") if "," in within else [f"{{{within}}}"]
