"""How the workers' nodes are, recorded on the sweep's run under the names that MLflow shows as system metrics."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from pipeline.session import DispatcherGoneError, Session
from sweeps.tracking.tracker import Tracker

LOOK_SECONDS = 15.0  # between looks, but no less than one for each node: a hundred nodes would keep a database busy
FIRST_SECONDS = 1.0  # between looks while no node has said anything, so that a sweep of seconds has them too


@contextmanager
def watched(tracker: Tracker, session: Session, seconds: float = LOOK_SECONDS) -> Iterator[None]:
    """Records how nodes are, from a thread until the block ends, and then once more."""
    ended, nodes = threading.Event(), list[str]()

    def look() -> None:
        tracker.node_metrics(named(session.node_metrics(), nodes))

    def work() -> None:
        with suppress(DispatcherGoneError):  # the dispatcher is gone; the command itself says why
            look()
            while not ended.wait(max(seconds, len(nodes)) if nodes else min(seconds, FIRST_SECONDS)):
                look()

    thread = threading.Thread(target=work, name="node metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(DispatcherGoneError):
            look()


def named(said: Mapping[str, Mapping[str, float]], nodes: list[str]) -> dict[str, float]:
    """Returns what nodes said as metrics: `system/name`, or `system/node_1/name` once there are several nodes. `nodes`
    are those that have said something so far, in the order of their numbers; new nodes are appended.
    """
    nodes += sorted(node for node in said if node not in nodes)
    return {
        f"system/{f'node_{nodes.index(node)}/' if len(nodes) > 1 else ''}{name}": value
        for node, own in said.items()
        for name, value in own.items()
    }
