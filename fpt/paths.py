"""What a person means by a path: `~` is the home folder, `$NAME` and `${NAME}` are environment variables."""

import os
import re

VARIABLE = re.compile(r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\})")


def whole_path(typed: str) -> str:
    """Returns a path, or a URI, with `~` and environment variables replaced. A path that is there as it was typed is
    left so, but for `~`.

    Raises ValueError where a variable is not set: a folder named after it would be made.
    """
    opened = os.path.expanduser(typed)
    if not VARIABLE.search(opened) or ("://" not in opened and os.path.lexists(opened)):
        return opened
    names = [match["plain"] or match["braced"] for match in VARIABLE.finditer(opened)]
    unset = next((name for name in names if name not in os.environ), None)
    if unset is not None:
        raise ValueError(
            f"must name environment variables that are set, but {unset} in {typed!r} is not; set it, or write the path "
            "without it"
        )
    return os.path.expanduser(VARIABLE.sub(lambda match: os.environ[match["plain"] or match["braced"]], opened))


def whole_database(typed: str) -> str:
    """Returns a tracking URI with `~` and environment variables replaced where it names a file; where it names a
    server it stays as it is, for a password may hold any characters.
    """
    scheme, mark, rest = typed.partition(":///")
    if mark and scheme in ("sqlite", "file"):
        return f"{scheme}{mark}{whole_path(rest)}"
    return typed if "://" in typed else whole_path(typed)
