"""Small trees in the layouts of the sources, as what each file holds, and what comes out of them."""

import io
import json
from pathlib import Path

import numpy as np
import scipy.io

from pipeline.data.sources.listing import Listing

BOXED = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def grow(root: Path, files: dict[str, str | bytes], reverse: bool = False) -> Path:
    """Writes the files, in the order given or the other way round."""
    for name, content in sorted(files.items(), reverse=reverse):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def told(listing: Listing) -> list[tuple[str | None, str, str]]:
    """What a listing holds: split, class and path below its root of each image."""
    root = listing.root if listing.root.is_dir() else listing.root.parent
    return [(image.split, image.class_name, image.path.relative_to(root).as_posix()) for image in listing.images]


def note(listing: Listing, beginning: str) -> str:
    """The one note that begins so."""
    (found,) = [text for text in listing.notes if text.startswith(beginning)]
    return found


def without(files: dict[str, str | bytes], *names: str) -> dict[str, str | bytes]:
    return {name: content for name, content in files.items() if not name.startswith(names)}


def below(folder: str, files: dict[str, str | bytes]) -> dict[str, str | bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def matlab(fields: tuple[str, ...] = (), rows: list[tuple] = (), names: list[str] = ()) -> bytes:
    """A .mat file with a 1 x n struct array `annotations`, a 1 x n cell array `class_names`, or both."""
    content = {}
    if rows:
        content["annotations"] = np.array([rows], dtype=[(field, object) for field in fields])
    if names:
        content["class_names"] = np.array([names], dtype=object)
    stream = io.BytesIO()
    scipy.io.savemat(stream, content)
    return stream.getvalue()


FOLDER = {"b/1.jpg": "", "b/2.PNG": "", "a/x/deep.webp": "", "a/1.jpeg": "", "c d/1.tiff": ""}

TABLE = {
    "images.csv": "path,label\npictures/2.jpg,b\npictures/1.jpg,a\npictures/3.jpg,a\n",
    "pictures/1.jpg": "",
    "pictures/2.jpg": "",
    "pictures/3.jpg": "",
}

LISTS = {
    **{
        f"{split}.json": json.dumps(
            {
                "label_names": ["crow", "duck", "wren"],
                "image_names": [f"/elsewhere/filelists/images/{name}/{i}.jpg" for i in (2, 1)],
                "image_labels": [label] * 2,
            }
        )
        for label, (split, name) in enumerate({"base": "crow", "val": "duck", "novel": "wren"}.items())
    },
    **{f"images/{name}/{i}.jpg": "" for name in ("crow", "duck", "wren") for i in (1, 2)},
}

BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross", "004.Groove_billed_Ani")
CUB = {
    "classes.txt": "".join(f"{i + 1} {name}\n" for i, name in enumerate(BIRDS)),
    "images.txt": "".join(f"{i + 1} {name}/One_{i}.jpg\n" for i, name in enumerate(BIRDS)),
    "image_class_labels.txt": "1 1\n2 2\n3 3\n4 4\n",
    "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n2 0.0 1.0 2.0 3.0\n3 4.5 5.0 6.0 7.0\n4 1.0 1.0 1.0 1.0\n",
    **{f"images/{name}/One_{i}.jpg": "" for i, name in enumerate(BIRDS)},
    **{f"segmentations/{name}/One_{i}.png": "" for i, name in enumerate(BIRDS)},
}

MODELS = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Acura TL Sedan 2012", "Ram C/V Cargo Van Minivan 2012"]
CARS = {
    "devkit/cars_meta.mat": matlab(names=MODELS),
    "devkit/cars_train_annos.mat": matlab(
        (*BOXED, "class", "fname"), [(39, 116, 569, 375, 4, "00001.jpg"), (36, 1, 868, 587, 1, "00002.jpg")]
    ),
    "devkit/cars_test_annos_withlabels.mat": matlab(
        (*BOXED, "class", "fname"), [(1, 2, 3, 4, 2, "00001.jpg"), (5, 6, 7, 8, 3, "00002.jpg")]
    ),
    **{f"cars_{part}/0000{i}.jpg": "" for part in ("train", "test") for i in (1, 2)},
}
CARS_IN_ONE = {
    "cars_annos.mat": matlab(
        ("relative_im_path", *BOXED, "class", "test"),
        [("car_ims/000001.jpg", 112, 7, 853, 717, 1, 0), ("car_ims/000002.jpg", 48, 24, 441, 202, 4, 1)],
        MODELS,
    ),
    "car_ims/000001.jpg": "",
    "car_ims/000002.jpg": "",
}

SCENES = ("airfield", "apartment_building-outdoor", "apartment_building_x", "zen_garden")
PLACES = {
    **{f"train/{name}/Places365_train_0000000{i}.jpg": "" for name in SCENES for i in (2, 1)},
    **{f"val/{name}/Places365_val_00000001.jpg": "" for name in SCENES},
}
PLACES_BY_LIST = {
    "categories_places365.txt": "/a/airfield 0\n/a/apartment_building/outdoor 1\n/a/apartment_building_x 2\n"
    "/z/zen_garden 3\n",
    "places365_train_standard.txt": "/z/zen_garden/00000001.jpg 3\n/a/airfield/00000001.jpg 0\n"
    "/a/apartment_building/outdoor/00000001.jpg 1\n/a/apartment_building_x/00000001.jpg 2\n",
    **{
        f"data_256/{name}/00000001.jpg": ""
        for name in ("a/airfield", "a/apartment_building/outdoor", "a/apartment_building_x", "z/zen_garden")
    },
}

# Four plants with 4, 2, 3 and 2 images.
PLANTS = {"5221": 4, "5330": 2, "6000": 3, "7477": 2}
PLANTAE = {f"train_val2018/Plantae/{name}/{i:032x}.jpg": "" for name, count in PLANTS.items() for i in range(count)} | {
    "train_val2018/Aves/3000/0.jpg": ""
}

AIRCRAFT = {
    "data/variants.txt": "707-320\n737-200\nF/A-18\n",
    "data/images_variant_trainval.txt": "1025794 707-320\n1340192 F/A-18\n",
    "data/images_variant_test.txt": "1514522 707-320\n0056978 737-200\n",
    "data/images_box.txt": "1025794 3 144 998 431\n1340192 1 1 2 2\n1514522 5 6 7 8\n0056978 9 10 11 12\n",
    **{f"data/images/{image}.jpg": "" for image in ("1025794", "1340192", "1514522", "0056978")},
}

ANIMALS = ("Abyssinian_100", "Abyssinian_101", "american_pit_bull_terrier_9", "Egyptian_Mau_10")
PETS = {
    "annotations/list.txt": "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n"
    + "".join(f"{name} 1 1 1\n" for name in ANIMALS),
    **{f"images/{name}.jpg": "" for name in ANIMALS},
    **{f"annotations/trimaps/{name}.png": "" for name in ANIMALS},
    **{f"annotations/trimaps/._{name}.png": "" for name in ANIMALS},
}

# By layout: the source, the files, and the folder that its archive unpacks to.
TREES: dict[str, tuple[str, dict[str, str | bytes], str | None]] = {
    "folder": ("folder", FOLDER, None),
    "table": ("table", TABLE, None),
    "lists": ("lists", LISTS, None),
    "cub": ("cub", CUB, "CUB_200_2011"),
    "cars": ("cars", CARS, "stanford_cars"),
    "cars in one": ("cars", CARS_IN_ONE, "stanford_cars"),
    "places": ("places", PLACES, "places365_standard"),
    "places by list": ("places", PLACES_BY_LIST, None),
    "plantae": ("plantae", PLANTAE, None),
    "aircraft": ("aircraft", AIRCRAFT, "fgvc-aircraft-2013b"),
    "pets": ("pets", PETS, "oxford-iiit-pet"),
}
