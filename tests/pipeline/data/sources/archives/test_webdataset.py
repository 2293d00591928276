"""Pictures in tars: webdataset's, plain ones of class folders, and tars with which something is wrong."""

import json
import tarfile

import fsspec
import pyarrow as pa
import pytest

from pipeline.data.sources.archives.webdataset import webdataset
from tests.pipeline.data.sources.archives.made import link, picture, samples, tar
from tests.pipeline.data.sources.trees import note

PAIR = ["heron", "crow"]


def told(listing):
    return [(image.split, image.class_name, image.called) for image in listing.images]


def with_json(*labels):
    return samples([json.dumps(label) for label in labels], "json")


@pytest.mark.parametrize(
    ("members", "options"),
    [
        (samples(PAIR), {}),
        (samples(PAIR, "cls.txt"), {}),
        (samples(PAIR, "txt"), {}),
        (with_json({"label": "heron", "x": 1}, {"label": "crow"}), {}),
        (with_json({"meta": {"species": "heron"}}, {"meta": {"species": "crow"}}), {"label_column": "meta.species"}),
        (samples(PAIR, "family"), {"label_column": "family"}),
        ([("a/heron/1.png", picture(0, 0)), ("a/crow/2.png", picture(0, 1))], {}),
        ([("./heron/1.2.png", picture(0, 0)), ("./crow/1.3.png", picture(0, 1))], {}),
        (
            [*samples(["heron"]), ("000000.seg.png", picture(9)), *samples(["crow"], first=1)],
            {"image_column": ".PNG"},
        ),
    ],
    ids=["cls", "cls.txt", "txt", "json", "nested json", "named", "class folders", "dots", "several pictures"],
)
def test_classes_are_told_by_files_or_folders(tmp_path, members, options):
    listing = webdataset(str(tar(tmp_path / "a.tar", members)), **options)
    assert [image.class_name for image in listing.images] == ["crow", "heron"]
    assert listing.images[1].path.read_bytes() == picture(0, 0)


def test_splits_of_shards_and_of_folders_in_a_tar(tmp_path):
    tar(tmp_path / "a/train-0.tar", samples(PAIR))
    tar(tmp_path / "a/val-0.tar", samples(["wren"]))
    assert told(webdataset(str(tmp_path / "a"))) == [
        ("base", "crow", "train-0.tar/000001.png"),
        ("base", "heron", "train-0.tar/000000.png"),
        ("validation", "wren", "val-0.tar/000000.png"),
    ]
    inner = [
        (f"photos/{split}/{name}/1.png", picture(i)) for i, (split, name) in enumerate([("train", "a"), ("test", "b")])
    ]
    assert told(webdataset(str(tar(tmp_path / "b.tgz", inner, "w:gz")))) == [
        ("base", "a", "b.tgz/photos/train/a/1.png"),
        ("novel", "b", "b.tgz/photos/test/b/1.png"),
    ]


@pytest.mark.parametrize("suffix", ["tar.gz", "tgz", "tar.bz2", "tar.xz", "tar.zst"])
def test_tars_that_are_compressed(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "tar.zst":
        content = tar(tmp_path / "plain.tar", samples(PAIR)).read_bytes()
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(content)
    else:
        tar(path, samples(PAIR), f"w:{suffix[-3:].strip('r.').replace('tgz', 'gz')}")
    assert [image.class_name for image in webdataset(str(path)).images] == ["crow", "heron"]


def test_tars_at_an_address(tmp_path):
    memory = fsspec.filesystem("memory")
    for i in range(2):
        memory.pipe(f"/shop/p-{i}.tar", tar(tmp_path / f"{i}.tar", samples(PAIR, first=10 * i)).read_bytes())
    listing = webdataset("memory://shop/p-{0..1}.tar")
    assert [image.called for image in listing.images] == [
        f"p-{i}.tar/0000{n}.png" for n, i in (("01", 0), ("11", 1), ("00", 0), ("10", 1))
    ]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.99])
def test_a_tar_that_ends_early_is_refused_wherever_it_ends(tmp_path, mode, part):
    path = tar(tmp_path / "a.tar", samples(PAIR * 20), mode)
    whole = path.read_bytes().rstrip(b"\0") if mode == "w" else path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(
        ValueError, match=r"a\.tar must be a whole tar but reading it failed: .*; fetch or pack it once"
    ):
        webdataset(str(path))


def test_a_tar_that_ends_between_two_members_is_refused(tmp_path):
    path = tar(tmp_path / "a.tar", samples(PAIR))
    with tarfile.open(path) as archive:
        end = archive.getmembers()[2].offset
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(ValueError, match="it ends without the mark of an end"):
        webdataset(str(path))


@pytest.mark.parametrize(
    ("members", "options", "said"),
    [
        ([*samples(PAIR), link("a.png")], {}, r"must be files but a\.png is a symbolic link: .*tar --dereference"),
        ([*samples(PAIR), link("a.png", tarfile.LNKTYPE)], {}, "a.png is a link to another member"),
        ([*samples(PAIR), link("a.png", tarfile.CHRTYPE)], {}, "a.png is a device"),
        (
            [("1.png", picture(0))],
            {},
            r"must tell their class by cls, .* but 1 has png: --set dataset\.label_column=NAM",
        ),
        (with_json({"a": {"b": 1}, "c": 2}), {}, r"but 000000 has png, json \(in which there are a\.b, c\): --set"),
        (samples(PAIR), {"label_column": "species"}, r"must tell their class by 'species' but 000000 has png, cls: -"),
        (with_json({"label": [1, 2]}), {}, r"class must name one class but holds a list, .* in 000000\.png of"),
        ([("0.png", picture(0)), ("0.json", b"{oops")], {}, r"0\.json of .* must be JSON but reading it failed: Exp"),
        ([("0.png", picture(0)), ("0.json", b"[1]")], {}, r"must hold fields and values but holds a list"),
        (
            [("0.jpg", picture(0)), ("0.seg.png", picture(1)), ("0.cls", b"1")],
            {},
            r"image_column must say which file .* as 0 of .* has jpg, seg\.png: --set dataset\.image_column=jpg",
        ),
        ([("0.png", picture(0)), ("1.png", picture(1)), ("0.cls", b"1")], {"label_column": "cls"}, "follow each other"),
        ([*samples(PAIR), *samples(PAIR)], {}, "files of a sample must follow each other but those of 000000 do not"),
        ([("0.png", picture(0)), ("0.png", picture(1))], {}, r"0\.png must be in .* once but is there twice"),
        ([("readme.txt", b"hello")], {}, r"root must hold images .* \(Samples without a picture passed over: 1 "),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, members, options, said):
    with pytest.raises(ValueError, match=said) as caught:
        webdataset(str(tar(tmp_path / "a.tar", members)), **options)
    assert "\n" not in str(caught.value)


def test_hidden_files_and_samples_without_a_class_are_passed_over_and_noted(tmp_path):
    members = [*samples(PAIR), ("__MACOSX/._1.png", b""), ("._2.png", b""), ("9.png", picture(9)), ("10.cls", b"x")]
    listing = webdataset(str(tar(tmp_path / "a.tar", members)))
    assert len(listing.images) == 2
    assert note(listing, "Hidden").endswith("2 (a.tar/._2.png, a.tar/__MACOSX/._1.png).")
    assert note(listing, "Pictures without a class").endswith("1 (a.tar/9.png).")
    assert note(listing, "Samples without a picture").endswith("1 (a.tar/10.cls).")
