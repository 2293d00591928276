"""The plants of iNaturalist, as the cross-domain few-shot benchmark takes them."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from pipeline.data.sources.conventions import BENCHMARK, benchmark_splits, printable
from pipeline.data.sources.folders import Tree
from pipeline.data.sources.listing import Listed, Listing, assemble, existing

CLASSES = 200
IMAGES_A_CLASS = 600


def plantae(root: Path, follow_links: bool = False) -> Listing:
    """Lists plants of iNaturalist 2017 or 2018 (Van Horn et al., CVPR 2018, arXiv:1707.06642): the class folders in
    Plantae/ (right in root, or one folder down as in train_val2018/Plantae/), or else what train2017.json or
    train2018.json says has the supercategory Plantae. Folders that are numbers get the names of categories.json or
    these files.

    As in the benchmark (Tseng et al., ICLR 2020), the 200 classes with the most images are listed, and splits follow
    from their place in the order of growing numbers of images. Classes of equal size follow each other by name, where
    the benchmark left it to the file system; of a class it took 600 images at random, here they are the first 600 by
    name, and names are digests. Raises ValueError where neither folder nor file is there.
    """
    folder = next((one for one in _candidates(root) if one.is_dir()), None)
    if folder is not None:
        tree = Tree(folder, follow_links)
        found = {one.name: paths for one in tree.folders(folder) if (paths := tree.images(one))}
        notes = tree.notes()
        names = _names(root) if any(name.isdigit() for name in found) else {}
    else:
        found, notes, names = _by_annotations(root), [], {}
    ranked = sorted(found, key=lambda name: (len(found[name]), name))[-CLASSES:]
    splits, others = benchmark_splits("plantae", ranked, CLASSES)
    if rest := len(found) - len(ranked):
        notes.append(f"Classes beyond the {CLASSES} with the most images, left out as in {BENCHMARK}: {rest}.")
    if rest := sum(max(0, len(found[name]) - IMAGES_A_CLASS) for name in ranked):
        notes.append(f"Images beyond the first {IMAGES_A_CLASS} of a class, left out as in {BENCHMARK}: {rest}.")
    images = [
        Listed(path, printable(names.get(name, name)), splits[name])
        for name in ranked
        for path in sorted(found[name], key=Path.as_posix)[:IMAGES_A_CLASS]
    ]
    there, missing = existing(images)
    return assemble("plantae", root, there, [*notes, *others, *missing])


def _candidates(root: Path) -> list[Path]:
    return [*([root] if root.name == "Plantae" else []), root / "Plantae", *sorted(root.glob("*/Plantae"))]


def _by_annotations(root: Path) -> dict[str, list[Path]]:
    file = next(iter(sorted(root.glob("train20*.json"))), None)
    if file is None:
        raise ValueError(
            f"root of plantae must hold a folder Plantae, train2017.json or train2018.json but {root} does not"
        )
    content = _json(file)
    try:
        plants = {one["id"]: str(one["name"]) for one in content["categories"] if one["supercategory"] == "Plantae"}
        paths = {one["id"]: root / one["file_name"] for one in content["images"]}
        found: dict[str, list[Path]] = defaultdict(list)
        for one in content["annotations"]:
            if one["category_id"] in plants:
                found[plants[one["category_id"]]].append(paths[one["image_id"]])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file} must be laid out like train2017.json but lacks {error}") from error
    return found


def _names(root: Path) -> dict[str, str]:
    """Returns what categories with a number are called, by any file that says it."""
    for file in (*sorted(root.glob("categories*.json")), *sorted(root.glob("train20*.json"))):
        content = _json(file)
        categories = content["categories"] if isinstance(content, dict) else content
        return {str(one["id"]): str(one["name"]) for one in categories}
    return {}


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} must be JSON but reading it failed: {error}") from error
