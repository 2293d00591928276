from pipeline.data.packing.validating import Problem
from sweeps.terminal.problems import counted, lines_of


def tiny(count):
    return [Problem("tiny", (f"a/{i:03d}.png",), f"{i % 2 + 8} x 8 pixels", "enlarged") for i in range(count)]


def test_few_findings_have_a_line_each():
    assert list(lines_of(tiny(5))) == [f"tiny: a/{i:03d}.png: {i % 2 + 8} x 8 pixels; enlarged" for i in range(5)]


def test_many_alike_findings_are_one_line():
    small = Problem("small class", ("a",), "has 1 image", "refused")
    copies = [Problem("duplicate", (f"{i}.png", f"{i}b.png"), "the same image", f"one kept: {i}.png") for i in range(6)]
    assert list(lines_of([*tiny(600), small, *copies])) == [
        "tiny: 600 (a/000.png, a/001.png, a/002.png, ...): 8 x 8 pixels, and the like; enlarged",
        "small class: a: has 1 image; refused",
        "duplicate: 6 (0.png = 0b.png, 1.png = 1b.png, 2.png = 2b.png, ...): the same image; one kept",
    ]
    same = [Problem("unreadable", (f"{i}.png",), "empty file", "left out") for i in range(6)]
    assert list(lines_of(same)) == ["unreadable: 6 (0.png, 1.png, 2.png, ...): empty file; left out"]


def test_findings_are_counted_by_kind():
    small = Problem("small class", ("a",), "has 1 image", "refused")
    assert counted([*tiny(600), small]) == "601 findings (600 tiny, 1 small class)"
    assert (counted([small]), counted([])) == ("1 finding (1 small class)", "0 findings")
