"""A configuration hash stands for a description, which is kept in a file of that name and proves itself by it."""

import hashlib
import json
from typing import Any

from pipeline.storage.proof import DamagedError


def configuration_hash(described: dict[str, Any]) -> str:
    """Returns twelve hexadecimal digits for a description."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


def description_of(content: bytes, config_hash: str) -> dict[str, Any]:
    """Returns the description that a file's content holds. Raises DamagedError where the hash of it is another."""
    try:
        described = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"it is no JSON ({' '.join(str(error).split())})") from error
    if not isinstance(described, dict):
        raise DamagedError("it holds no description")
    if (found := configuration_hash(described)) != config_hash:
        raise DamagedError(f"what it describes has the hash {found}, not {config_hash}")
    return described
