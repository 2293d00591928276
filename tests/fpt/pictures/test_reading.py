import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from fpt.pictures.reading import Unreadable
from pipeline.data.packing.decoding import decode
from pipeline.data.sources.listing import Listed
from tests.pipeline.data.packing.test_decoding import blocks, saved


def encoded(kind, mode="RGB", **options):
    file, image = io.BytesIO(), blocks(160, 120)
    if mode != "RGB":
        image = Image.fromarray(np.asarray(image.convert(mode)) * 1000)
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width, height, others=None):
    """A whole PNG but for its pixels, of which there are a few; with other chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = {b"IHDR": header, **(others or {}), b"IDAT": zlib.compress(bytes(1000)), b"IEND": b""}
    sealed = [[struct.pack(">I", len(data)), name + data, zlib.crc32(name + data)] for name, data in chunks.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(size + data + struct.pack(">I", crc) for size, data, crc in sealed)


ZEROS = zlib.compress(bytes(2**28), 9)
JPEG, PNG = encoded("JPEG", quality=90), encoded("PNG")
FOREIGN = r"no whole image of a kind that is read \(JPEG, .*\)"
TRUNCATED = "truncated: the file ends before the image does"
EITHER = f"({TRUNCATED}|damaged: .*)"
TOO_MANY = "megapixels, more than the 100 that are read"
BOMB = "text or a colour profile in it unpacks to more than any image needs"
NO_RANGE = "32-bit pixels, which have no agreed range: 8 or 16 bits are read"
BROKEN = {
    "empty": (b"", "empty file"),
    "a web page": (b"<html>404 not found</html>", FOREIGN),
    "a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", FOREIGN),
    "half a JPEG": (JPEG[: len(JPEG) // 2], TRUNCATED),
    "half a PNG": (PNG[: len(PNG) // 2], TRUNCATED),
    "most of a GIF": (encoded("GIF")[:-300], TRUNCATED),
    "most of a BMP": (encoded("BMP")[:-300], TRUNCATED),
    "most of a WebP": (encoded("WEBP")[:-300], EITHER),
    "most of a compressed TIFF": (encoded("TIFF", compression="tiff_lzw")[:-300], FOREIGN),
    "most of a JPEG 2000": (encoded("JPEG2000")[:-300], EITHER),
    "20,000 x 20,000": (png_header(20_000, 20_000), f"400 {TOO_MANY}"),
    "10,100 x 10,000": (png_header(10_100, 10_000), f"101 {TOO_MANY}"),
    "60,000 x 60,000": (png_header(60_000, 60_000), f"3600 {TOO_MANY}"),
    "a text of 256 MB": (png_header(8, 8, {b"zTXt": b"Comment\0\0" + ZEROS}), BOMB),
    "a profile of 256 MB": (png_header(8, 8, {b"iCCP": b"profile\0\0" + ZEROS}), BOMB),
    "floats": (encoded("TIFF", mode="F"), NO_RANGE),
    "32 bits": (encoded("TIFF", mode="I"), NO_RANGE),
}


@pytest.mark.parametrize("which", BROKEN)
def test_broken_files_say_what_is_wrong_and_nothing_else(tmp_path, which, capfd):
    path = tmp_path / "image.jpg"
    data, reason = BROKEN[which]
    path.write_bytes(data)
    with pytest.raises(Unreadable, match=f"^(?=.{{,160}}$){reason}$"):
        decode(Listed(path, "class"), 32)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "AVIF", "JPEG2000"])
def test_whatever_is_broken_is_unreadable_at_worst(tmp_path, kind, capfd):
    """Sixty files, each with a few bytes changed, half of them near its beginning: an image, or a reason."""
    whole = encoded(kind, **({"compression": "tiff_deflate"} if kind == "TIFF" else {}))
    path, reasons = tmp_path / "image", []
    for seed in range(60):
        random, data = np.random.default_rng(seed), bytearray(whole)
        for place in random.integers(0, len(data) if seed % 2 else 200, 6):
            data[place] = random.integers(256)
        path.write_bytes(data[: random.integers(len(data))] if seed % 3 == 0 else data)
        try:
            assert decode(Listed(path, "class"), 16).image.shape == (16, 16, 3)
        except Unreadable as error:
            reasons.append(str(error))
    assert len(reasons) >= 10
    assert capfd.readouterr() == ("", "")


def test_what_is_no_file(tmp_path):
    with pytest.raises(Unreadable, match=r"^cannot be read: No such file or directory$"):
        decode(Listed(tmp_path / "gone.jpg", "class"), 32)
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path, tmp_path / "pipe.jpg"):
        with pytest.raises(Unreadable, match=r"^not a file$"):
            decode(Listed(path, "class"), 32)


def test_memory_is_bounded_by_the_pixels_that_are_read(tmp_path):
    """A ribbon, which resized whole would have 650 million pixels, and headers that promise billions, a text that
    unpacks to 256 MB: under 100 MB. 80 megapixels: Pillow's 4 bytes each, and as many again at most.
    """
    Image.new("L", (20_000, 2)).save(tmp_path / "ribbon.png")
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    (tmp_path / "text.png").write_bytes(png_header(8, 8, {b"zTXt": b"Comment\0\0" + ZEROS}))
    Image.new("RGB", (20_000, 4_000)).save(tmp_path / "large.png", compress_level=1)
    saved(blocks(32, 32), tmp_path / "first.png")
    script = f"""
import resource
from pathlib import Path
from pipeline.data.packing.decoding import decode
from pipeline.data.sources.listing import Listed
from fpt.pictures.reading import Unreadable
for name in ("first", "ribbon", "bomb", "text", "large"):
    try:
        decode(Listed(Path({str(tmp_path)!r}) / f"{{name}}.png", "class"), 224)
    except Unreadable:
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    first, ribbon, bomb, text, large = map(int, told.split())
    assert max(ribbon, bomb, text) < first + 100
    assert large < first + 800
