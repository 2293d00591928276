"""A name is somebody's own text. Here it is shown so that it stays on its line and is taken for nothing but a name."""

import re

# What breaks a line, moves a terminal's cursor, turns the direction of what follows, shows nothing, or is no character.
UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
# What Markdown, which holds HTML, would take for a tag or for the end of a link's text.
TAG, LINK = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r"\](?=[(\[:])")


def on_a_line(text: object) -> str:
    r"""Returns a text on one line; what cannot be seen in it, or would change how the rest is seen, is written like
    \u000a. Said twice, it is the same.
    """
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))


def in_markdown(text: object) -> str:
    """Returns a text on one line of Markdown, where it makes no tag and no link."""
    return LINK.sub("\\\\]", TAG.sub("&lt;", on_a_line(text)))


def in_a_cell(text: object) -> str:
    """Returns a text as a cell of a Markdown table."""
    return re.sub(r"(?<!\\)\|", r"\\|", in_markdown(text))
