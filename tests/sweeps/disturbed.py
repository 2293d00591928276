"""A small sweep in a folder of its own, to which something is to happen at a moment that is chosen."""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from tests.sweeps.mlflow_server import Server
from tests.sweeps.test_ending import events
from tests.sweeps.whole import started

PACKING, SEARCH, FINAL, REPORT = "packing", "search", "final evaluation", "report"
END_SECONDS = 900.0
SMALL = 220 << 20  # bytes of a disk that fills


class Scene:
    """A sweep in a folder of its own, with an MLflow server where `served`."""

    def __init__(self, folder: Path, served: bool, small: str | None) -> None:
        folder.mkdir(parents=True)
        self.folder, self.home, self.small = folder, folder / "home", small
        self.server = Server(folder) if served else None
        if self.server is not None:
            self.server.start()
        self.beside: list[subprocess.Popen[str]] = []
        self.timers: list[threading.Timer] = []
        self.environment: dict[str, str] = {}
        if small is not None:
            place = folder / {"cache": "cache", "temporary folder": "t"}.get(small, "home")
            place.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", place], check=True)
            self.mounted: Path | None = place
            named = {"cache": "FPT_CACHE", "temporary folder": "RAY_TMPDIR"}.get(small)
            self.environment = {named: str(place)} if named else {}
        else:
            self.mounted = None

    @property
    def settings(self) -> list[str]:
        return [f"tracking_uri={self.server.uri}"] if self.server else []

    @property
    def database(self) -> Path:
        return self.server.database if self.server else self.home / "mlflow.db"

    def start(self, *more: str) -> subprocess.Popen[str]:
        with patch.dict(os.environ, self.environment):
            process: subprocess.Popen[str] = started(self.home, *self.settings, *more)
        return process

    def wait(self, process: subprocess.Popen[str], when: str) -> None:
        """Waits until the sweep is at a moment, or has ended."""
        until = time.monotonic() + END_SECONDS
        while process.poll() is None and time.monotonic() < until:
            if when == PACKING:
                here = any(self.home.glob("images/*.part")) or any(self.home.glob("images/*.arrow"))
            elif when == SEARCH:
                here = any(one["event"] == "answered" for one in events(self.home))
            else:
                here = any(one["event"] == "phase" and one.get("name") == when for one in events(self.home))
            if here:
                return
            time.sleep(0.05)

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        self.timers.append(threading.Timer(seconds, call))
        self.timers[-1].start()

    def close(self) -> None:
        for timer in self.timers:
            timer.join()
        for process in self.beside:
            process.wait(END_SECONDS)
        if self.server is not None:
            self.server.kill()
        if self.mounted is not None:
            subprocess.run(["umount", "-l", self.mounted], check=False)
