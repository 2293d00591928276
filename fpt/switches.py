"""What makes a GPU fast, each with a switch, so that `python -m fpt.bench` can tell what it is worth.

None changes what is computed, but for the order of additions.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

COMPILED = "compiled steps"
SWITCHES = {
    "foreach": "optimisers step all tensors in one go",
    "early copies": "images travel to the GPU while it computes something else, and nobody waits for them",
    "large passes": "some 512 images go through the backbone at once where no gradient is needed, not 32",
    COMPILED: "steps of training are one program each, compiled for their shapes, which takes up to minutes",
}
OFF_AT_FIRST = frozenset({COMPILED})  # all others are on
_turned: ContextVar[frozenset[str]] = ContextVar("turned", default=frozenset())


def is_on(name: str) -> bool:
    """Tells whether a switch, one of SWITCHES, is on."""
    assert name in SWITCHES, name
    return (name in _turned.get()) == (name in OFF_AT_FIRST)


@contextmanager
def turned(names: Collection[str]) -> Iterator[None]:
    """Inside, these switches are the other way round. Raises ValueError for one that there is not."""
    if unknown := sorted(set(names) - SWITCHES.keys()):
        raise ValueError(f"a switch must be one of {', '.join(SWITCHES)} but got {', '.join(unknown)}")
    token = _turned.set(_turned.get() ^ frozenset(names))
    try:
        yield
    finally:
        _turned.reset(token)
