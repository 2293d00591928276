"""Waits until a cluster has all its nodes: `python -m pipeline.cluster.gathering ADDRESS NODES`, on its head node."""

import sys
import time
from collections.abc import Callable
from typing import Any

SECONDS, EVERY_SECONDS, SAY_SECONDS = 300.0, 1.0, 30.0  # to wait at most; between questions; between lines


def gather(
    nodes: int,
    count: Callable[[], int],
    seconds: float = SECONDS,
    every: float = EVERY_SECONDS,
    say_every: float = SAY_SECONDS,
) -> bool:
    """Asks `count` how many nodes there are until there are so many. Returns whether there is one at least after so
    many seconds: those that come later are used too, but a head that does not answer by then has not started.
    """
    began = said = time.monotonic()
    while (there := count()) < nodes:
        now = time.monotonic()
        if now - began >= seconds:
            late = "those that come later are used too" if there else "Ray has not started"
            print(f"fpt: {there} of {nodes} nodes are there after {seconds:.0f} s; {late}", flush=True)
            return there > 0
        if now - said >= say_every:
            said = now
            print(f"fpt: {there} of {nodes} nodes are there", flush=True)
        time.sleep(every)
    print(f"fpt: Ray has its {nodes} node{'s' if nodes > 1 else ''}", flush=True)
    return True


def nodes_at(address: str) -> int:
    """Returns how many nodes the cluster at an address has, 0 where it does not answer."""
    from pipeline.cluster.addresses import ask

    if ask(address).said is not None:
        return 0
    from ray import _raylet

    client: Any = _raylet
    try:
        nodes = client.GcsClient(address=address).get_all_node_info()
        return sum(node.state == 0 for node in nodes.values())  # ALIVE
    except Exception:  # Ray's own, of which there are many: it has just gone
        return 0


if __name__ == "__main__":
    sys.exit(0 if gather(int(sys.argv[2]), lambda: nodes_at(sys.argv[1])) else 1)
