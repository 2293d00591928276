"""What somebody deletes in MLflow's pages while a command is recorded there: how it is found out, and what is said."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlflow.exceptions import MlflowException

from pipeline.storage.masking import without_secrets
from sweeps.tracking.connecting import is_transient

EXPERIMENT, RUN = "experiment", "run"
ACTIVE, PURGED = "active", "purged"  # the first is MLflow's word; of what is purged it knows nothing any more
REST = "the ledger and the report do not hang on it"


class DeletedError(Exception):
    """An entry cannot be recorded until the experiment or the command's run, which is deleted, has been restored."""


@dataclass(frozen=True)
class Deleted:
    """This is an experiment or a run that is deleted; `purged` says that nothing brings it back."""

    kind: str
    id: str
    purged: bool

    def restored(self, tracking_uri: str) -> str:
        """Returns the command that brings it back. The tracking URI is without its secrets."""
        options = [f"{self.kind}s", "restore", f"--{self.kind}-id", self.id]
        return f"MLFLOW_TRACKING_URI={shlex.quote(without_secrets(tracking_uri))} {shlex.join(['mlflow', *options])}"

    def waits(self, tracking_uri: str) -> str:
        """Returns what becomes of what there is to record from now on."""
        if self.purged:
            return f"the {self.kind} of this command was deleted from MLflow for good: nothing more is recorded; {REST}"
        return (
            f"the {self.kind} of this command was deleted in MLflow's pages: what there is to record waits until "
            f"{self.restored(tracking_uri)} has brought it back; {REST}"
        )

    def missed(self, tracking_uri: str, entries: int) -> str:
        """Returns what became of so many entries that have waited until the command's end."""
        said = f"{entries} entries are not in MLflow, for the {self.kind} of this command was deleted there; {REST}"
        brought = "" if self.purged else f"once {self.restored(tracking_uri)} has brought it back"
        if self.kind == EXPERIMENT and brought:
            return f"{said}, and the same command records them {brought}"
        anew = f"{said}, and the same command records all of it anew"
        return f"{anew}, or goes on with it {brought}" if brought else anew


class Deletions:
    """Deletions are what was found to be deleted of what a command records: `now` is what keeps entries from being
    recorded, `trials` are runs without which all others are recorded. It is said on standard error, once.
    """

    def __init__(self, client: Any, tracking_uri: str, experiment_id: str) -> None:
        self.client, self.tracking_uri, self.experiment_id = client, tracking_uri, experiment_id
        self.now: Deleted | None = None
        self.trials: set[str] = set()

    def explain(self, run_id: str, of_trial: str | None = None) -> bool:
        """Returns whether an entry was refused because the run of its trial is deleted. Raises DeletedError where the
        experiment is, or the command's own run, or was until now.
        """
        before, self.now = self.now, deleted_of(self.client, self.experiment_id, run_id)
        if self.now not in (None, before):
            _say(self.now.waits(self.tracking_uri))
        if (before, self.now) != (None, None):
            raise DeletedError
        if of_trial is None or _stage(self.client.get_run, of_trial) == ACTIVE:
            return False
        if not self.trials:
            _say(of_trials(1))
        self.trials.add(of_trial)
        return True

    def sum_up(self, left: int) -> bool:
        """Says, when the command ends, what of it is not recorded. Returns whether that is why so many entries are
        left.
        """
        if len(self.trials) > 1:  # one has been said
            _say(of_trials(len(self.trials)))
        if self.now is not None and left:
            _say(self.now.missed(self.tracking_uri, left))
        return self.now is not None


def deleted_of(client: Any, experiment_id: str, run_id: str) -> Deleted | None:
    """Returns the experiment where that is deleted, else the run where that is, None where both are there."""
    for kind, get, identity in ((EXPERIMENT, client.get_experiment, experiment_id), (RUN, client.get_run, run_id)):
        stage = _stage(get, identity)
        if stage != ACTIVE:
            return Deleted(kind, identity, stage == PURGED)
    return None


def of_trials(trials: int) -> str:
    """Returns what is said of trials whose runs are deleted."""
    named, them = ("the run of a trial was", "it") if trials == 1 else (f"the runs of {trials} trials were", "them")
    return (
        f"{named} deleted in MLflow's pages, so that nothing more of {them} is recorded now; {REST}, and the same "
        f"command records {them} anew"
    )


def _stage(get: Callable[[str], Any], identity: str) -> str:
    """Returns MLflow's word for how an experiment or a run is, which it is taken to be where nobody may look."""
    try:
        found = get(identity)
    except MlflowException as error:
        if is_transient(error):
            raise
        return PURGED if error.error_code == "RESOURCE_DOES_NOT_EXIST" else ACTIVE
    return str(getattr(found, "info", found).lifecycle_stage)


def _say(sentence: str) -> None:
    print(f"fpt: {sentence}", file=sys.stderr, flush=True)
