"""Layouts of files that hold many pictures each."""

import json

import fsspec

from tests.pipeline.data.sources.archives.made import features, link, parquet, picture, pictures, samples, tar
from tests.sweeps.layouts.table import BIRDS, ONE, SET, TWO, birds, layout

NAMED = features(image=None, label=list(BIRDS))


@layout("Hugging Face's Parquet: pictures as bytes, ClassLabel", TWO)
def _(root):
    return (parquet(root / "data.parquet", {"image": pictures([0] * 8), "label": [0, 1, 2, 3] * 2}, NAMED).parent,)


@layout("the same in `data/train-00000-of-00002.parquet ...`, other classes in `test`", {"base": 2, "novel": 2})
def _(root):
    for i, split in enumerate(("train", "test")):
        for k in range(2):
            columns = {"image": pictures([0] * 2, 10 * i + k), "label": [2 * i, 2 * i + 1]}
            parquet(root / f"data/{split}-{k:05d}-of-00002.parquet", columns, NAMED)
    return (root,)


@layout("Parquet with paths of pictures beside it", TWO)
def _(root):
    birds(root / "pictures")
    names = [f"pictures/{name}/{k}.png" for k in range(2) for name in BIRDS]
    columns = {"image": [{"bytes": None, "path": name} for name in names], "label": [0, 1, 2, 3] * 2}
    return (parquet(root / "data.parquet", columns, NAMED),)


@layout("Parquet without a column of classes that is known", "dataset.label_column=NAME names the one")
def _(root):
    return (parquet(root / "a.parquet", {"image": pictures("ab"), "kind": ["a", "b"]}),)


@layout("Parquet with several columns of pictures", "has image, mask: --set dataset.image_column=image")
def _(root):
    both = {"image": pictures("ab"), "mask": pictures("ab"), "label": ["a", "b"]}
    return (parquet(root / "a.parquet", both),)


@layout("Parquet with classes in a section (`meta.species`), `dataset.label_column: meta.species`", TWO)
def _(root):
    columns = {"image": pictures([0] * 8), "meta": [{"species": name} for name in BIRDS * 2]}
    return (parquet(root / "a.parquet", columns), SET, "dataset.label_column=meta.species")


@layout("Parquet or Arrow that ends early", "must be a whole Parquet file but reading it failed")
def _(root):
    path = parquet(root / "a.parquet", {"image": pictures("ab"), "label": ["a", "b"]})
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    return (path, "--source", "huggingface")


@layout("webdataset: `photos-{000..009}.tar`, `.jpg` with `.cls`", dict.fromkeys(BIRDS, 2))
def _(root):
    for i in range(2):
        tar(root / f"photos-{i:03d}.tar", samples(BIRDS, first=10 * i))
    return (root / "photos-{000..001}.tar",)


@layout("webdataset with `.json`, `dataset.label_column: meta.species`", ONE)
def _(root):
    told = [json.dumps({"meta": {"species": name}}) for name in BIRDS]
    return (tar(root / "a.tar", samples(told, "json")), SET, "dataset.label_column=meta.species")


@layout("a tar, `.tgz` ... of class folders", TWO)
def _(root):
    members = [(f"photos/{name}/{k}.png", picture(i, k)) for i, name in enumerate(BIRDS) for k in range(2)]
    return (tar(root / "photos.tgz", members, "w:gz"),)


@layout("a tar that ends early, compressed or not", "must be a whole tar but reading it failed: .* fetch or pack it")
def _(root):
    path = tar(root / "a.tgz", samples(BIRDS), "w:gz")
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    return (path,)


@layout("a tar with links or devices in it", "members of .* must be files but a.png is a symbolic link")
def _(root):
    return (tar(root / "a.tar", [*samples(BIRDS), link("a.png")]),)


@layout("tars or Parquet files in a bucket or at an address", TWO)
def _(root):
    content = tar(root / "a.tar", samples(BIRDS * 2)).read_bytes()
    fsspec.filesystem("memory").pipe("/layouts/a.tar", content)
    return ("memory://layouts/a.tar",)
