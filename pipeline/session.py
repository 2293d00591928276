"""A session as commands and trials see it: typed questions, answered by the dispatcher. opening.py opens one.

Nothing outside `pipeline/` knows Ray's calls. The file is light: a trial's process reads it and never loads torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from pipeline.backbones import BackboneName
from pipeline.config import Run
from pipeline.data.sampler import EpisodeSampler, sampler_of
from pipeline.data.store import ImageStore, SplitClasses
from pipeline.dispatch.generations import GenerationSpec
from pipeline.dispatch.status import Status
from pipeline.events import ENDED
from pipeline.identity import Found, Inputs, hash_of
from pipeline.orders import Context
from pipeline.storage.ledger import Row

LAST_WORD_SECONDS = 10.0  # that the dispatcher has to take note of a command's end


class DispatcherGoneError(RuntimeError):
    """The dispatcher cannot be asked any more: Ray has ended, or cannot start it again."""


@dataclass(frozen=True)
class Session:
    """A session asks the dispatcher. `found` is what the workers' backbone and images are; `store` holds the images, on
    the node of the command, and `stores` those for each backbone where there are several, which hold the same pictures
    in other sizes; `story` is where events are written, once that is known.

    Every question raises what a worker raised about it (ValueError for what a setting is wrong in), and
    DispatcherGoneError where there is nobody to ask.
    """

    found: Found
    store: Path
    dispatcher: Any  # a handle of the actor; no other module touches it
    story: tuple[str, str] | None = None
    stores: Mapping[BackboneName, Path] = field(default_factory=dict)

    def inputs_of(self, run: Run) -> Inputs:
        """Returns what the results of a run depend on beside its configuration."""
        return self.found.of(run.backbone).inputs

    def store_of(self, run: Run) -> Path:
        """Returns the images in the size that a run's backbone takes."""
        return self.stores.get(run.backbone, self.store)

    def only(self, backbones: Sequence[BackboneName]) -> "Session":
        """Returns the session with some of its several backbones; workers let go of the others."""
        narrowed = replace(self, found=self.found.only(backbones), store=self.stores.get(backbones[0], self.store))
        _answered(self.dispatcher.narrow.remote(narrowed._context))
        return narrowed

    def solve(self, runs: Sequence[Run], episodes: Sequence[int]) -> list[list[Row]]:
        """Returns the rows of each run on each episode, computed where the ledger lacks them; lost episodes are left
        out.
        """
        return self.solve_all([(runs, episodes)])[0]

    def solve_all(self, questions: Sequence[tuple[Sequence[Run], Sequence[int]]]) -> list[list[list[Row]]]:
        """Returns the answers to several questions that are asked together; what they share is computed once."""
        asked = [
            self.dispatcher.solve.remote(self._context, list(runs), list(episodes)) for runs, episodes in questions
        ]
        answers: list[list[list[Row]]] = _answered(asked)
        return answers

    def accuracies(self, asked: Sequence[tuple[Run, int]]) -> list[list[float]]:
        """Returns the accuracies of each run on as many of the first episodes as are asked for, all of which it must
        have done without a failure; episodes that any run has lost are left out.
        """
        accuracies: list[list[float]] = _answered(self.dispatcher.accuracies.remote(self._context, list(asked)))
        return accuracies

    def hashes(self, runs: Sequence[Run]) -> list[str]:
        """Returns the configuration hash of each run on the images and weights of this session."""
        return [hash_of(run, self.inputs_of(run)) for run in runs]

    def sampler(self, run: Run) -> EpisodeSampler:
        """Returns what draws the episodes of a run from the images of this session."""
        return sampler_of(_classes(self.store, run.episodes.split), run.episodes, run.dataset.small_classes)

    def begin(self, spec: GenerationSpec) -> None:
        """Has a generation computed, rung by rung, whether its trials have asked for it or not."""
        _answered(self.dispatcher.begin.remote(self._context, spec))

    def next_rung(self, spec: GenerationSpec, trials: Sequence[str], rung: int) -> list[list[Row] | None]:
        """Returns all rows of each trial up to the end of a rung; None where it was stopped after the rung before."""
        asked = self.dispatcher.next_rung.remote(self._context, spec, list(trials), rung)
        rows: list[list[Row] | None] = _answered(asked)
        return rows

    def keep(self) -> int:
        """Has what was asked for and the ledger does not hold any more, because a file was damaged or removed in the
        meantime, written again. Returns how many rows that are.
        """
        rows: int = _answered(self.dispatcher.keep.remote(self._context))
        return rows

    def status(self, seconds: float | None = None) -> Status:
        """Returns how the work stands. Raises TimeoutError where that takes longer than `seconds`."""
        status: Status = _answered(self.dispatcher.status.remote(), seconds)
        return status

    def node_metrics(self) -> dict[str, dict[str, float]]:
        """Returns what each node has said of itself since this was last asked, by node id."""
        metrics: dict[str, dict[str, float]] = _answered(self.dispatcher.node_metrics.remote())
        return metrics

    def with_story(self, uri: str, name: str) -> "Session":
        """Returns the session whose events are written into a file of a folder, those before included."""
        return replace(self, story=(uri, name))

    def note(self, event: str, **facts: object) -> None:
        """Adds an event of the command itself to the story. Raises TimeoutError where the last word cannot be said."""
        seconds = LAST_WORD_SECONDS if event == ENDED else None
        _answered(self.dispatcher.note.remote(self._context, event, facts), seconds)

    @property
    def _context(self) -> Context:
        return Context(self.found, self.story)


@lru_cache(maxsize=4)
def _classes(store: Path, split: str) -> SplitClasses:
    """Returns the classes of a split; the labels of many images take a second to read."""
    return ImageStore(store).classes(split)


def _answered(asked: Any, seconds: float | None = None) -> Any:
    try:
        return ray.get(asked, timeout=seconds)
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except GetTimeoutError as error:
        raise TimeoutError(f"the dispatcher has not answered for {seconds} seconds") from error
    except RayError as error:
        raise DispatcherGoneError(f"the dispatcher is gone: {' '.join(str(error).split())}") from error
