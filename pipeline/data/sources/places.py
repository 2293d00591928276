"""Places365, in both layouts in which it is distributed."""

from collections import defaultdict
from pathlib import Path

from pipeline.data.sources.conventions import BENCHMARK, benchmark_splits, dataset_root, lines, printable
from pipeline.data.sources.folders import Tree
from pipeline.data.sources.listing import Listed, Listing, assemble, existing

IMAGES_A_CLASS = 200
CATEGORIES = "categories_places365.txt"
TRAIN = "places365_train_standard.txt"
# The smaller pictures first: they have 256 pixels a side, as the benchmark's own.
PICTURES = ("data_256", "data_256_standard", "data_large", "data_large_standard")


def places(root: Path, follow_links: bool = False) -> Listing:
    """Lists Places365-Standard (Zhou et al., 2017), either as the archive of small pictures unpacks (train/<class>/) or
    by categories_places365.txt and places365_train_standard.txt with data_256/ or data_large/.

    As in the benchmark (Tseng et al., ICLR 2020), the first 200 training images of each class by name are listed, no
    others, and splits follow from the place of the class among the sorted names. A class /f/field/wild is called
    field-wild, so that both layouts give the same splits. Raises ValueError where a file or folder is missing.
    """
    folder = dataset_root("places", root, "places365_standard", ("train",), (CATEGORIES, TRAIN))
    if (folder / "train").is_dir():
        tree = Tree(folder / "train", follow_links)
        classes = {one.name: tree.images(one) for one in tree.folders(tree.root)}
        notes = tree.notes()
    else:
        classes, notes = _by_list(folder), []
    splits, others = benchmark_splits("places", sorted(classes), 365)
    if rest := sum(max(0, len(paths) - IMAGES_A_CLASS) for paths in classes.values()):
        notes.append(f"Images beyond the first {IMAGES_A_CLASS} of a class, left out as in {BENCHMARK}: {rest}.")
    images = [
        Listed(path, printable(name), splits[name])
        for name, paths in classes.items()
        for path in sorted(paths, key=Path.as_posix)[:IMAGES_A_CLASS]
    ]
    there, missing = existing(images)
    return assemble("places", root, there, [*notes, *others, *missing])


def _by_list(folder: Path) -> dict[str, list[Path]]:
    pictures = next((one for name in PICTURES if (one := folder / name).is_dir()), None)
    if pictures is None:
        raise ValueError(f"root of places must hold one of {', '.join(PICTURES)} but {folder} does not")
    names = {number: "-".join(name.strip("/").split("/")[1:]) for name, number in lines(folder / CATEGORIES, 2)}
    classes: dict[str, list[Path]] = defaultdict(list, {name: [] for name in names.values()})
    for image, number in lines(folder / TRAIN, 2):
        if number not in names:
            raise ValueError(f"{folder / CATEGORIES} must name class {number} of {image} but does not")
        classes[names[number]].append(pictures / image.strip("/"))
    return classes
