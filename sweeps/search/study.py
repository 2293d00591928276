"""Optuna's study, kept where its dashboard can open it."""

import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from sqlalchemy import event

from pipeline.storage.masking import without_secrets
from pipeline.storage.sqlite import database_of, first_use


class KeptStudy:
    """A study in a database, to which trials are added once they have ended, by a thread: nobody waits for it."""

    def __init__(self, study: optuna.Study, thread: ThreadPoolExecutor) -> None:
        self.study, self.thread = study, thread
        self.writing: list[Future[None]] = []

    def add(self, trials: Sequence[FrozenTrial]) -> None:
        """Has trials written, in the order in which they are added. Raises what was wrong with those before."""
        self.check()
        self.writing.append(self.thread.submit(self.study.add_trials, trials))

    def check(self) -> None:
        """Raises what was wrong with those that have been written."""
        for one in self.writing:
            if one.done():
                one.result()


@contextmanager
def open_study(storage: str, name: str) -> Iterator[KeptStudy]:
    """Makes a study under a name, in place of an older study of that name, for a sweep replays its ledger: who calls
    this runs that sweep alone. Its database is open within the block. Raises RuntimeError where somebody else deletes
    the study meanwhile.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with first_use(database_of(storage)):
        database = optuna.storages.RDBStorage(storage)
    event.listen(database.engine, "connect", _hurried)
    database.engine.dispose()  # connections that it has made before
    try:
        if name in optuna.study.get_all_study_names(database):
            optuna.delete_study(study_name=name, storage=database)
        study = optuna.create_study(study_name=name, storage=database, direction="maximize")
        with ThreadPoolExecutor(1) as thread:  # whose end waits for all trials
            kept = KeptStudy(study, thread)
            yield kept
        kept.check()
    except KeyError as error:
        if name in optuna.study.get_all_study_names(database):
            raise
        raise RuntimeError(
            f"the study {name!r} was deleted from {without_secrets(storage)} while the sweep ran; the same command "
            "makes it anew from the ledger, and goes on"
        ) from error
    finally:
        database.remove_session()
        database.engine.dispose()


def _hurried(connection: Any, _: Any) -> None:
    """Has SQLite wait for no disk: a study that a crash damages is made anew by the same command, from the ledger."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")
