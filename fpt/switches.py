"""What makes a GPU fast, each with a switch, so that `python -m fpt.bench` can tell what it is worth.

All are on. None changes what is computed, but for the order of additions.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SWITCHES = {
    "foreach": "optimisers step all tensors in one go",
    "early copies": "images travel to the GPU while it computes something else, and nobody waits for them",
    "large passes": "some 512 images go through the backbone at once where no gradient is needed, not 32",
}
_off: ContextVar[frozenset[str]] = ContextVar("off", default=frozenset())


def is_on(name: str) -> bool:
    """Tells whether a switch, one of SWITCHES, is on."""
    assert name in SWITCHES, name
    return name not in _off.get()


@contextmanager
def without(names: Collection[str]) -> Iterator[None]:
    """Inside, these switches are off. Raises ValueError for one that there is not."""
    if unknown := sorted(set(names) - SWITCHES.keys()):
        raise ValueError(f"a switch must be one of {', '.join(SWITCHES)} but got {', '.join(unknown)}")
    token = _off.set(_off.get() | frozenset(names))
    try:
        yield
    finally:
        _off.reset(token)
