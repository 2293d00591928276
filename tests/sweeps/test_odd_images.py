"""`fpt data` on a folder with whatever a disk may hold: each oddity gets a line, and the rest is packed."""

import json
import os
import struct
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.data.store import ImageStore
from sweeps import cli

NFC, NFD = (unicodedata.normalize(form, "pré") for form in ("NFC", "NFD"))
GOOD = 5  # images of each class
RANDOM = np.random.default_rng(0)


def noise(*shape):
    return Image.fromarray(RANDOM.integers(0, 256, shape or (40, 48, 3), dtype=np.uint8))


def png(width, height, pixels=b"", others=()):
    """A grey PNG, whatever its pixels are."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), *others, (b"IDAT", pixels), (b"IEND", b"")]
    sealed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(sealed)


def zeros(count):
    """So many bytes, deflated: a thousandth of them."""
    packer = zlib.compressobj(9)
    return (
        b"".join(packer.compress(bytes(2**20)) for _ in range(count >> 20))
        + packer.compress(bytes(count % 2**20))
        + packer.flush()
    )


def bytes_path(folder: Path, name: bytes) -> Path:
    return Path(os.fsdecode(bytes(folder) + b"/" + name))


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Path:
    """Classes whose names are odd, with 5 images each, and the class `a`, in which the images are."""
    root = tmp_path_factory.mktemp("odd") / "images"
    names = [b"a", b"A", b"b", b"g g", b"new\nclass", b"h\xe9ron", NFC.encode(), NFD.encode(), b"x.jpg"]
    for name in names:
        folder = bytes_path(root, name)
        folder.mkdir(parents=True)
        for i in range(GOOD):
            noise().save(folder / f"{i}.png")
    a = root / "a"
    (a / "bomb.png").write_bytes(png(30_000, 30_000, zeros(30_000 * 30_001)))
    grey = zlib.compress(b"".join(b"\0" + RANDOM.bytes(48) for _ in range(40)))
    (a / "text bomb.png").write_bytes(png(48, 40, grey, [(b"zTXt", b"Comment\0\0" + zeros(2**28))]))
    (a / "loop.jpg").symlink_to("loop.jpg")
    (a / "out").symlink_to("/usr")
    (a / "out.jpg").symlink_to("/etc/hostname")
    (a / "up").symlink_to("..")
    Image.new("RGB", (1, 1), "red").save(a / "one.png")
    noise(20, 20_000, 3).save(a / "ribbon.png", compress_level=0)
    Image.new("RGB", (20_000, 4_000), "blue").save(a / "large.jpg")
    (a / "empty.jpg").touch()
    (a / "text.jpg").write_text("an image that is none")
    noise(400, 480, 3).save(a / "half.jpg")
    os.truncate(a / "half.jpg", (a / "half.jpg").stat().st_size // 2)
    for kind in ("gif", "webp", "png"):
        noise().save(a / f"moving.{kind}", save_all=True, append_images=[noise(), noise()])
    Image.fromarray(RANDOM.integers(0, 2**16, (40, 48), dtype=np.uint16)).save(a / "deep.png")
    noise(40, 48, 4).convert("CMYK").save(a / "cmyk.jpg")
    noise().quantize(16).save(a / "palette.png", transparency=3)
    (a / "folder.jpg").mkdir()
    noise().save(a / "folder.jpg" / "inside.png")
    noise().save(a / "with space.png")
    noise().save(a / "new\nline.png")
    noise().save(bytes_path(a, b"h\xe9ron.png"))
    return root


KEPT_OF_A = {
    *(f"{i}.png" for i in range(GOOD)),
    *(f"moving.{kind}" for kind in ("gif", "webp", "png")),
    *("one.png", "ribbon.png", "large.jpg", "deep.png", "cmyk.jpg", "palette.png", "folder.jpg/inside.png"),
    *("with space.png", "new\\u000aline.png", "h\\xe9ron.png"),
}
WHY = {
    "a/bomb.png": "900 megapixels, more than the 100 that are read",
    "a/empty.jpg": "empty file",
    "a/half.jpg": "truncated: the file ends before the image does",
    "a/text bomb.png": "text or a colour profile in it unpacks to more than any image needs",
    "a/text.jpg": "no whole image of a kind that is read (JPEG, PNG, WEBP, GIF, BMP, TIFF, PPM, AVIF, JPEG2000)",
}
NAMES = ["A", "a", "b", "g g", "h\\xe9ron", "new\\u000aclass", NFD, NFC, "x.jpg"]


def typed(*arguments):
    result = CliRunner().invoke(cli.app, ["data", *map(str, arguments)])
    assert result.exit_code == 0, result.stderr
    return result


def test_list_names_every_class_on_one_line(odd):
    told = json.loads(typed("list", odd, "--json").stdout)
    assert sorted(name for classes in told["splits"].values() for name in classes) == sorted(NAMES)
    lines = typed("list", odd).stdout.splitlines()
    assert lines[0].startswith(f"{odd}: folder, ")
    to_follow = "(--set dataset.follow_links=true follows them)"
    assert f"  Links that lead out of {odd} passed over {to_follow}: 2 (a/out, a/out.jpg)." in lines
    assert "  Links that lead nowhere passed over: 1 (a/loop.jpg)." in lines
    assert "  Links to what is walked anyway passed over: 1 (a/up)." in lines
    alike = r"A and a, pre\u0301 and pr\xe9"
    assert f"  Classes whose names differ only in case or in Unicode form, kept apart: 2 ({alike})." in lines
    assert len(lines) == 1 + 2 + 6  # the source, its splits, its notes


def test_validate_has_a_line_for_each_and_goes_on(odd):
    lines = typed("validate", odd, "--way", 3, "--query", GOOD - 1).stdout.splitlines()
    kinds = {name: "truncated" if "half" in name else "unreadable" for name in WHY}
    enlarged, flat = "the shorter side under 32; enlarged", "all pixels are the same; packed as it is"
    assert lines[:-10] == [
        *(
            f"{kinds[name]}: {name}: {WHY[name]}; left out"
            for name in sorted(WHY, key=lambda name: ("half" in name, name))
        ),
        f"tiny: a/one.png: 1 x 1 pixels, {enlarged}",
        f"tiny: a/ribbon.png: 20000 x 20 pixels, {enlarged}",
        f"of one colour: a/large.jpg: {flat}",
        f"of one colour: a/one.png: {flat}",
    ]
    good = len(KEPT_OF_A) + (len(NAMES) - 1) * GOOD
    of_kinds = f"{len(WHY) - 1} unreadable, 1 truncated, 2 tiny, 2 of one colour"
    assert lines[-10] == f"{good} of {good + len(WHY)} images can be used, {len(WHY) + 4} findings ({of_kinds})"


def test_pack_keeps_the_rest(odd, tmp_path):
    told = json.loads(typed("pack", odd, tmp_path / "a.arrow", "--size", 32, "--json").stdout)
    assert {one["image"]: one["why"] for one in told["left_out"]} == WHY
    store = ImageStore(tmp_path / "a.arrow")
    counted = {name: len(rows) for split in store.splits for name, rows in store.classes(split).items()}
    assert counted == {name: len(KEPT_OF_A) if name == "a" else GOOD for name in NAMES}
    names = store.ids(np.arange(store.count)) or []
    assert {name[2:] for name in names if name.startswith("a/")} == KEPT_OF_A
    large = store.images(np.array([names.index("a/large.jpg")]))
    assert np.abs(large.astype(int) - [0, 0, 254]).max() <= 1
    (one,) = store.images(np.array([names.index("a/one.png")]))
    assert (one == [255, 0, 0]).all()


def test_copies_between_classes_stop_packing_unless_all_are_dropped(tmp_path):
    for name in "abcd":
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(3):
            noise().save(tmp_path / "images" / name / f"{i}.png")
    (tmp_path / "images/b/copy.png").write_bytes((tmp_path / "images/a/0.png").read_bytes())
    source, packed = tmp_path / "images", tmp_path / "a.arrow"
    refused = CliRunner().invoke(cli.app, ["data", "pack", str(source), str(packed), "--size", "32"])
    assert refused.exit_code == 2
    assert "fpt: an image must be in one class and one split but 1 are in two or more: a/0.png of" in refused.stderr
    assert "--set dataset.leaks=leave_out leaves out all of them" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["images"]  # no part of a file either
    told = json.loads(typed("pack", source, packed, "--size", 32, "--drop-leaks", "--json").stdout)
    assert [(one["image"], one["kind"]) for one in told["left_out"]] == [("a/0.png", "leak"), ("b/copy.png", "leak")]
    sizes = {name: count for classes in told["splits"].values() for name, count in classes.items()}
    assert sizes == {"a": 2, "b": 3, "c": 3, "d": 3}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path):
    for name in "abcd":
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(3):
            noise().save(tmp_path / "images" / name / f"{i}.png")
    (tmp_path / "images/a/0.png").chmod(0)
    (tmp_path / "images/b").chmod(0)
    try:
        lines = typed("validate", tmp_path / "images", "--query", 1, "--way", 2, "--all-novel").stdout.splitlines()
    finally:
        (tmp_path / "images/b").chmod(0o700)
    assert lines[0] == "unreadable: a/0.png: cannot be read: Permission denied; left out"
    assert "  Folders that may not be opened passed over: 1 (b)." in lines


def test_a_terminal_that_cannot_show_a_name(tmp_path, monkeypatch):
    """One of 1980, or a pipe in the C locale."""
    for name in ("鶴", "鷺", "b", "c"):
        (tmp_path / name).mkdir()
        noise().save(tmp_path / name / "0.png")
    result = CliRunner(charset="latin-1").invoke(cli.app, ["data", "list", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "\\u9db4 (1)" in result.stdout


@pytest.mark.parametrize("name", ["AC/DC", "n" * 5000, "a\\b", "../up", "a\tb", "{}", "", "  ", "[bold]x[/bold]"])
def test_class_names_of_a_table(tmp_path, name):
    """What no folder can be called: as it is in Arrow and JSON, short on the terminal."""
    rows = ["path,label"]
    for i in range(12):
        noise().save(tmp_path / f"{i}.png")
        rows.append(f'{i}.png,"{name if i < 3 else f"other {i // 3}"}"')
    (tmp_path / "images.csv").write_text("\n".join(rows))
    if not name.strip():
        refused = CliRunner().invoke(cli.app, ["data", "list", str(tmp_path / "images.csv")])
        assert refused.exit_code == 2
        assert "label must be given but is empty in row 1 of" in refused.stderr
        return
    written = {"a\\b": "a\\\\b", "a\tb": "a\\u0009b"}.get(name, name)
    told = json.loads(typed("pack", tmp_path, tmp_path / "a.arrow", "--size", 32, "--all-novel", "--json").stdout)
    assert told["splits"] == {"novel": {written: 3, **{f"other {i}": 3 for i in (1, 2, 3)}}}
    store = ImageStore(tmp_path / "a.arrow")
    assert {key: len(rows) for key, rows in store.classes("novel").items()} == told["splits"]["novel"]
    assert max(map(len, typed("list", tmp_path, "--all-novel").stdout.splitlines())) < 300
