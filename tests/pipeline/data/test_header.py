import json

import pyarrow as pa
import pytest

from pipeline.data.header import MOST_SIDE, header_of, manifest_of
from pipeline.data.store import schema_of

GOOD = {"fingerprint": "0123456789abcdef", "splits": {"novel": {"a": 2}}, "notes": ["any"], "root": "/x"}


def test_a_manifest_is_read_with_all_that_it_holds():
    assert manifest_of(json.dumps(GOOD).encode()) == GOOD
    assert manifest_of(b'{"fingerprint": "0123"}') == {"fingerprint": "0123"}  # of images that were drawn


HEXADECIMAL, COUNTS = r"its fingerprint must be 4 to 64 hexadecimal digits", r"its splits must be counts of images"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        *(
            ({"fingerprint": wrong}, HEXADECIMAL)
            for wrong in (
                "../../../x",
                "",
                "abc",
                "ABCDEF01",
                "0123/4567",
                "0123\n",
                "0" * 65,
                1234,
                None,
                ["0123"],
                "é" * 8,
            )
        ),
        ({"splits": {"novel": {"a": -1}}}, rf"{COUNTS}.* but got -1 \(at novel\.a\)"),
        ({"splits": {"novel": {"a": 2**31}}}, COUNTS),
        ({"splits": {"novel": {"a": 1.5}}}, COUNTS),
        ({"splits": {"novel": {"a": "2"}}}, COUNTS),
        ({"splits": {"novel": {"a": True}}}, COUNTS),
        ({"splits": {"novel": [2]}}, rf"{COUNTS}.* but got a list \(at novel\)"),
        ({"splits": [1]}, rf"{COUNTS}.* but got a list"),
        ({"splits": {}}, COUNTS),
    ],
)
def test_a_field_that_is_not_as_it_must_be_is_one_sentence(changed, said):
    with pytest.raises(ValueError, match=rf"^{said}.*; fpt data pack makes it anew$") as refused:
        manifest_of(json.dumps({**GOOD, **changed}).encode())
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"1",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"fingerprint":' * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"splits": {"novel": {"a": 2}}}',
    ],
)
def test_what_is_no_manifest_is_a_value_error(content):
    with pytest.raises(ValueError, match=r"\w"):
        manifest_of(content)


def test_a_header_tells_the_size_of_images():
    header = header_of(schema_of(6, 5, True, files=True))
    assert (header.height, header.width, header.masks) == (6, 5, "yes")
    assert header_of(schema_of(1, 1, False)).masks == "no"


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"height": "-6"}, rf"its height must be a number of pixels from 1 to {MOST_SIDE} but got '-6'; "),
        ({"height": "0"}, "its height must be"),
        ({"height": str(MOST_SIDE + 1)}, "its height must be"),
        ({"width": "9" * 5000}, "its width must be"),
        ({"width": "five"}, "its width must be a number of pixels .* but got 'five'; "),
        ({"width": None}, "its width must be .* but is missing; "),
        ({"masks": "perhaps"}, "its masks must be yes or no but got 'perhaps'; "),
        ({"height": b"\xff\xfe"}, "its metadata must be text but is not; "),
        ({"height": "7"}, r"its column image must be fixed_size_binary\[105\] but it has fixed_size_binary\[90\]; "),
    ],
)
def test_a_header_that_is_not_as_it_must_be_is_one_sentence(metadata, said):
    whole = {"height": "6", "width": "5", "masks": "yes", **metadata}
    schema = schema_of(6, 5, True).with_metadata({name: value for name, value in whole.items() if value is not None})
    with pytest.raises(ValueError, match=f"^{said}"):
        header_of(schema)


@pytest.mark.parametrize("name", ["split", "class", "image", "mask"])
def test_a_column_that_is_missing_or_of_another_kind_is_named(name):
    schema = schema_of(6, 5, True)
    place = schema.get_field_index(name)
    for wrong in (
        schema.remove(place),
        schema.set(place, pa.field(name, pa.int8())),
        schema.append(schema.field(place)),
    ):
        with pytest.raises(
            ValueError, match=rf"^its column {name} must be .* but it has .*; fpt data pack makes it anew$"
        ):
            header_of(wrong)
    with pytest.raises(ValueError, match=r"^its height must be .* but is missing"):
        header_of(schema.remove_metadata())
