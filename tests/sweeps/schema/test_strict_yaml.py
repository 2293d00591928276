"""YAML as its version 1.2 has it; how a configuration is read with it stands in test_loading.py."""

import math

import pytest
import yaml

from sweeps.schema.strict_yaml import MOST_BYTES, NotYamlError, as_yaml, parse, parse_bytes

WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **{
        word: word
        for word in ("yes", "on", "off", "No", "y", "12:30:45", "1_000", "2024-05-01", "1e", "e5", ".", "0b1")
    },
    "5e-3": 0.005,
    "1e3": 1000.0,
    "1E+3": 1000.0,
    "-.5": -0.5,
    "5.": 5.0,
    "+1.5e2": 150.0,
    ".inf": math.inf,
    "010": 10,
    "0o10": 8,
    "0x1F": 31,
    "-3": -3,
    "+3": 3,
    "0": 0,
    '"5e-3"': "5e-3",
    "'on'": "on",
}


@pytest.mark.parametrize("word", WORDS)
def test_words_are_those_of_version_1_2(word):
    found = parse(f"[{word}]")[0] if word else parse("a:")["a"]
    assert (found, type(found)) == (WORDS[word], type(WORDS[word]))


@pytest.mark.parametrize(
    "text", ["5e-3", "on", "010", "1_000", "null", "~", "12:30:45", "0o7", "ä → b", "a: b", "#x", ""]
)
def test_text_that_is_written_is_read_back_by_both_versions(text):
    described = {"name": text, "lr": 1e-05, "rank": 3, "deep": True, "path": None}
    assert parse(as_yaml(described)) == yaml.safe_load(as_yaml(described)) == described


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "expected the node content, but found in line 1, column 5"),
        ("a: 1\nb: [1\nc: 2", r".* in line 3, column 2"),
        ("&a [*a]", "an alias in line 1 stands for what it is in"),
        ("[" * 5000, "it is nested too deeply"),
        ("? [a]\n: 1\n? {b: 1}\n: 2", ".*unhashable key in line 1, column 3"),
        ("!!python/object:os.system x", "could not determine a constructor for the tag in line 1, column 1"),
    ],
)
def test_a_mistake_is_where_it_is(text, said):
    with pytest.raises(NotYamlError, match=f"^{said}$"):
        parse(text)


def test_a_file_of_another_kind_is_not_read_whole():
    with pytest.raises(NotYamlError, match=r"^it has more than 4,000,000 bytes$"):
        parse_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(NotYamlError, match=r"^it is not text in UTF-8, which its line 2 shows$"):
        parse_bytes(b"name: a\nb: \xff")
