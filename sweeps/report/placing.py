"""Files appear whole or not at all: they are drawn in a folder beside theirs, and moved when all are done."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def placed_when_done(folder: Path, last: str | None = None) -> Iterator[Path]:
    """Yields an empty folder, whose files are moved into `folder` when the block ends, one by one, that named `last` in
    the end. Where the block fails or is interrupted, nothing of them is left and `folder` is as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        yield Path(beside)
        folder.mkdir(exist_ok=True)
        for file in sorted(Path(beside).iterdir(), key=lambda file: (file.name == last, file.name)):
            os.replace(file, folder / file.name)
