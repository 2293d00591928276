"""Published data sets whose classes and boxes are in annotation files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from pipeline.data.sources.conventions import benchmark_splits, dataset_root, lines, printable
from pipeline.data.sources.listing import Box, Listed, Listing, assemble, existing

# A pixel of CUB's masks counts the annotators who saw the bird there, 255 for all of them: half of them or more.
MAJORITY = tuple(range(128, 256))
# Oxford-IIIT Pets' trimaps: 1 the animal, 3 its border, 2 what is around it.
PET = (1, 3)


def cub(root: Path) -> Listing:
    """Lists Caltech-UCSD Birds-200-2011 (Wah et al., 2011), as its archive unpacks: images.txt, image_class_labels.txt,
    classes.txt, images/, and where they are there bounding_boxes.txt and segmentations/ (in root, or beside images/).

    Splits are the benchmark's, by class name. Boxes are x and y of the first pixel, width and height. Raises ValueError
    where a file is missing or does not fit the others.
    """
    needed = ("images.txt", "image_class_labels.txt", "classes.txt", "images")
    folder = dataset_root("cub", root, "CUB_200_2011", needed)
    classes = dict(lines(folder / "classes.txt", 2))
    labels = dict(lines(folder / "image_class_labels.txt", 2))
    splits, notes = benchmark_splits("cub", sorted(classes.values()), 200)
    boxes: dict[str, Box] = {}
    if (folder / "bounding_boxes.txt").is_file():
        for image, *cells in lines(folder / "bounding_boxes.txt", 5):
            x, y, width, height = _numbers(folder / "bounding_boxes.txt", cells)
            # Counted from 0, since some begin there: image 159 has 0 0 400 378, image 272 has 0 0 500 375.
            boxes[image] = Box(x, y, x + width, y + height)
    masks = next((one for one in (folder / "segmentations", root / "segmentations") if one.is_dir()), None)
    images = []
    for image, name in lines(folder / "images.txt", 2):
        label = labels.get(image)
        if label not in classes:
            raise ValueError(f"image_class_labels.txt of {folder} must give image {image} a class but gives {label}")
        images.append(
            Listed(
                folder / "images" / name,
                printable(classes[label]),
                splits[classes[label]],
                boxes.get(image),
                (masks / name).with_suffix(".png") if masks else None,
                MAJORITY if masks else (),
            )
        )
    there, missing = existing(images)
    return assemble("cub", root, there, [*notes, *missing])


def cars(root: Path) -> Listing:
    """Lists Stanford Cars (Krause et al., 2013), in either layout: devkit/ with cars_train/ and cars_test/, or
    cars_annos.mat with car_ims/.

    All images with a label are listed; the benchmark's own lists hold those of cars_train alone. Splits are the
    benchmark's, by the class numbers. Boxes count pixels from 1 and hold their last pixel. Raises ValueError where a
    file is missing or not what it should be.
    """
    folder = dataset_root(
        "cars", root, "stanford_cars", ("devkit/cars_meta.mat", "cars_train"), ("cars_annos.mat", "car_ims")
    )
    notes = []
    rows: list[tuple[Path, Any]] = []
    if (folder / "devkit/cars_meta.mat").is_file():
        (names,) = _matlab(folder / "devkit/cars_meta.mat", "class_names")
        (train,) = _matlab(folder / "devkit/cars_train_annos.mat", "annotations")
        rows += [(_unpacked(folder / "cars_train") / str(row["fname"]), row) for row in train]
        places = (folder / "devkit", folder)
        tested = [one for place in places if (one := place / "cars_test_annos_withlabels.mat").is_file()]
        if tested:
            (test,) = _matlab(tested[0], "annotations")
            rows += [(_unpacked(folder / "cars_test") / str(row["fname"]), row) for row in test]
        else:
            notes.append("Images of cars_test left out, since there is no cars_test_annos_withlabels.mat.")
    else:
        names, both = _matlab(folder / "cars_annos.mat", "class_names", "annotations")
        rows += [(folder / str(row["relative_im_path"]), row) for row in both]
    classes = [str(name) for name in names]
    splits, others = benchmark_splits("cars", classes, 196)
    images = []
    for path, row in rows:
        if not 1 <= row["class"] <= len(classes):
            raise ValueError(f"class of {path} must be 1 to {len(classes)} but is {row['class']}")
        name = classes[int(row["class"]) - 1]
        left, top, right, bottom = (float(row[f"bbox_{corner}"]) for corner in ("x1", "y1", "x2", "y2"))
        images.append(Listed(path, printable(name), splits[name], Box(left - 1, top - 1, right, bottom)))
    there, missing = existing(images)
    return assemble("cars", root, there, [*notes, *others, *missing])


def aircraft(root: Path) -> Listing:
    """Lists FGVC-Aircraft 2013b (Maji et al., 2013, arXiv:1306.5151), as its archive unpacks: data/images/ and the
    lists data/images_variant_*.txt, all of them together; boxes are from data/images_box.txt, which count pixels from 1
    and hold their last pixel.

    Classes are the 100 variants, none has a split; the lists released with "Focus Your Attention when Few-Shot
    Classification" have 70 classes, as many as there are families. The last 20 rows of each picture name who took it.
    Raises ValueError where a file is missing.
    """
    parts = ("trainval", "train", "val", "test")
    ways = [("data/images", f"data/images_variant_{part}.txt") for part in parts]
    data = dataset_root("aircraft", root, "fgvc-aircraft-2013b", *ways) / "data"
    boxes: dict[str, Box] = {}
    if (data / "images_box.txt").is_file():
        for image, *cells in lines(data / "images_box.txt", 5):
            left, top, right, bottom = _numbers(data / "images_box.txt", cells)
            boxes[image] = Box(left - 1, top - 1, right, bottom)
    files = [file for part in parts if (file := data / f"images_variant_{part}.txt").is_file()]
    variants = dict(row for file in files for row in lines(file, 2))
    images = [
        Listed(data / "images" / f"{image}.jpg", printable(variant), box=boxes.get(image))
        for image, variant in variants.items()
    ]
    there, missing = existing(images)
    return assemble("aircraft", root, there, missing)


def pets(root: Path) -> Listing:
    """Lists Oxford-IIIT Pets (Parkhi et al., 2012), as its archives unpack: images/, annotations/list.txt and, where
    they are there, annotations/trimaps/. The boxes of heads in annotations/xmls/ are not used: a trimap shows the whole
    animal.

    Classes are the 37 breeds, none has a split. Raises ValueError where a file is missing.
    """
    folder = dataset_root("pets", root, "oxford-iiit-pet", ("images", "annotations/list.txt"))
    trimaps = folder / "annotations" / "trimaps"
    masked = trimaps.is_dir()
    images = [
        Listed(
            folder / "images" / f"{image}.jpg",
            printable(image.rpartition("_")[0]),
            mask=trimaps / f"{image}.png" if masked else None,
            mask_values=PET if masked else (),
        )
        for image, _ in lines(folder / "annotations" / "list.txt", 2)
    ]
    there, missing = existing(images)
    return assemble("pets", root, there, missing)


def _numbers(file: Path, cells: Sequence[str]) -> list[float]:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        raise ValueError(f"a box of {file} must be four numbers but is {' '.join(cells)}") from None


def _matlab(file: Path, *names: str) -> list[Any]:
    """Returns arrays of a .mat file, each as one row of records."""
    if not file.is_file():
        raise ValueError(f"{file} must be there but is not")
    try:
        content = scipy.io.loadmat(file, squeeze_me=True)
        return [np.atleast_1d(content[name]) for name in names]
    except KeyError as error:
        raise ValueError(f"{file} must hold {', '.join(names)} but has no {error}") from error
    except Exception as error:  # scipy has one of its own for each kind of damage
        raise ValueError(f"{file} must be a MATLAB file but reading it failed: {error}") from error


def _unpacked(folder: Path) -> Path:
    """Returns where copies of the archives put images: in the folder, or in a folder of the same name in it."""
    inner = folder / folder.name
    return inner if inner.is_dir() else folder
