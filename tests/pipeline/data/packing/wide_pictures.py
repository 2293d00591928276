"""Pictures with 16 bits for each colour, which Pillow itself does not write."""

import struct
import zlib

import numpy as np


def png(pixels: np.ndarray) -> bytes:
    """A PNG of height x width x 3 or 4 values of 16 bits."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    sealed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(sealed)


def tiff(pixels: np.ndarray, order: str, turned: int = 1) -> bytes:
    """A TIFF, without compression, of height x width x 3 values of 16 bits in a byte order, `<` or `>`."""
    height, width, _ = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    tags = [
        *((256, width), (257, height), (258, None), (259, 1), (262, 2), (273, None), (274, turned)),
        *((277, 3), (278, height), (279, len(data)), (284, 1)),
    ]
    after = 8 + 2 + 12 * len(tags) + 4
    file = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, len(tags))
    for tag, value in tags:
        if tag == 258:
            file += struct.pack(f"{order}HHII", tag, 3, 3, after)
        else:
            file += struct.pack(f"{order}HHII", tag, 4, 1, after + 6 if value is None else value)
    return file + struct.pack(f"{order}IHHH", 0, 16, 16, 16) + data
