import pytest

from sweeps.schema.lines import in_a_cell, in_markdown, on_a_line

ODD = [
    ("two\nlines\r\n", r"two\u000alines\u000d\u000a"),
    ("a\x1b[2Jb", r"a\u001b[2Jb"),
    ("photo\u202egnp.exe", r"photo\u202egnp.exe"),
    ("a\u2066b\u2069\u200f\u200b\ufeff", r"a\u2066b\u2069\u200f\u200b\ufeff"),
    ("a\u2028b\x85c", r"a\u2028b\u0085c"),
    ("caf\udce9", r"caf\udce9"),
    ("a\U000e0041", r"a\ue0041"),
]


@pytest.mark.parametrize(("name", "shown"), ODD)
def test_what_cannot_be_seen_is_written_out(name, shown):
    for function in (on_a_line, in_markdown, in_a_cell):
        assert function(name) == shown
        assert function(shown) == shown
    assert on_a_line(name).encode().decode() == shown


@pytest.mark.parametrize(
    "name", ["lora · lambda 1 · alpha 7", "Tūī", "שלום", "日本", "a b_c*d", "p < 0.001", "[CLS] on key", "👩"]
)
def test_all_else_is_shown_as_it_is(name):
    assert on_a_line(name) == in_markdown(name) == in_a_cell(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>x</script>", "&lt;script>x&lt;/script>"),
        ("<!-- x -->", "&lt;!-- x -->"),
        ("![a](http://x) [b](y) [c][d]", r"![a\](http://x) [b\](y) [c\][d]"),
        ("a|b", "a|b"),
    ],
)
def test_markdown_makes_neither_tags_nor_links_of_it(name, shown):
    assert in_markdown(name) == shown
    assert in_a_cell(name) == shown.replace("|", r"\|")


def test_a_pipe_that_is_escaped_stays_so():
    assert in_a_cell(in_a_cell("a|b")) == r"a\|b"
