"""Tars of pictures: webdataset's, with files of one name for each picture, and plain ones of class folders."""

import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from fpt.pictures.formats import is_image
from pipeline.data.sources.archives.containers import TAR, Container, containers, splits_of
from pipeline.data.sources.archives.labels import LABELS, UNKNOWN, class_called, paths_of, within
from pipeline.data.sources.archives.unpacking import Passed, Sample, unpacked
from pipeline.data.sources.listing import Listing, assemble, split_called

TEXTS = ("cls", "cls.txt", "label", "label.txt", "class", "class.txt", "txt")  # files that hold a class, the first wins
KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a link to another member",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
HIDDEN = "Hidden files passed over"
OTHER = "Samples without a picture passed over"
MOST_TEXT = 1 << 20  # bytes of a file that tells of a picture
MOST_PICTURE = 1 << 30  # bytes of a picture


def webdataset(root: str, image_column: str | None = None, label_column: str | None = None) -> Listing:
    """Lists the pictures of tars, plain or compressed. Files of one name up to the first dot are one sample, as
    webdataset has it: 000.jpg is its picture, 000.cls (or .json with `label` or the like, .txt) tells its class. Where
    no file tells a class, it is the folder in the tar that a picture lies in, above which there may be one for its
    split. `image_column` is the suffix of the picture where samples have more than one, `label_column` is a file's
    suffix or a path in the .json, like meta.species.

    Raises ValueError for tars that end before they are whole, links and devices in them, and where it is not clear
    which files are meant.
    """
    found = containers("webdataset", root, TAR)
    splits, notes = splits_of(found, "webdataset")
    reader = _Reader(image_column, label_column)
    images, passed = unpacked(found, splits, reader.samples, ["webdataset", image_column, label_column])
    return assemble("webdataset", Path(root), images, [*notes, *passed])


class _Reader:
    """A reader of tars knows which suffix pictures have, and which file or path tells their class, where that was
    said.
    """

    def __init__(self, image: str | None, label: str | None) -> None:
        self.image, self.label = image and image.lstrip(".").lower(), label

    def samples(self, one: Container) -> Iterator[Sample | Passed]:
        seen = 0
        for key, files in _groups(one):
            if not isinstance(files, dict):
                yield Passed(key, files)
                continue
            pictures = [kind for kind in files if is_image(f"_.{kind}")]
            if self.image is not None:
                pictures = [kind for kind in files if kind.lower() == self.image]
            if not pictures:
                yield Passed(f"{key}.{next(iter(files))}", OTHER)
                continue
            told = self._told(one, key, files, pictures, first=seen == 0)
            for kind in pictures if told and told[1] else pictures[:1]:
                name = f"{key}.{kind}"
                class_name = class_called(told[0], None, f"{name} of {one}", "class") if told else None
                seen += 1
                if class_name is None:
                    yield Passed(name, UNKNOWN)
                else:
                    yield Sample(name, class_name, files[kind], _split_of(key))

    def _told(
        self, one: Container, key: str, files: Mapping[str, bytes], pictures: Sequence[str], first: bool
    ) -> tuple[object, bool] | None:
        """Returns what tells a sample's class, and whether each of its pictures is one of that class; None where
        nothing tells it. Raises ValueError where it is not clear, or nothing tells it for the `first` sample.
        """
        said = self._in_files(one, key, files)
        folder = PurePosixPath(key).parent.name
        apart = said is None and folder != "" and all("." in kind for kind in pictures)  # names with dots in them
        if len(pictures) > 1 and not apart:
            raise ValueError(
                f"image_column must say which file of a sample is its picture, as {key} of {one} has "
                f"{', '.join(pictures)}: --set dataset.image_column={pictures[0]}"
            )
        if said is not None:
            return said, False
        if self.label is None and folder and not split_called(folder):
            return folder, apart
        if not first:
            return None
        has = ", ".join(files)
        inner = paths_of(_json(one, key, files["json"])) if "json" in files else []
        if inner:
            has += f" (in which there are {', '.join(inner)})"
        wanted = (
            repr(self.label) if self.label else f"{', '.join(TEXTS)}, a json with {' or '.join(LABELS)}, or a folder"
        )
        raise ValueError(
            f"samples of {one} must tell their class by {wanted} but {key} has {has}: --set dataset.label_column=NAME "
            "names a file's suffix or a path in the json; files of a sample follow each other, as tar --sort=name "
            "writes them"
        )

    def _in_files(self, one: Container, key: str, files: Mapping[str, bytes]) -> object:
        """Returns what the files of a sample tell of its class, None where they tell nothing."""
        texts = TEXTS if self.label is None else (self.label.lstrip("."),)
        *sure, last = texts
        inner = _json(one, key, files["json"]) if "json" in files else {}
        if self.label is not None and last in files and last != "json":
            return _text(files[last])
        for name in (name for name in sure if name in files):
            return _text(files[name])
        for path in (self.label,) if self.label is not None else LABELS:
            try:
                return within(inner, path)
            except KeyError:
                continue
        return _text(files[last]) if self.label is None and last in files else None


def _text(content: bytes) -> str:
    return os.fsdecode(content).strip()


def _json(one: Container, key: str, content: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{key}.json of {one} must be JSON but reading it failed: {error}") from error
    if not isinstance(told, dict):
        raise ValueError(f"{key}.json of {one} must hold fields and values but holds a {type(told).__name__}")
    return told


def _split_of(key: str) -> str | None:
    return next((split for part in PurePosixPath(key).parent.parts if (split := split_called(part))), None)


def _groups(one: Container) -> Iterator[tuple[str, dict[str, bytes] | str]]:
    """Yields the files of each sample by what follows the first dot of their names, and why others are passed over."""
    key, files, before = "", dict[str, bytes](), set[str]()
    with _told(one), one.stream() as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isdir():
                continue
            if not member.isfile():
                raise ValueError(
                    f"members of {one} must be files but {name} is {KINDS.get(member.type, 'none')}: pack the files "
                    "themselves (tar --dereference --hard-dereference)"
                )
            parts = PurePosixPath(name).parts
            if any(part.startswith((".", "__MACOSX")) for part in parts):
                yield name, HIDDEN
                continue
            stem, _, kind = parts[-1].partition(".")
            own = "/".join((*parts[:-1], stem))
            if own != key:
                if files:
                    yield key, files
                if own in before:
                    raise ValueError(
                        f"files of a sample must follow each other but those of {own} do not in {one}: tar --sort=name "
                        "writes them so"
                    )
                before.add(own)
                key, files = own, {}
            if kind in files:
                raise ValueError(f"{name} must be in {one} once but is there twice: pack it anew")
            picture = is_image(f"_.{kind}")
            if member.size > (MOST_PICTURE if picture else MOST_TEXT):
                if picture:
                    yield name, f"Pictures of more than {MOST_PICTURE >> 30} GiB passed over"
                continue  # a film, an array: no class, at any rate
            inner = tar.extractfile(member)
            assert inner is not None
            files[kind] = inner.read()
        if files:
            yield key, files
        if tar.fileobj.tell() - tar.offset < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends without the mark of an end")


@contextmanager
def _told(one: Container) -> Iterator[None]:
    """Says of a container what reading it says."""
    try:
        yield
    except (tarfile.TarError, EOFError, OSError, pa.ArrowException) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{one} must be a whole tar but reading it failed: {said}; fetch or pack it once more, or name the others"
        ) from error
