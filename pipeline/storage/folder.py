"""Where results and images live: a folder on a disk, or on an object store. Nothing is ever seen half-written."""

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import fsspec.core
import pyarrow as pa
import pyarrow.fs

from fpt.paths import whole_path

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class NoRoomError(OSError):
    """A disk is full. Trying again does not help."""


class Folder:
    """A folder is at a path, or at a URI that pyarrow.fs (file, s3, gs, hdfs, abfs) or else fsspec knows."""

    def __init__(self, uri: str) -> None:
        self.filesystem, self.root = _filesystem(uri)
        self.uri = self.root if self.here else uri

    @property
    def here(self) -> Path | None:
        """Returns the folder as a path where it lies on a disk (of this node, or one that nodes share), else None."""
        return Path(self.root) if isinstance(self.filesystem, pyarrow.fs.LocalFileSystem) else None

    def uri_of(self, name: str) -> str:
        """Returns the URI of something in the folder; what follows a `?` (an endpoint, a region) stays at the end."""
        path, mark, options = self.uri.partition("?") if "://" in self.uri else (self.uri, "", "")
        return f"{path.rstrip('/')}/{name}{mark}{options}"

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Writes a whole file or nothing: under a temporary name first on a disk, in one request on an object store.

        Raises NoRoomError for a full disk, and OSError for what else stands in the way, in a sentence.
        """
        if self.here is None:
            with self.filesystem.open_output_stream(f"{self.root}/{name}") as stream:
                stream.write(content)
            return
        target = self.here / name
        part = target.parent / f"_{target.name}.{uuid4().hex[:8]}.part"  # readers pass over what begins with _
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())  # a machine that loses power must not leave an empty file under a final name
            part.replace(target)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            failed = f"writing {target} failed ({os.strerror(error.errno or 0)}); all that was written before is whole"
            if error.errno in NO_ROOM:
                said = f"home must have room for results but {failed}: make room, and the same command goes on"
                raise NoRoomError(error.errno, said) from error
            said = f"home must be a folder that can be written to but {failed}, and the same command goes on"
            raise OSError(error.errno, said) from error

    def read(self, name: str) -> bytes | None:
        """Returns a file's content, None where there is no such file."""
        if not self.has(name):
            return None
        with self.filesystem.open_input_stream(f"{self.root}/{name}") as stream:
            return bytes(stream.read())

    def has(self, name: str) -> bool:
        found: bool = self.filesystem.get_file_info(f"{self.root}/{name}").type == pyarrow.fs.FileType.File
        return found

    def names(self, folder: str) -> list[str]:
        """Returns the names of the files right in a folder, without the folder's name; none where there is no such
        folder.
        """
        selector = pyarrow.fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        return sorted(one.base_name for one in found if one.type == pyarrow.fs.FileType.File)

    def folders(self, folder: str) -> list[str]:
        """Returns the names of the folders right in a folder; none where there is no such folder."""
        selector = pyarrow.fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        return sorted(one.base_name for one in found if one.type == pyarrow.fs.FileType.Directory)

    def delete(self, name: str) -> None:
        self.filesystem.delete_file(f"{self.root}/{name}")

    def move(self, name: str, to: str) -> None:
        """Gives a file of the folder another name in it, which may lie in another folder of it."""
        if self.here is not None:
            (self.here / to).parent.mkdir(parents=True, exist_ok=True)
        self.filesystem.move(f"{self.root}/{name}", f"{self.root}/{to}")

    def fetch(self, name: str, path: Path) -> None:
        """Copies a file out of the folder."""
        pyarrow.fs.copy_files(f"{self.root}/{name}", str(path), source_filesystem=self.filesystem, use_threads=False)

    def put(self, path: Path, name: str) -> None:
        """Copies a file into the folder."""
        with pa.memory_map(str(path)) as source:
            self.write(name, memoryview(source.read_buffer()))


def _filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    if "://" not in uri:
        return pyarrow.fs.LocalFileSystem(), str(Path(uri).resolve())
    try:
        filesystem, root = pyarrow.fs.FileSystem.from_uri(uri)
    except OSError as error:  # s3:// asks where the bucket is
        raise ValueError(
            f"home must be what can be reached but {uri!r} failed: {' '.join(str(error).split())}"
        ) from error
    except pa.ArrowInvalid:
        try:
            other, root = fsspec.core.url_to_fs(uri)
        except (ValueError, ImportError) as error:
            raise ValueError(
                f"home must be a folder or a URI like s3://bucket/path but got {uri!r}: {error}"
            ) from error
        filesystem = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(other))
    return filesystem, root.rstrip("/")


class Home(Folder):
    """A home holds all that sweeps leave behind. `local` is for what must be on a disk: studies,
    Tune's notes, reports. Raises ValueError for an environment variable in `uri` that is not set.
    """

    def __init__(self, uri: str) -> None:
        try:
            super().__init__(whole_path(uri))
        except ValueError as error:
            said = str(error)
            raise ValueError(said if said.startswith("home ") else f"home {said}") from error

    @property
    def local(self) -> Path:
        return self.here or cache_folder() / "homes" / hashlib.sha256(self.uri.encode()).hexdigest()[:12]

    def keep(self, files: list[Path]) -> None:
        """Copies what was made under `local` into the home, where that is elsewhere."""
        if self.here is None:
            for file in files:
                self.put(file, str(file.relative_to(self.local)))


def cache_folder() -> Path:
    """Returns where, on this node, there is what can be made or fetched again: FPT_CACHE, or a user's cache folder."""
    if own := os.environ.get("FPT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fpt"
