import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.data.sources.catalogue import detect
from pipeline.data.sources.listing import Box
from pipeline.data.sources.tables import table
from tests.pipeline.data.sources.trees import TABLE, grow, note, told

PICTURES = {name: content for name, content in TABLE.items() if name != "images.csv"}


def listed(root: Path, text: str | bytes, name: str = "t.csv"):
    grow(root, {**PICTURES, name: text})
    return table(root / name)


@pytest.mark.parametrize("label", ["label", "class", "class_name", " Label "])
@pytest.mark.parametrize(("suffix", "mark"), [("csv", ","), ("tsv", "\t"), ("CSV", ",")])
def test_plain_text(tmp_path: Path, label, suffix, mark):
    rows = [
        ["path", label, "note"],
        ["pictures/2.jpg", "x, y" if mark == "\t" else "x", ""],
        ["./pictures/1.jpg", "a", "é"],
    ]
    text = "\ufeff" + "\r\n".join(mark.join(row) for row in rows) + "\r\n\r\n"
    listing = listed(tmp_path, text, f"t.{suffix}")
    assert told(listing) == [
        (None, "a", "pictures/1.jpg"),
        (None, "x, y" if mark == "\t" else "x", "pictures/2.jpg"),
    ]
    assert listing.notes == ()


def test_splits_boxes_and_masks(tmp_path: Path):
    listing = listed(
        tmp_path,
        "path,class,split,left,top,right,bottom,mask\n"
        "pictures/1.jpg,a,TRAIN,1,2,3.5,4,pictures/2.jpg\n"
        "pictures/2.jpg,b,valid,,,,,\n"
        "pictures/3.jpg,c,novel,0,0,1,1,pictures/none.png\n",
    )
    first, second, third = listing.images
    assert [image.split for image in listing.images] == ["base", "validation", "novel"]
    assert (first.box, first.mask) == (Box(1.0, 2.0, 3.5, 4.0), tmp_path / "pictures/2.jpg")
    assert (second.box, second.mask) == (None, None)
    assert (third.box, third.mask) == (Box(0.0, 0.0, 1.0, 1.0), None)
    assert note(listing, "Masks").endswith(f"kept: 1 ({tmp_path}/pictures/none.png).")


def test_boxes_by_size(tmp_path: Path):
    listing = listed(tmp_path, "path,label,x,y,width,height\npictures/1.jpg,a,1,2,3,4\n")
    assert listing.images[0].box == Box(1.0, 2.0, 4.0, 6.0)


def test_parquet(tmp_path: Path):
    columns = {
        "path": ["pictures/3.jpg", "pictures/1.jpg"],
        "label": [7, 3],
        "left": [1.0, float("nan")],
        "top": [2.0, None],
        "right": [3.0, None],
        "bottom": [4.5, None],
        "split": pa.array(["test", None]).dictionary_encode(),
        "embedding": [[1.0], [2.0]],
    }
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), stream)
    listing = listed(tmp_path, stream.getvalue(), "t.parquet")
    assert told(listing) == [(None, "3", "pictures/1.jpg"), ("novel", "7", "pictures/3.jpg")]
    assert [image.box for image in listing.images] == [None, Box(1.0, 2.0, 3.0, 4.5)]


def test_missing_files_are_left_out_and_noted(tmp_path: Path):
    gone = "".join(f"gone/{i}.jpg,a\n" for i in range(5))
    listing = listed(tmp_path, f"path,label\n{gone}pictures/1.jpg,a\n")
    assert told(listing) == [(None, "a", "pictures/1.jpg")]
    names = ", ".join(f"{tmp_path}/gone/{i}.jpg" for i in range(3))
    assert listing.notes == (f"Images that are not there, left out: 5 ({names}, ...).",)
    with pytest.raises(ValueError, match=r"has none .Images that are not there, left out: 1 "):
        listed(tmp_path, "path,label\nnone.jpg,a\n")


def test_paths_outside_are_absolute(tmp_path: Path):
    grow(tmp_path, {"far/1.jpg": ""})
    home = tmp_path / "home"
    listing = listed(home, f"path,label\n{tmp_path}/far/1.jpg,a\npictures/x/../1.jpg,b\n")
    assert [image.path for image in listing.images] == [tmp_path / "far/1.jpg", home / "pictures/1.jpg"]
    with pytest.raises(ValueError, match=r"path must be absolute or stay below .* got '\.\./far/1\.jpg' in row 1 of"):
        listed(home, "path,label\n../far/1.jpg,a\n")


def test_an_image_listed_twice_and_an_image_of_two_classes(tmp_path: Path):
    listing = listed(tmp_path, "path,label\npictures/1.jpg,a\npictures/1.jpg,a\n")
    assert told(listing) == [(None, "a", "pictures/1.jpg")]
    assert note(listing, "Images listed more than once").endswith(f": 1 ({tmp_path}/pictures/1.jpg).")
    with pytest.raises(ValueError, match=r"image .*1\.jpg must have one class but has 'a' and 'b'"):
        listed(tmp_path, "path,label\npictures/1.jpg,a\npictures/1.jpg,b\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "file,label\n",
            r"columns of .* must be one of path, .* but are file, label; --set dataset\.image_column=NAME",
        ),
        (
            "path;label\na;b\n",
            "but are path;label; --set dataset.image_column=NAME --set dataset.label_column=NAME takes another$",
        ),
        ("", "but are none$"),
        ("path,label\na.jpg\n", "row 1 of .* must have 2 cells but has 1$"),
        ("path,label\n,a\n", "path must be given but is empty in row 1 of"),
        ("path,label\na.jpg,\n", "label must be given but is empty in row 1 of"),
        ("path,label,split\na.jpg,a,\nb.jpg,a,rest\n", "split must be one of base, .* but got 'rest' in row 2 of"),
        ("path,label,x,y,width,height\na,a,1,2,,4\n", "x, y, width, height must be four numbers .* width empty"),
        ("path,label,x,y\na,a,1,2\n", "x, y, width, height must be four numbers .* height empty in row 1"),
        ("path,label,left,top,right,bottom\na,a,1,2,1,4\n", "a box must hold a pixel at least but got left 1, "),
        ("path,label,left,top,right,bottom\na,a,1,2,inf,4\n", "a box must hold a pixel at least but got left 1, "),
        (b"path,label\n\xff\xfe,a\n", "must be a csv table but reading it failed: 'utf-8' codec"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, text, says):
    with pytest.raises(ValueError, match=says) as caught:
        listed(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_paths_of_windows(tmp_path: Path):
    """A table that was made there; what none of its paths is here is said as before."""
    rows = "path,label,mask\nheron\\1.jpg,heron,masks\\1.png\nC:\\data\\teal\\1.jpg,teal,\nteal\\2.jpg,teal,\n"
    grow(tmp_path, {"heron/1.jpg": "", "teal/1.jpg": "", "masks/1.png": ""})
    listing = listed(tmp_path, rows)
    assert told(listing) == [(None, "heron", "heron/1.jpg"), (None, "teal", "teal/1.jpg")]
    assert listing.images[0].mask == tmp_path / "masks/1.png"
    assert listing.notes == (
        r"Paths of Windows, found here: 3 (C:\\data\\teal\\1.jpg as teal/1.jpg, heron\\1.jpg as heron/1.jpg, "
        r"masks\\1.png as masks/1.png).",
        rf"Images that are not there, left out: 1 ({tmp_path}/teal\\2.jpg).",
    )


def test_text_that_was_stored_as_bytes(tmp_path: Path):
    names = {"path": [b"a.jpg", b"b.jpg"], "label": [b"3", "gr\u00fcn".encode()]}
    pyarrow.parquet.write_table(pa.table(names), grow(tmp_path, {"a.jpg": "", "b.jpg": ""}) / "images.parquet")
    assert told(table(tmp_path / "images.parquet")) == [(None, "3", "a.jpg"), (None, "gr\u00fcn", "b.jpg")]
    rows = "path,label\nb'a.jpg',b'3'\nb'b.jpg',\"b'gr\\xc3\\xbcn'\"\n"
    assert told(listed(tmp_path, rows)) == [(None, "3", "a.jpg"), (None, "gr\u00fcn", "b.jpg")]
    odd = "path,label\na.jpg,b'3'\nb.jpg,blue\n"  # one that is none leaves the column as it is
    assert {name for _, name, _ in told(listed(tmp_path, odd))} == {"b'3'", "blue"}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, suffix):
    grow(tmp_path, {"a.jpg": ""})
    file = tmp_path / f"images.{suffix}"
    if suffix == "csv":
        file.write_text("path,Label,other,other,label\na.jpg,a,1,2,b\n")
    else:
        columns = [pa.array([cell]) for cell in ("a.jpg", "a", "1", "2", "b")]
        pyarrow.parquet.write_table(pa.Table.from_arrays(columns, ["path", "Label", "other", "other", "label"]), file)
    said = f"^column label of {file} must be there once but is there as 'Label' and 'label': rename all but one$"
    with pytest.raises(ValueError, match=said):
        table(file)


def test_a_folder_with_one_table(tmp_path: Path):
    root = grow(tmp_path, {**TABLE, "scores.csv": "epoch,loss\n1,2\n", "broken.parquet": "no"})
    assert detect(root) == "table"
    assert told(table(root))[0] == (None, "a", "pictures/1.jpg")
    grow(root, {"more.tsv": "path\tlabel\n"})
    with pytest.raises(ValueError, match=r"root must be a table or hold one .* holds images\.csv, more\.tsv"):
        table(root)
    with pytest.raises(ValueError, match="must be a parquet table but reading it failed"):
        table(root / "broken.parquet")


def test_a_file_is_detected_by_its_suffix(tmp_path: Path):
    assert detect(grow(tmp_path, TABLE) / "images.csv") == "table"
