"""What may be said of a URI, or of a text that quotes one: everything but its secrets."""

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

# Who names himself in these without a password tells no secret; elsewhere what stands before an @ is a token.
NAMES_USERS = (
    r"(?:postgres(?:ql)?|mysql|mariadb|mssql|oracle|sqlite|ssh|sftp|ftp|hdfs|viewfs|abfss?|wasbs?|hive|trino)(?:\+\w+)?"
)
# What names a bucket has its keys before the @, and the name of a key is a half of it.
NAMES_KEYS = r"(?:s3[an]?|gs|gcs|r2|oss|cos|b2|az|adl|minio)"
SECRET = (
    r"(?:[\w.-]*(?:password|passwd|passphrase|pwd|secret(?:[_-]?key)?|token|credentials?|signature|api[_-]?key|access[_-]?key"
    r"(?:[_-]?id)?|account[_-]?key|private[_-]?key|shared[_-]?key|key[_-]?id|accessid)|x-(?:amz|goog)-[\w-]+|sig|sas)"
)
VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s&;,'\"]+)"

# In this order; each alternative has its own way of being masked. What is masked already stays as it is.
SECRETS = re.compile(
    rf"""
      (?P<keys>\b{NAMES_KEYS}://)[^\s/:@]*:[^\s@]*@                                    # s3://KEY:SECRET@bucket
    | (?P<user>://[^\s/:@]*):(?!\d{{1,5}}(?:[/?\#,;)'"\s]|$))\S*@                        # http://me:password@host
    | (?P<bare>\b(?!{NAMES_USERS}://)[a-z][a-z0-9+.-]*://)[^\s/:@?\#]+@                 # https://TOKEN@host
    | (?P<encoded>%3A%2F%2F[^\s&%]*%3A)[^\s&]*%40                                      # the same as a query's value
    | (?P<named>(?<![\w.-]){SECRET}(?:\s*=\s*|%3D))(?P<value>{VALUE})                   # password=..., &sig=...
    | (?P<quoted>(?P<quote>['"]){SECRET}(?P=quote)\s*[:=]\s*)(?P<string>{VALUE})        # "token": "..."
    | (?P<key>[?&](?:key|auth|code|jwt)=)[^\s&;'"]+                                     # ?key=...
    | (?P<bearer>\b(?:bearer|basic)\s+)(?=[\w+/.~-]*[\d+/=])[\w+/.~-]{{16,}}=*          # Authorization: Bearer ...
    | (?P<known>\b(?:AKIA|ASIA)[0-9A-Z]{{16}}\b|\b(?:gh[opsu]|github_pat|hf|glpat)[_-][A-Za-z0-9_]{{20,}}
        |\beyJ[\w-]{{8,}}\.[\w-]+\.[\w-]*)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def without_secrets(text: str) -> str:
    """Returns a URI, or a text that quotes one, with *** for passwords, tokens, keys and signatures.

    It masks rather too much than too little: a password may hold characters that should have been escaped.
    """
    return SECRETS.sub(_masked, text)


def has_secrets(text: str) -> bool:
    """Returns whether a text holds what `without_secrets` would mask."""
    return without_secrets(text) != text


def masked(value: Any) -> Any:
    """Returns a value as it is recorded: all strings in it, however deep, are without secrets."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {key: masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(masked, value)) if type(value) in (list, tuple) else [masked(inner) for inner in value]
    return value


def sentence(why: object) -> str:
    """Returns an error in one line, without secrets."""
    return without_secrets(" ".join(str(why).split()))


def _masked(found: re.Match[str]) -> str:
    if found["encoded"]:
        return f"{found['encoded']}{MASK}%40"
    for before in ("keys", "bare"):
        if found[before]:
            return f"{found[before]}{MASK}@"
    if found["user"]:
        return f"{found['user']}:{MASK}@"
    for before, value in (("named", "value"), ("quoted", "string")):
        if found[before]:
            mark = found[value][0] if found[value][0] in "'\"" else ""
            return f"{found[before]}{mark}{MASK}{mark}"
    return f"{found['key'] or found['bearer'] or ''}{MASK}"
