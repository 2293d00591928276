"""Class names as a picture can write them."""

from functools import cache
from typing import Any

NARROWEST = 0.2  # of a letter's size: the font's own are 0.27 wide and more
FONT = "DejaVu Sans"  # comes with matplotlib: the same picture everywhere


def printable(class_name: str) -> str:
    """Returns a name as the font can write it, in one line: one character that no keyboard has with its code point,
    others with code points for what the font lacks.
    """
    if len(class_name) == 1 and not (class_name.isascii() and class_name.isprintable() and not class_name.isspace()):
        code = f"U+{ord(class_name):04X}"
        return f"{class_name}  {code}" if _writes(class_name) and class_name.isprintable() else code
    spelt = (letter if letter.isspace() or _writes(letter) else f" U+{ord(letter):04X} " for letter in class_name)
    return " ".join("".join(spelt).split())


def shortened(text: str, width: float, size: float, lead: str = "") -> str:
    """Returns `lead` and the text, which loses its middle until both are no wider than `width` points in letters of
    `size`.
    """
    most = max(2, int(width / (NARROWEST * size)))  # measuring thousands of letters would take minutes
    kept = min(len(text), most)
    while kept > 2 and width_of(lead + _without_middle(text, kept), size) > width:
        kept -= 1
    return lead + _without_middle(text, kept)


def _without_middle(text: str, kept: int) -> str:
    if kept >= len(text):
        return text
    return f"{text[: (kept + 1) // 2].rstrip()}…{text[len(text) - kept // 2 :].lstrip()}"


@cache
def _properties(size: float) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=FONT, size=size)


def _writes(letter: str) -> bool:
    from matplotlib.font_manager import findfont, get_font

    return bool(get_font(findfont(_properties(10.0))).get_char_index(ord(letter)))


def width_of(text: str, size: float) -> float:
    """Returns the width of a line in letters of `size`, both in points."""
    from matplotlib.textpath import text_to_path

    return float(text_to_path.get_text_width_height_descent(text, _properties(size), ismath=False)[0])
