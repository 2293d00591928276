from sweeps.report.markdown import table


def test_numbers_are_flush_right_and_the_first_column_and_texts_flush_left():
    lines = table(("setting", "accuracy %", "hyper-parameters"), [("best", 72.3, "lora")], texts=("hyper-parameters",))
    assert lines == ["| setting | accuracy % | hyper-parameters |", "| --- | ---: | --- |", "| best | 72.3 | lora |"]


def test_a_bar_in_a_name_makes_no_column():
    assert table(("a|b",), [("c|d|e",)]) == [r"| a\|b |", "| --- |", r"| c\|d\|e |"]


def test_a_table_without_rows_is_its_head():
    assert table(("a", "b"), []) == ["| a | b |", "| --- | ---: |"]
