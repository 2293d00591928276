import json

import pytest

from pipeline.storage.descriptions import configuration_hash, description_of
from pipeline.storage.proof import DamagedError

DESCRIBED = {"solver": {"lr": 0.1, "name": "lora"}, "method": 3, "prompts": None}
NAME = configuration_hash(DESCRIBED)


def test_a_description_is_known_by_its_hash_however_it_is_written():
    assert description_of(json.dumps(DESCRIBED).encode(), NAME) == DESCRIBED
    assert description_of(json.dumps(DESCRIBED, indent=8, sort_keys=True).encode(), NAME) == DESCRIBED


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({**DESCRIBED, "method": 2}).encode(),
        json.dumps(DESCRIBED).encode()[:-1],
    ],
)
def test_anything_else_is_refused(content):
    with pytest.raises(DamagedError):
        description_of(content, NAME)


def test_any_single_bit_flipped_is_noticed_or_without_effect():
    content = json.dumps(DESCRIBED).encode()
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert description_of(bytes(flipped), NAME) == DESCRIBED
        except DamagedError:
            continue
