"""Pictures in Parquet files, as the Hub keeps them, and files in which it is not clear what is meant."""

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from pipeline.data.sources.archives.parquet import huggingface
from tests.pipeline.data.sources.archives.made import features, parquet, picture, pictures, table
from tests.pipeline.data.sources.trees import note

NAMES = ["heron", "crow"]
PLAIN = {"image": pictures("abc"), "label": [0, 1, 0]}


def told(listing):
    return [(image.split, image.class_name, image.called) for image in listing.images]


def test_classes_are_called_by_the_names_in_the_schema_and_splits_by_files(tmp_path):
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        parquet(tmp_path / f"data/{name}.parquet", PLAIN, features(image=None, label=NAMES))
    listing = huggingface(str(tmp_path))
    assert len(listing.images) == 9
    assert {(image.split, image.class_name) for image in listing.images} == {
        (split, name) for split in ("base", "novel") for name in NAMES
    }
    first = listing.images[0]
    assert (first.called, first.path.read_bytes()) == ("data/test-00000-of-00001.parquet/00000001 1.png", picture(0, 1))
    assert listing.notes == ()


@pytest.mark.parametrize(
    ("columns", "told_of", "options"),
    [
        ({"image": PLAIN["image"], "label": [*NAMES, "heron"]}, None, {}),  # text, and no metadata
        ({"img": [one["bytes"] for one in PLAIN["image"]], "Class": [b"heron", b"crow", b"heron"]}, None, {}),
        ({"picture": PLAIN["image"], "species": [0, 1, 0]}, features(picture=None, species=NAMES), {}),
        (
            {**PLAIN, "mask": PLAIN["image"], "coarse": [0, 0, 0]},
            features(image=None, mask=None, label=NAMES, coarse=["bird"]),
            {"image_column": "image", "label_column": "label"},
        ),
        (
            {"image": PLAIN["image"], "meta": [{"species": name} for name in (*NAMES, "heron")]},
            features(image=None),
            {"label_column": "meta.species"},
        ),
        ({"x": [{"jpg": one} for one in PLAIN["image"]], "label": [*NAMES, "heron"]}, None, {"image_column": "x.jpg"}),
    ],
    ids=["text", "bytes", "odd names", "several", "nested class", "nested picture"],
)
def test_columns_that_are_known_or_named(tmp_path, columns, told_of, options):
    listing = huggingface(str(parquet(tmp_path / "a.parquet", columns, told_of)), **options)
    assert [(image.class_name, image.path.read_bytes()) for image in listing.images] == [
        ("crow", picture(0, 1)),
        ("heron", picture(0, 0)),
        ("heron", picture(0, 2)),
    ]


@pytest.mark.parametrize(
    ("columns", "told_of", "said"),
    [
        (
            {"image": PLAIN["image"]},
            features(image=None),
            r"must hold classes but none is known to \(it has image\): -",
        ),
        (
            {"label": [0]},
            None,
            r"columns of .* must hold pictures but .* --set dataset\.image_column=NAME names the one",
        ),
        (
            {**PLAIN, "mask": PLAIN["image"]},
            features(image=None, mask=None, label=NAMES),
            r"image_column must say which column holds pictures, as .* has image, mask: --set dataset\.image_column=im",
        ),
        (
            {"image": PLAIN["image"], "fine": [0, 1, 0], "coarse": [0, 0, 0]},
            features(image=None, fine=NAMES, coarse=["bird"]),
            r"label_column must say which column holds classes, as .* has fine, coarse: --set dataset\.label_column=f",
        ),
        ({**PLAIN, "label": [0, 2, 0]}, features(image=None, label=NAMES), "label must be 0 to 1, its names, but is 2"),
        ({**PLAIN, "label": [[0], [1], [0]]}, features(image=None, label=NAMES), "label must name one class but holds"),
        (
            {"image": [[one] for one in PLAIN["image"]], "label": [0, 1, 0]},
            features(image=None, label=NAMES),
            "column image of .* must hold one picture a row but holds a list of them",
        ),
        (
            {"image": [{"bytes": None, "path": "../../x.png"}], "label": [0]},
            features(image=None, label=NAMES),
            r"path of a picture must stay below .* but is '\.\./\.\./x\.png' in row 0 of",
        ),
    ],
)
def test_what_is_not_clear_is_refused_with_the_way_on(tmp_path, columns, told_of, said):
    with pytest.raises(ValueError, match=said) as caught:
        huggingface(str(parquet(tmp_path / "a.parquet", columns, told_of)))
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there(tmp_path):
    path = parquet(tmp_path / "a.parquet", {**PLAIN, "meta": [{"a": 1}] * 3}, features(image=None, label=NAMES))
    said = r"^label_column must be a column of .* \(image\.bytes, image\.path, label, meta\.a\) but is 'species'$"
    with pytest.raises(ValueError, match=said):
        huggingface(str(path), label_column="species")


def test_rows_without_class_or_picture_are_left_out_and_noted(tmp_path):
    (tmp_path / "there.png").write_bytes(picture(7))
    cells = [{"bytes": None, "path": name} for name in ("there.png", "gone.png", None)] + [PLAIN["image"][0]]
    path = parquet(tmp_path / "a.parquet", {"image": cells, "label": [0, 0, 1, -1]}, features(image=None, label=NAMES))
    listing = huggingface(str(path))
    assert [image.path for image in listing.images] == [tmp_path / "there.png"]
    assert (
        note(listing, "Pictures that are not there")
        == "Pictures that are not there left out: 1 (a.parquet/00000001 gone.png)."
    )
    assert note(listing, "Rows without a picture").endswith("1 (a.parquet/00000002).")
    assert note(listing, "Pictures without a class").endswith("1 (a.parquet/00000003 0.png).")


def test_arrow_files_as_datasets_saves_them(tmp_path):
    made = table(PLAIN, features(image=None, label=NAMES))
    for split, new in (("train", pa.ipc.new_stream), ("test", pa.ipc.new_file)):
        (tmp_path / split).mkdir()
        with new(tmp_path / split / "data-00000-of-00001.arrow", made.schema) as writer:
            writer.write_table(made)
        (tmp_path / split / "cache-0.arrow").write_bytes(b"no data")
    listing = huggingface(str(tmp_path))
    assert [split for split, *_ in told(listing)].count("base") == 3
    assert {image.class_name for image in listing.images} == set(NAMES)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_file_that_ends_early(tmp_path, suffix):
    whole = parquet(tmp_path / "a.parquet", PLAIN).read_bytes()
    (tmp_path / f"b.{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        ValueError, match=rf"b\.{suffix} must be a whole (Parquet|Arrow) file but .*; fetch it once more"
    ):
        huggingface(str(tmp_path / f"b.{suffix}"))
