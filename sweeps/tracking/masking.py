"""What may be said of a URI, or of an error that quotes one."""

import re


def without_secrets(uri: str) -> str:
    """Returns a URI, or a text that quotes one, with *** for its password.

    It masks rather too much than too little: a password may hold characters that should have been escaped.
    """
    masked = re.sub(r"(://[^\s/:@]*):(?!\d{1,5}/)\S*@", r"\1:***@", uri)
    return re.sub(r"(?i)\b(\w*password|pwd)=[^\s&'\"]+", r"\1=***", masked)


def sentence(why: object) -> str:
    """Returns an error in one line, without passwords."""
    return without_secrets(" ".join(str(why).split()))
