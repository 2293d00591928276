"""Pictures out of the files that hold many of them, unpacked once into files of this node's cache."""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.ipc

from pipeline.data.sources.archives.containers import Container
from pipeline.data.sources.listing import Listed, some_of
from pipeline.storage.folder import cache_folder

FORMAT = 1  # of what is unpacked: that of another is unpacked anew
A_FOLDER = 1000  # pictures
TELL_AFTER = 5.0  # seconds
ROOM = 50 << 20  # bytes that must be left
INDEX, COLUMNS = "index.arrow", ("file", "name", "class", "split", "passed")

# By the first bytes of a picture: suffixes decide nothing here but how fast a picture is found to have 8 bits.
SIGNS = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp"}


class Sample(NamedTuple):
    """A sample is a picture of a class, called `name` in its container. The picture is its bytes, or a file; `split` is
    one that stands in the container.
    """

    name: str
    class_name: str
    picture: bytes | Path
    split: str | None = None


class Passed(NamedTuple):
    """What is passed over is called `name` in its container; `why` is the same for all of a kind."""

    name: str
    why: str


Reader = Callable[[Container], Iterator[Sample | Passed]]


def unpacked(
    found: Sequence[Container], splits: Sequence[str | None], read: Reader, asked: Sequence[object]
) -> tuple[list[Listed], list[str]]:
    """Returns the pictures that `read` finds in some containers, and notes on what it passed over. `asked` is what, but
    for the container itself, decides what it finds.

    What is unpacked lies in the node's cache, a folder for each container, and is taken from there as long as the
    container has the same size and time. Only one picture at a time is in memory. Raises ValueError, in a sentence,
    for what the reader refuses, and where the disk has no room.
    """
    images: list[Listed] = []
    passed: dict[str, list[str]] = {}
    said = time.monotonic()
    for i, (one, split) in enumerate(zip(found, splits, strict=True)):
        said = _tell(said, f"unpacking {one.name} ({i + 1} of {len(found)} files, {len(images)} images so far)")
        folder, rows = _rows(one, read, asked)
        for file, name, class_name, inner, why in rows:
            shown = f"{one.name}/{name}" if name else one.name
            if why is not None:
                passed.setdefault(why, []).append(shown)
            else:
                images.append(Listed(folder / file, class_name, inner or split, called=shown))
    return images, [f"{why}: {some_of(names)}." for why, names in sorted(passed.items())]


def _rows(one: Container, read: Reader, asked: Sequence[object]) -> tuple[Path, list[tuple[Any, ...]]]:
    """Returns the folder that a container is unpacked in, and the rows of its index."""
    told = [FORMAT, *asked, one.folder.uri, one.name, one.size, one.changed]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:20]
    folder = cache_folder() / "unpacked" / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not (folder / INDEX).exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
            shutil.rmtree(folder, ignore_errors=True)
            try:
                _unpack(one, read, part)
                part.replace(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    with pa.memory_map(str(folder / INDEX)) as file:
        table = pyarrow.ipc.open_file(file).read_all()
    columns = ([_text(cell) for cell in table[name].to_pylist()] for name in COLUMNS)
    return folder, list(zip(*columns, strict=True))


def _unpack(one: Container, read: Reader, folder: Path) -> None:
    columns: dict[str, list[str | None]] = {name: [] for name in COLUMNS}
    folder.mkdir()
    _check_room(one, folder, one.size)
    said = time.monotonic()
    for row, sample in enumerate(read(one)):
        said = _tell(said, f"unpacking {one.name}, {row} images of it so far")
        told: tuple[str | None, ...]
        if isinstance(sample, Passed):
            told = ("", sample.name, "", None, sample.why)
        else:
            told = (_kept(one, folder, row, sample.picture), sample.name, sample.class_name, sample.split, None)
        for name, value in zip(COLUMNS, told, strict=True):
            columns[name].append(value)
    cells = {name: list(map(_bytes, columns[name])) for name in COLUMNS}
    table = pa.table({name: pa.array(cells[name], pa.binary()) for name in COLUMNS})
    with pa.OSFile(str(folder / INDEX), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode(errors="surrogatepass")  # names of files may be no UTF-8


def _text(cell: bytes | None) -> str | None:
    return None if cell is None else cell.decode(errors="surrogatepass")


def _kept(one: Container, folder: Path, row: int, picture: bytes | Path) -> str:
    """Returns the file of a picture, in the folder if it was written there."""
    if isinstance(picture, Path):
        return str(picture)
    if row % A_FOLDER == 0:
        _check_room(one, folder, len(picture))
    file = f"{row // A_FOLDER:05d}/{row:08d}{_suffix(picture)}"
    _write(folder / file, picture, one)
    return file


def _write(path: Path, content: bytes, one: Container) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ValueError(_no_room(one, path.parent, os.strerror(error.errno or 0))) from error
    os.utime(path, ns=(one.changed, one.changed))  # unpacked again, it is the same file


def _check_room(one: Container, folder: Path, needed: int) -> None:
    if (free := shutil.disk_usage(folder).free) < needed + ROOM:
        raise ValueError(_no_room(one, folder, f"{free / 1e9:.1f} GB are free and {needed / 1e9:.1f} GB needed"))


def _no_room(one: Container, folder: Path, why: str) -> str:
    return (
        f"the cache must have room for the pictures of {one} but {folder} has not ({why}): make room, or set FPT_CACHE "
        "to a folder on a larger disk"
    )


def _suffix(picture: bytes) -> str:
    return next((suffix for sign, suffix in SIGNS.items() if picture.startswith(sign)), "")


def _tell(said: float, what: str) -> float:
    """Tells on standard error what is done, every few seconds, and returns when that was."""
    if (now := time.monotonic()) - said < TELL_AFTER:
        return said
    print(f"fpt: {what}", file=sys.stderr, flush=True)
    return now


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process of this node at a time into the block; the lock goes with the process that holds it."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
