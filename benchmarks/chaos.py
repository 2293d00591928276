"""A sweep while its workers, nodes, dispatcher, driver and MLflow server are killed, against one left in peace.

`python -m benchmarks.chaos [--kills 20] [--seed 0]`: several raylets on this machine, real workers on embedded data, an
MLflow server. Ends with status 1 unless ledger, findings and MLflow's records are the same.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from ray.cluster_utils import Cluster

from pipeline.storage.ledger import CIRCUMSTANCES, Ledger
from tests.pipeline.processes import descendants
from tests.sweeps.mlflow_server import Server
from tests.sweeps.tiny import CONFIG, TINY

KINDS = ("worker", "node", "dispatcher", "driver", "server")
WEIGHTS = (10, 3, 3, 2, 2)  # of the kinds, beyond one of each
# Small episodes in many orders, so that there is something to kill for minutes.
SETTINGS = (
    "search.trials=8",
    "search.rungs=[50, 100]",
    "final={episodes: 100, masks: true}",
    "compute={workers: 0, shard: 1}",
)
SERVER_AWAY = 10.0  # seconds
NODE = {"num_cpus": 1, "object_store_memory": 150 * 2**20}


class Scene:
    """A cluster of three raylets, an MLflow server, and the command `fpt sweep` on both."""

    def __init__(self, folder: Path, settings: Sequence[str]) -> None:
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir(parents=True)
        self.server = Server(folder)
        self.server.start()
        self.cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
        self.nodes = [self.cluster.add_node(**NODE) for _ in range(2)]
        self.settings = settings
        self.driver: subprocess.Popen[str]
        self.returning = threading.Timer(0, lambda: None)

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "sweeps.cli",
            "sweep",
            str(CONFIG),
            "--json",
            "--address",
            self.cluster.address,
        ]
        own = [*TINY, *self.settings, f"home={self.home}", f"tracking_uri={self.server.uri}"]
        for setting in own:
            command += ["--set", setting]
        log = (self.folder / "driver.log").open("a")
        self.driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)

    def kill(self, kind: str) -> None:
        """Ends one of a kind the hard way, and brings back what does not come back by itself."""
        if kind in ("driver", "server") and self.returning.ident:
            self.returning.join()  # the command wants it there at its start
        if kind == "driver":
            os.killpg(self.driver.pid, signal.SIGKILL)
            self.driver.communicate()
            self.start()
        elif kind == "server":
            self.server.kill()
            self.returning = threading.Timer(SERVER_AWAY, self.server.start)
            self.returning.start()
        elif kind == "node":
            self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
            self.nodes.append(self.cluster.add_node(**NODE))
        else:
            self.kill_process({"worker": "ray::WorkerProcess", "dispatcher": "ray::Dispatcher"}[kind])

    def kill_process(self, named: str) -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if found := descendants(os.getpid(), named):
                os.kill(found[-1], signal.SIGKILL)
                return
            time.sleep(0.05)
        raise RuntimeError(f"no process {named} within 120 s")

    def rows(self) -> int:
        """Files in the ledger."""
        return len(list((self.home / "ledger" / "rows").glob("[!_]*.parquet")))

    def wait_for(self, files: int, seconds: float = 300) -> bool:
        """Waits until the ledger has so many files. False where the sweep has ended before."""
        until = time.monotonic() + seconds
        while self.rows() < files:
            if self.driver.poll() is not None:
                return False
            if time.monotonic() > until:
                raise RuntimeError(f"no progress within {seconds:g} s; see {self.folder / 'driver.log'}")
            time.sleep(0.05)
        return True

    def end(self) -> dict[str, Any]:
        """What the sweep has found."""
        output, _ = self.driver.communicate(timeout=900)
        if self.driver.returncode:
            raise RuntimeError(f"the sweep failed: {(self.folder / 'driver.log').read_text()[-2000:]}")
        said: dict[str, Any] = json.loads(output.splitlines()[-1])
        return said

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.driver.pid, signal.SIGKILL)
        self.cluster.shutdown()
        if self.returning.ident:
            self.returning.join()
        self.server.kill()


@contextmanager
def scene(folder: Path, settings: Sequence[str]) -> Any:
    made = Scene(folder, settings)
    try:
        yield made
    finally:
        made.close()


def ledger_bytes(home: Path) -> bytes:
    """All rows, sorted, without what differs from run to run, as bytes."""
    table = Ledger(str(home / "ledger")).read().drop_columns(list(CIRCUMSTANCES)).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def records(database: Path) -> dict[str, Any]:
    """What MLflow holds: each run's status, and its metrics by step, those of time apart; twice is told as twice."""
    with sqlite3.connect(database) as connection:
        named = {
            run: (
                status,
                connection.execute(
                    "select value from tags where run_uuid = ? and key = 'fpt.trial'", (run,)
                ).fetchone(),
            )
            for run, status in connection.execute("select run_uuid, status from runs").fetchall()
        }
        metrics = connection.execute("select run_uuid, key, step, value from metrics").fetchall()
    kept = [(named[run][1], key, step, value) for run, key, step, value in metrics if key != "seconds_per_episode"]
    return {"runs": sorted(named.values(), key=repr), "metrics": Counter(kept)}


def plan(kills: int, seed: int) -> list[str]:
    """Which kind is killed when: each at least once, if there are kills enough."""
    chance = random.Random(seed)
    kinds = [*KINDS[:kills], *chance.choices(KINDS, WEIGHTS, k=max(0, kills - len(KINDS)))]
    chance.shuffle(kinds)
    return kinds


def compare(
    kills: int, seed: int, folder: Path, settings: Sequence[str] = SETTINGS, say: Callable[[str], None] = print
) -> bool:
    """Runs both sweeps. True where all that should be the same is."""
    with scene(folder / "peace", settings) as peace:
        began = time.monotonic()
        peace.start()
        expected = peace.end()
        say(f"undisturbed: {time.monotonic() - began:.0f} s, {peace.rows()} files in the ledger")
        orders = peace.rows()
    chance = random.Random(seed)
    with scene(folder / "chaos", settings) as chaos:
        began = time.monotonic()
        chaos.start()
        done: Counter[str] = Counter()
        for kind in plan(kills, seed):
            # Spread over the sweep: each after some more of its orders, at a moment that nobody chose.
            if not chaos.wait_for(chaos.rows() + orders // (2 * kills + 1)):
                break
            time.sleep(chance.uniform(0, 0.5))
            chaos.kill(kind)
            done[kind] += 1
            say(f"  {time.monotonic() - began:4.0f} s, {chaos.rows()} files: killed {kind}")
        found = chaos.end()
        say(f"disturbed: {time.monotonic() - began:.0f} s; killed {dict(done)}")
    attempts = Counter(Ledger(str(folder / "chaos" / "home" / "ledger")).read()["attempt"].to_pylist())
    same = {
        f"all {kills} kills took place": sum(done.values()) == kills,
        "ledger, byte for byte": ledger_bytes(folder / "peace" / "home") == ledger_bytes(folder / "chaos" / "home"),
        "finding": all(
            expected[key] == found[key] for key in ("best", "final", "trials", "episodes_spent", "episodes_lost")
        ),
        "MLflow's runs and metrics": records(peace.server.database) == records(chaos.server.database),
        "each metric of a step once": max(records(chaos.server.database)["metrics"].values()) == 1,
    }
    for name, holds in same.items():
        say(f"{'same' if holds else 'NOT the same'}: {name}")
    say(f"rows by attempt: {dict(sorted(attempts.items()))}")
    return all(same.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for both sweeps; a temporary one unless given")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="fpt-chaos-") as folder:
        sys.exit(not compare(asked.kills, asked.seed, asked.keep or Path(folder)))


if __name__ == "__main__":
    main()
