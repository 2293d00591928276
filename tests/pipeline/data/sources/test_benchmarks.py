from pathlib import Path

import pytest

from pipeline.data.sources.benchmarks import aircraft, cars, cub, pets
from pipeline.data.sources.listing import Box
from tests.pipeline.data.sources.trees import (
    AIRCRAFT,
    BIRDS,
    CARS,
    CARS_IN_ONE,
    CUB,
    MODELS,
    PETS,
    below,
    grow,
    note,
    told,
    without,
)


def test_cub_splits_names_boxes_and_masks(tmp_path: Path):
    listing = cub(grow(tmp_path, CUB))
    assert told(listing) == [
        ("base", "Black footed Albatross", f"images/{BIRDS[0]}/One_0.jpg"),
        ("novel", "Groove billed Ani", f"images/{BIRDS[3]}/One_3.jpg"),
        ("validation", "Laysan Albatross", f"images/{BIRDS[1]}/One_1.jpg"),
        ("base", "Sooty Albatross", f"images/{BIRDS[2]}/One_2.jpg"),
    ]
    first = listing.images[0]
    assert first.box == Box(60.0, 27.0, 385.0, 331.0)
    assert first.mask == tmp_path / "segmentations" / BIRDS[0] / "One_0.png"
    assert (min(first.mask_values), max(first.mask_values), len(first.mask_values)) == (128, 255, 128)


@pytest.mark.parametrize("beside", ["", "CUB_200_2011/"])
def test_cub_segmentations_unpack_beside_or_inside(tmp_path: Path, beside):
    plain = below("CUB_200_2011", without(CUB, "segmentations"))
    masks = {f"{beside}{name}": "" for name in CUB if name.startswith("segmentations")}
    listing = cub(grow(tmp_path, {**plain, **masks}))
    assert listing.images[0].mask == tmp_path / beside / "segmentations" / BIRDS[0] / "One_0.png"


def test_cub_boxes_and_masks_may_be_missing(tmp_path: Path):
    listing = cub(grow(tmp_path, without(CUB, "segmentations", "bounding")))
    assert {(image.box, image.mask, image.mask_values) for image in listing.images} == {(None, None, ())}


def test_cub_the_benchmark_s_two_hundred_classes(tmp_path: Path):
    names = [f"{i + 1:03}.Bird_{i + 1:03}" for i in range(200)]
    numbers = range(1, 201)
    files = {
        "classes.txt": "".join(f"{i} {name}\n" for i, name in zip(numbers, names, strict=True)),
        "images.txt": "".join(f"{i} {name}/1.jpg\n" for i, name in zip(numbers, names, strict=True)),
        "image_class_labels.txt": "".join(f"{i} {i}\n" for i in numbers),
        **{f"images/{name}/1.jpg": "" for name in names},
    }
    listing = cub(grow(tmp_path, files))
    splits = [image.split for image in listing.images]
    assert [splits.count(split) for split in ("base", "validation", "novel")] == [100, 50, 50]
    # the folder's number is the index from 0 and one: base are 1, 3, 5, ..., validation 2, 6, ..., novel 4, 8, ...
    novel = [int(image.class_name[-3:]) for image in listing.images if image.split == "novel"]
    assert novel == list(range(4, 201, 4))
    assert [int(image.class_name[-3:]) for image in listing.images if image.split == "base"] == list(range(1, 200, 2))
    assert listing.notes == ()


def test_cub_fewer_classes_and_missing_images_are_noted_and_splits_stay(tmp_path: Path):
    listing = cub(grow(tmp_path, without(CUB, f"images/{BIRDS[0]}", f"images/{BIRDS[1]}")))
    assert [(image.split, image.class_name) for image in listing.images] == [
        ("novel", "Groove billed Ani"),
        ("base", "Sooty Albatross"),
    ]
    assert note(listing, "Classes of cub: 4, but 200 in")
    assert note(listing, "Images that are not there, left out: 2 (")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes.txt": None}, "root of cub must hold images.txt, .* but .* has no classes.txt$"),
        ({"images.txt": "1\n"}, r"line 1 of .*images\.txt must have 2 cells but is '1'"),
        ({"image_class_labels.txt": "1 1\n"}, "must give image 2 a class but gives None"),
        ({"image_class_labels.txt": "1 9\n"}, "must give image 1 a class but gives 9"),
        ({"bounding_boxes.txt": "1 2 3 4\n"}, "line 1 of .* must have 5 cells"),
        ({"bounding_boxes.txt": "1 2 3 4 x\n"}, "a box of .* must be four numbers but is 2 3 4 x"),
    ],
)
def test_cub_broken(tmp_path: Path, change, says):
    files = {name: content for name, content in (CUB | change).items() if content is not None}
    with pytest.raises(ValueError, match=says):
        cub(grow(tmp_path, files))


def test_cars_devkit(tmp_path: Path):
    listing = cars(grow(tmp_path, CARS))
    assert told(listing) == [
        ("base", MODELS[0], "cars_train/00002.jpg"),
        ("validation", MODELS[1], "cars_test/00001.jpg"),
        ("base", MODELS[2], "cars_test/00002.jpg"),
        ("novel", MODELS[3], "cars_train/00001.jpg"),
    ]
    assert listing.images[0].box == Box(35.0, 0.0, 868.0, 587.0)


def test_cars_all_in_one(tmp_path: Path):
    listing = cars(grow(tmp_path, CARS_IN_ONE))
    assert told(listing) == [("base", MODELS[0], "car_ims/000001.jpg"), ("novel", MODELS[3], "car_ims/000002.jpg")]
    assert listing.images[0].box == Box(111.0, 6.0, 853.0, 717.0)


def test_cars_test_images_without_labels(tmp_path: Path):
    listing = cars(grow(tmp_path, without(CARS, "devkit/cars_test")))
    assert [path for _, _, path in told(listing)] == ["cars_train/00002.jpg", "cars_train/00001.jpg"]
    assert note(listing, "Images of cars_test left out")


def test_cars_labels_of_test_images_beside_the_devkit_and_nested_folders(tmp_path: Path):
    name = "cars_test_annos_withlabels.mat"
    files = without(CARS, "devkit/cars_test", "cars_") | {name: CARS[f"devkit/{name}"]}
    files |= {f"cars_{part}/cars_{part}/0000{i}.jpg": "" for part in ("train", "test") for i in (1, 2)}
    listing = cars(grow(tmp_path, files))
    assert told(listing)[1] == ("validation", MODELS[1], "cars_test/cars_test/00001.jpg")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"devkit/cars_meta.mat": None},
            "root of cars must hold devkit/cars_meta.mat, .* has no devkit/cars_meta.mat",
        ),
        ({"devkit/cars_train_annos.mat": None}, "cars_train_annos.mat must be there but is not"),
        (
            {"devkit/cars_train_annos.mat": b"no"},
            "cars_train_annos.mat must be a MATLAB file but reading it failed",
        ),
        ({"devkit/cars_train_annos.mat": CARS["devkit/cars_meta.mat"]}, "must hold annotations but has no 'annota"),
    ],
)
def test_cars_broken(tmp_path: Path, change, says):
    files = {name: content for name, content in (CARS | change).items() if content is not None}
    with pytest.raises(ValueError, match=says):
        cars(grow(tmp_path, files))


def test_aircraft_variants_of_all_parts_together(tmp_path: Path):
    listing = aircraft(grow(tmp_path, AIRCRAFT))
    assert told(listing) == [
        (None, "707-320", "data/images/1025794.jpg"),
        (None, "707-320", "data/images/1514522.jpg"),
        (None, "737-200", "data/images/0056978.jpg"),
        (None, "F/A-18", "data/images/1340192.jpg"),
    ]
    # 3 144 998 431 counts from 1 and holds its last pixel
    assert listing.images[0].box == Box(2.0, 143.0, 998.0, 431.0)


def test_aircraft_parts_that_overlap(tmp_path: Path):
    parts = {
        "data/images_variant_train.txt": "1025794 707-320\n",
        "data/images_variant_val.txt": "1340192 F/A-18\n",
    }
    everything = aircraft(grow(tmp_path / "all", AIRCRAFT | parts))
    assert told(everything) == told(aircraft(grow(tmp_path / "two", AIRCRAFT)))
    some = aircraft(grow(tmp_path / "some", without(AIRCRAFT, "data/images_variant") | parts))
    assert [name for _, name, _ in told(some)] == ["707-320", "F/A-18"]


def test_aircraft_broken(tmp_path: Path):
    with pytest.raises(ValueError, match=r"root of aircraft must hold .* has no data/images_variant_trainval.txt"):
        aircraft(grow(tmp_path, without(AIRCRAFT, "data/images_variant")))


def test_pets_breeds_and_trimaps(tmp_path: Path):
    listing = pets(grow(tmp_path, PETS))
    assert told(listing) == [
        (None, "Abyssinian", "images/Abyssinian_100.jpg"),
        (None, "Abyssinian", "images/Abyssinian_101.jpg"),
        (None, "Egyptian Mau", "images/Egyptian_Mau_10.jpg"),
        (None, "american pit bull terrier", "images/american_pit_bull_terrier_9.jpg"),
    ]
    assert listing.images[0].mask == tmp_path / "annotations/trimaps/Abyssinian_100.png"
    assert {image.mask_values for image in listing.images} == {(1, 3)}
    assert listing.notes == ()


def test_pets_without_trimaps(tmp_path: Path):
    listing = pets(grow(tmp_path, without(PETS, "annotations/trimaps")))
    assert {(image.mask, image.mask_values) for image in listing.images} == {(None, ())}


def test_pets_broken(tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"root of pets must hold images, annotations/list.txt .* has no annotations/l"
    ):
        pets(grow(tmp_path, without(PETS, "annotations/list.txt")))
