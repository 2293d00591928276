"""The raylet, the process by which Ray has this machine as a node: whether it is there, and what Ray says where not."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

ENDED = (
    "Ray's own process on this machine, the raylet, has ended: it was killed, as by a system that is short of memory"
)


def raylet_here() -> Callable[[], bool]:
    """Returns what tells whether the raylet that this process is connected to still runs. Where it cannot be found, or
    must not be looked at, it is taken to.
    """
    import ray  # it takes a second, and commands that need none read head_watch.py

    psutil: Any = import_module("psutil")  # Ray brings its own
    own = ray.get_runtime_context().get_node_id()
    sockets = [node.get("RayletSocketName") for node in ray.nodes() if node.get("NodeID") == own]
    option = f"--raylet_socket_name={sockets[0]}" if sockets else None
    found = None
    for process in psutil.process_iter() if option else ():
        try:
            if option in process.cmdline():
                found = process
        except psutil.Error:
            pass

    def there() -> bool:
        try:
            return found is None or (found.is_running() and found.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False
        except psutil.Error:
            return True

    return there


def keep_errors_quiet() -> None:
    """Has Ray print no errors of its processes, twenty lines of C++ on *standard output*, where they come between what
    a program reads there. They stay in its log files, and what they mean is said in other words.
    """
    worker: Any = import_module("ray._private.worker")
    worker.print_to_stdstream = lambda *printed, **named: None
