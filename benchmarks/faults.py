"""One thing goes wrong in a small sweep, at a moment that is chosen; then the same command is typed until it ends well.

`python -m benchmarks.faults` lists all faults, with a number each; `python -m benchmarks.faults 3 17` has these happen
one after another, `--keep FOLDER` keeps what they leave. Each is compared with a sweep that nothing happened to. Ends
with status 1 unless all is as it should be: the same rows, none twice, each step once in MLflow, no process, port or
part file. Disks that fill are mounted (tmpfs), which takes a superuser.
"""

import argparse
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna

from pipeline.storage.locking import holder_of
from tests.pipeline.processes import alive, command_of, descendants
from tests.sweeps.disturbed import END_SECONDS, FINAL, PACKING, REPORT, SEARCH, Scene
from tests.sweeps.whole import ended, rows, started

MOMENTS = (PACKING, SEARCH, FINAL, REPORT)
LATER = (SEARCH, FINAL, REPORT)
STOPPED_SECONDS, LOCKED_SECONDS, AWAY_SECONDS = 20.0, 60.0, 10.0
TRIES = 3  # of the same command


@dataclass(frozen=True)
class Fault:
    """A fault is `what` happens `when`; `survived` says that the sweep is to go on by itself."""

    what: str
    when: str
    happen: Callable[[Scene, int], None]
    survived: bool = False

    def __str__(self) -> str:
        return f"{self.what}, {self.when}"


def process_of(driver: int, kind: str) -> int | None:
    """Returns a process of a sweep's, None where there is none of that kind yet."""
    if kind == "driver":
        return driver
    named = {
        "worker": "ray::WorkerProcess",
        "dispatcher": "ray::Dispatcher",
        "GCS": "gcs_server",
        "raylet": "raylet/raylet",
    }
    found = [one for one in descendants(driver) if named[kind] in command_of(one).partition("\0")[0]]
    return found[-1] if found else None


def signalled(kind: str, number: signal.Signals, back: float | None, scene: Scene, driver: int) -> None:
    if (process := process_of(driver, kind)) is None:
        return
    os.kill(process, number)
    if back is not None:
        scene.later(back, partial(_continue, process))


def _continue(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


def mlflow_killed(scene: Scene, driver: int) -> None:
    assert scene.server is not None
    scene.server.kill()
    scene.later(AWAY_SECONDS, scene.server.start)


def mlflow_stopped(scene: Scene, driver: int) -> None:
    assert scene.server is not None
    assert scene.server.process is not None
    group = scene.server.process.pid
    os.killpg(group, signal.SIGSTOP)
    scene.later(STOPPED_SECONDS, partial(os.killpg, group, signal.SIGCONT))


def row_files(scene: Scene) -> list[Path]:
    return sorted((scene.home / "ledger" / "rows").glob("[!_]*.parquet"))


def truncated(scene: Scene, driver: int) -> None:
    for file in row_files(scene)[:2]:
        file.write_bytes(file.read_bytes()[:-100])


def flipped(scene: Scene, driver: int) -> None:
    for file in row_files(scene)[:2]:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 4
        file.write_bytes(content)


def read_only(scene: Scene, driver: int) -> None:
    """The folder of rows gives way to a file, as permissions stop no superuser, and comes back."""
    place, aside = scene.home / "ledger" / "rows", scene.home / "ledger" / "aside"
    place.rename(aside)
    place.write_text("")

    def back() -> None:
        place.unlink()
        aside.rename(place)

    scene.later(STOPPED_SECONDS, back)


def images_deleted(scene: Scene, driver: int) -> None:
    shutil.rmtree(scene.home / "images")


def study_deleted(scene: Scene, driver: int) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{scene.home}/optuna.db")
    for name in optuna.study.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    storage.engine.dispose()


def locked(name: str, scene: Scene, driver: int) -> None:
    connection = sqlite3.connect(scene.home / name, timeout=60, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")

    def let_go() -> None:
        connection.execute("ROLLBACK")
        connection.close()

    scene.later(LOCKED_SECONDS, let_go)


def the_same_at_once(scene: Scene, driver: int) -> None:
    second = scene.start()
    said = second.communicate(timeout=END_SECONDS)[1]
    if second.returncode == 0:  # it came when the first had ended, and found all done
        assert not alive(driver), "the same sweep twice at once"
    else:
        assert second.returncode == 2, "the same sweep twice at once"
        assert "runs already: process" in said


def another_at_once(scene: Scene, driver: int) -> None:
    scene.beside.append(scene.start("name=another"))


def filled(scene: Scene, driver: int) -> None:
    """The small disk is filled by somebody else, and is emptied again."""
    assert scene.mounted is not None
    stuffing = scene.mounted / "stuffing"
    with suppress(OSError), stuffing.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    scene.later(STOPPED_SECONDS, partial(stuffing.unlink, missing_ok=True))


def all_faults() -> list[Fault]:
    """Returns all faults, in an order that stays."""
    KILL, STOP = signal.SIGKILL, signal.SIGSTOP
    kinds: list[tuple[str, Sequence[str], Callable[..., None], bool]] = [
        ("SIGINT to the command", MOMENTS, partial(signalled, "driver", signal.SIGINT, None), False),
        ("SIGTERM to the command", MOMENTS, partial(signalled, "driver", signal.SIGTERM, None), False),
        ("SIGKILL of the command", MOMENTS, partial(signalled, "driver", KILL, None), False),
        ("SIGSTOP of the command for 20 s", MOMENTS, partial(signalled, "driver", STOP, STOPPED_SECONDS), True),
        ("SIGKILL of a worker", LATER, partial(signalled, "worker", KILL, None), True),
        ("SIGSTOP of a worker for 20 s", LATER, partial(signalled, "worker", STOP, STOPPED_SECONDS), True),
        ("SIGKILL of the dispatcher", LATER, partial(signalled, "dispatcher", KILL, None), True),
        ("SIGSTOP of the dispatcher for 20 s", LATER, partial(signalled, "dispatcher", STOP, STOPPED_SECONDS), True),
        ("SIGKILL of the raylet", LATER, partial(signalled, "raylet", KILL, None), False),
        ("SIGSTOP of the raylet for 20 s", LATER, partial(signalled, "raylet", STOP, STOPPED_SECONDS), True),
        ("SIGKILL of the GCS", LATER, partial(signalled, "GCS", KILL, None), False),
        ("SIGSTOP of the GCS for 20 s", LATER, partial(signalled, "GCS", STOP, STOPPED_SECONDS), True),
        ("SIGKILL of MLflow for 10 s", MOMENTS, mlflow_killed, False),
        ("SIGSTOP of MLflow for 20 s", MOMENTS, mlflow_stopped, False),
        ("rows truncated", LATER, truncated, False),
        ("bits of rows flipped", LATER, flipped, False),
        ("ledger not writable for 20 s", (SEARCH, FINAL), read_only, False),
        ("images deleted", LATER, images_deleted, False),
        ("study deleted", LATER, study_deleted, False),
        ("MLflow's database locked for 60 s", LATER, partial(locked, "mlflow.db"), True),
        ("the study's database locked for 60 s", (SEARCH,), partial(locked, "optuna.db"), True),
        ("the same sweep at once", MOMENTS, the_same_at_once, True),
        ("another sweep at once", MOMENTS, another_at_once, True),
        ("home's disk full for 20 s", MOMENTS, filled, False),
        ("the cache's disk full for 20 s", MOMENTS, filled, False),
        ("the temporary folder's disk full for 20 s", MOMENTS, filled, False),
    ]
    return [Fault(what, when, call, survived) for what, moments, call, survived in kinds for when in moments]


def tried(fault: Fault, folder: Path, undisturbed: Path, say: Callable[[str], None] = print) -> bool:
    """Has a fault happen, types the command again where it ended, and returns whether all is as it should be."""
    disk = fault.what.partition("'s disk full")[0].removeprefix("the ") if "disk full" in fault.what else None
    scene, began = Scene(folder, "of MLflow" in fault.what, disk), time.monotonic()
    if disk is None and fault.when != PACKING:
        scene.home.mkdir()
        shutil.copytree(undisturbed / "images", scene.home / "images")
    wrong, statuses, left = [], [], set()
    try:
        process = scene.start()
        scene.wait(process, fault.when)
        here = process.poll() is None
        left |= set(descendants(process.pid))
        fault.happen(scene, process.pid)
        for attempt in range(1 + TRIES):
            out, err = process.communicate(timeout=END_SECONDS)
            (folder / f"said-{attempt}.log").write_text(f"{out}\n{err}")
            statuses.append(process.returncode)
            if process.returncode == 0:
                break
            for timer in scene.timers:
                timer.join()
            process = scene.start()
            left |= set(descendants(process.pid))
        for one in scene.beside:
            one.communicate(timeout=END_SECONDS)
        wrong = wrongs(scene, undisturbed, statuses, left)
        wrong += [] if here else ["the moment had passed"]
        wrong += ["it did not survive"] if fault.survived and len(statuses) > 1 else []
    finally:
        scene.close()
    told = "as it should be" if not wrong else f"WRONG: {'; '.join(wrong)}"
    say(f"{fault}: {told} (ended {statuses}, {time.monotonic() - began:.0f} s)")
    return not wrong


def wrongs(scene: Scene, undisturbed: Path, statuses: Sequence[int], left: set[int]) -> list[str]:
    """Returns what is not as it should be once the same command has ended well."""
    if statuses[-1]:
        return ["it did not come to an end"]
    until = time.monotonic() + 20
    while any(map(alive, left)) and time.monotonic() < until:
        time.sleep(0.2)
    with closing(sqlite3.connect(scene.database)) as database:
        twice = database.execute("select 1 from metrics group by run_uuid, key, step having count(*) > 1").fetchall()
        states = {one for (one,) in database.execute("select distinct status from runs").fetchall()}
    still = [" ".join(command_of(one).split("\0"))[:80] for one in sorted(left) if alive(one)]
    names = [path.name for path in scene.home.rglob("*") if "artifacts" not in path.parts]  # those are MLflow's
    checked = {
        "other rows": rows(scene.home) != rows(undisturbed),
        "steps twice in MLflow": bool(twice),
        f"runs of MLflow that are {states}": states != {"FINISHED"},
        f"processes left: {'; '.join(still)}": bool(still),
        "part files left": any(name.endswith(".part") or name.startswith("_") for name in names),
        "a lock held": any(map(holder_of, scene.home.glob("locks/*.lock"))),
    }
    return [name for name, holds in checked.items() if holds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", type=int, nargs="*", help="of a fault, as they are listed without any")
    parser.add_argument("--keep", type=Path, help="a folder for what is left; a temporary one unless given")
    asked, faults = parser.parse_args(), all_faults()
    if not asked.number:
        print("\n".join(f"{number:3}  {fault}" for number, fault in enumerate(faults)))
        return
    with TemporaryDirectory(prefix="fpt-") as temporary:
        folder = asked.keep or Path(temporary)
        undisturbed = folder / "undisturbed" / "home"
        if not (undisturbed / "sweeps").exists():
            undisturbed.parent.mkdir(parents=True, exist_ok=True)
            ended(started(undisturbed))
        done = [tried(faults[number], folder / str(number), undisturbed) for number in asked.number]
    sys.exit(not all(done))


if __name__ == "__main__":
    main()
