"""Tables in Markdown, by hand."""

from sweeps.report.markdown import table


def test_a_table_by_hand():
    assert table(("solver", "shot", "accuracy"), [("lora", 1, 0.5), ("ssf", 5, 0.75)]) == [
        "| solver | shot | accuracy |",
        "| --- | ---: | ---: |",
        "| lora | 1 | 0.5 |",
        "| ssf | 5 | 0.75 |",
    ]


def test_the_first_column_and_texts_stand_flush_left_and_numbers_flush_right():
    assert table(("a", "b", "c"), [], texts=("c",))[1] == "| --- | ---: | --- |"
    assert table(("a", "b"), [], texts=("a", "c"))[1] == "| --- | ---: |"


def test_a_table_without_rows_is_its_head():
    assert table(("a",), []) == ["| a |", "| --- |"]


def test_a_bar_in_a_name_or_in_a_cell_begins_no_column():
    head, _, row = table(("P(a|b)", "n"), [("x|y|z", "|")])
    assert (head, row) == (r"| P(a\|b) | n |", r"| x\|y\|z | \| |")


def test_a_text_is_known_by_its_name_as_it_was_given():
    assert table(("a", "b|c"), [], texts=("b|c",))[:2] == [r"| a | b\|c |", "| --- | --- |"]


def test_cells_are_whatever_can_be_written():
    assert table(("a", "b", "c"), [(None, "", 1.5)])[2] == "| None |  | 1.5 |"
