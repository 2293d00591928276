"""Small Parquet files and tars with pictures in them, as others write them."""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image


def picture(*seed: int, kind: str = "PNG") -> bytes:
    """Returns a picture of 8 x 8 pixels of its own."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def features(**columns: Any) -> dict[str, Any]:
    """Returns what `datasets` tells of columns: names of classes for a list, Image for None."""
    return {
        name: {"_type": "Image"} if told is None else {"names": told, "_type": "ClassLabel"}
        for name, told in columns.items()
    }


def table(columns: Mapping[str, Any], told: Mapping[str, Any] | None = None) -> pa.Table:
    """Returns a table with the metadata that `datasets` writes about its columns."""
    made = pa.table(dict(columns))
    if told is None:
        return made
    return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": told}})})


def parquet(path: Path, columns: Mapping[str, Any], told: Mapping[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table(columns, told), path, row_group_size=2)
    return path


def pictures(labels: Sequence[Any], seed: int = 0) -> list[dict[str, Any]]:
    """Returns a column of pictures, as many as there are labels."""
    return [{"bytes": picture(seed, i), "path": f"{i}.png"} for i in range(len(labels))]


def tar(path: Path, members: Iterable[tuple[str, bytes | tarfile.TarInfo]], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def link(name: str, kind: bytes = tarfile.SYMTYPE) -> tuple[str, tarfile.TarInfo]:
    """Returns a member that is a link to a file of the machine."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return name, member


def samples(labels: Sequence[object], suffix: str = "cls", first: int = 0) -> list[tuple[str, bytes]]:
    """Returns the members of a tar of webdataset's: a picture, and a file that tells its class, for each label."""
    found = []
    for i, label in enumerate(labels, first):
        found += [(f"{i:06d}.png", picture(first, i)), (f"{i:06d}.{suffix}", str(label).encode())]
    return found
