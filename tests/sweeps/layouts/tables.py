"""Layouts of tables of pictures."""

import json
from pathlib import Path

from tests.pipeline.data.sources.archives.made import picture
from tests.pipeline.data.sources.trees import grow
from tests.sweeps.layouts.table import BIRDS, ONE, SET, birds, layout


def csv(root: Path, header: str, rows: list[str], name: str = "t.csv") -> Path:
    birds(root / "pictures", pictures=1)
    grow(root, {name: "\n".join([header, *rows]) + "\n"})
    return root / name


ROWS = [f"pictures/{name}/0.png,{name}" for name in BIRDS]


@layout("CSV, TSV with `path` and `label`", ONE)
def _(root):
    return (csv(root, "path,label", ROWS),)


@layout(
    "a table with columns of other names",
    r"must be one of path, .* but are Photo, species; --set dataset\.image_col".lower(),
)
def _(root):
    return (csv(root, "Photo,Species", ROWS),)


@layout("the same, `dataset.image_column: Photo` and `dataset.label_column: Species`", ONE)
def _(root):
    return (csv(root, "Photo,Species", ROWS), SET, "dataset.image_column=Photo", SET, "dataset.label_column=Species")


@layout("a table with `heron\\1.jpg` or `C:\\data\\heron\\1.jpg`", ONE)
def _(root):
    slashed = [row.replace("/", "\\") for row in ROWS[:2]] + ["C:\\data\\" + row.replace("/", "\\") for row in ROWS[2:]]
    return (csv(root, "path,label", slashed),)


@layout("a table's text stored as bytes (Parquet's, or `b'3'` in a CSV)", ONE)
def _(root):
    return (csv(root, "path,label", [row.replace(",", ",b'") + "'" for row in ROWS]),)


@layout("a table with a column twice", "column label of .* must be there once but is there as 'label' and 'Label'")
def _(root):
    return (csv(root, "path,label,Label", [f"{row},x" for row in ROWS]),)


@layout("`metadata.csv` or `metadata.jsonl` with `file_name`, as Hugging Face's imagefolder has it", ONE)
def _(root):
    rows = [json.dumps({"file_name": f"{name}/0.png", "label": name}) for name in BIRDS]
    birds(root, pictures=1)
    grow(root, {"metadata.jsonl": "\n".join(rows)})
    return (root,)


@layout("the same in `train/` and `test/`", {"base": 2, "novel": 2})
def _(root):
    for i, split in enumerate(("train", "test")):
        grow(root / split, {"1.png": picture(i, 1), "2.png": picture(i, 2)})
        grow(root / split, {"metadata.csv": f"file_name,label\n1.png,{split} a\n2.png,{split} b\n"})
    return (root,)


@layout("`train.csv` and `test.csv` beside the pictures", {"base": 2, "novel": 2})
def _(root):
    csv(root, "path,label", ROWS[:2], "train.csv")
    return (csv(root, "path,label", ROWS[2:], "test.csv").parent,)
