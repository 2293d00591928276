"""Layouts of folders of pictures."""

from pathlib import Path

from fpt.pictures.formats import HEIF, formats
from tests.pipeline.data.sources.archives.made import picture
from tests.pipeline.data.sources.trees import TREES, grow
from tests.sweeps.layouts.table import BIRDS, LAYOUTS, SET, TWO, birds, in_splits, layout


@layout("`heron/ crow/ ...`, a folder for each class", TWO)
def _(root):
    return (birds(root),)


@layout("`train/ val/ test/` above class folders", {"base": 2, "validation": 2, "novel": 2})
def _(root):
    return (in_splits(root, "train", "val", "test"),)


@layout("`training_set/ test-images/ val2017/` and the like", {"base": 2, "validation": 2, "novel": 2})
def _(root):
    return (in_splits(root, "training_set", "test-images", "val2017"),)


@layout("`train/` and `test/` alone", {"base": 2, "novel": 2})
def _(root):
    return (in_splits(root, "train", "test"),)


@layout("`train/ val/ test/` and one folder more with images (masks, extra, holdout)", "'masks' is no split: hide what")
def _(root):
    grow(root, {"masks/1.png": picture(0)})
    return (in_splits(root, "train", "val", "test"),)


@layout(
    "`train/ val/ test/` with `__MACOSX`, `__pycache__`, hidden folders, folders without an image",
    {"base": 2, "validation": 2, "novel": 2},
)
def _(root):
    grow(root, {"__MACOSX/1.png": "x", "__pycache__/1.png": "x", ".git/1.png": "x", "notes/readme.txt": "x"})
    return (in_splits(root, "train", "val", "test"),)


@layout("`train/` among class folders, with pictures of its own", {**TWO, "train": 2})
def _(root):
    return (birds(root, *BIRDS, "train"),)


@layout("one folder around the class folders", "holds 'photos' alone, and that holds folders: name .*photos itself")
def _(root):
    birds(root / "photos")
    return (root,)


@layout("the same classes in `train/`, `val/` and `test/`", "dataset.merge_splits=true .* dataset.hold_out=pictures")
def _(root):
    for i, split in enumerate(("train", "val", "test")):
        birds(root / split, seed=i)
    return (root,)


@layout("the same, `dataset.merge_splits: true`", dict.fromkeys(BIRDS, 6))
def _(root):
    return (*LAYOUTS["the same classes in `train/`, `val/` and `test/`"][0](root), SET, "dataset.merge_splits=true")


@layout("the same, `dataset.hold_out: pictures`", {"base": 4, "validation": 4, "novel": 4})
def _(root):
    return (*LAYOUTS["the same classes in `train/`, `val/` and `test/`"][0](root), "--hold-out", "pictures")


def links(root: Path) -> Path:
    birds(root / "store")
    (root / "farm").mkdir()
    for name in BIRDS:
        (root / "farm" / name).symlink_to(root / "store" / name)
    return root / "farm"


@layout("links that lead out of the folder", "Links that lead out .* dataset.follow_links=true")
def _(root):
    return (links(root),)


@layout("the same, `dataset.follow_links: true`", TWO)
def _(root):
    return (links(root), SET, "dataset.follow_links=true")


@layout("folders inside of class folders: `kind/group/species/`", {"fish": 4, "fowl": 4})
def _(root):
    birds(root / "fowl" / "long", "heron", "crow")
    birds(root / "fish" / "flat", "ray", "sole", seed=1)
    return (root, "--all-novel")


@layout("the same, `dataset.classes: leaf`", dict.fromkeys(("fish/ray", "fish/sole", "fowl/heron", "fowl/crow"), 2))
def _(root):
    birds(root / "fowl", "heron", "crow")
    birds(root / "fish", "ray", "sole", seed=1)
    return (root, SET, "dataset.classes=leaf")


@layout(
    "any suffix of a format that Pillow decodes here (.jfif .jpe .avif .jp2 .j2k .pgm .mpo ...)",
    dict.fromkeys(BIRDS, 8),
)
def _(root):
    for suffix in ("jpg", "JPEG", "jfif", "jpe", "tif"):
        birds(root, pictures=1, suffix=suffix)
    for suffix in ("avif", "jp2", "pgm"):
        birds(root, pictures=1, suffix=suffix)
    return (root,)


@layout("HEIC", {name: 4 if HEIF in formats() else 2 for name in BIRDS})
def _(root):
    birds(root, suffix="heic")
    return (birds(root),)


@layout("names that are no UTF-8, or would break a line", {"h\\xe9ron": 1, "new\\u000aline": 1, "a\\\\b": 1, "d": 1})
def _(root):
    for i, name in enumerate(("h\udce9ron", "new\nline", "a\\b", "d")):
        grow(root, {f"{name}/1.png": picture(i)})
    return (root,)


@layout("a bare folder of pictures", "holds no class folders and no table")
def _(root):
    return (grow(root, {"1.png": picture(0), "2.png": picture(1)}),)


@layout("an archive of another kind (zip, rar, 7z)", "must be a folder or one of .*a.zip")
def _(root):
    return (grow(root, {"a.zip": "PK"}) / "a.zip",)


# Published data sets, and how many classes their small trees have.
PUBLISHED = {
    "lists": 3,
    "cub": 4,
    "cars": 4,
    "cars in one": 2,
    "places": 4,
    "places by list": 4,
    "plantae": 4,
    "aircraft": 3,
    "pets": 3,
}
for name, classes in PUBLISHED.items():
    LAYOUTS[f"`{name}`, as it is distributed"] = (
        lambda root, name=name: (grow(root, TREES[name][1]), "--all-novel"),
        {"novel": classes},
    )
