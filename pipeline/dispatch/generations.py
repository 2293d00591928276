"""Trials that advance together, rung by rung: what shares an order is decided by who asked, not by when."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pipeline.config import HyperParameters, Run, with_hyper_parameters

SolveRung = Callable[[int, Sequence[str]], Awaitable[None]]
Select = Callable[[int, set[str]], set[str]]


@runtime_checkable
class StoppingRule(Protocol):
    """A stopping rule returns which trials go on after a rung, by their accuracies on the same episodes."""

    def __call__(self, rung: int, accuracies: dict[str, list[float | None]]) -> set[str]: ...


@dataclass(frozen=True)
class GenerationSpec:
    """A generation of trials has a number, each trial's run by name, and the episodes that each rung adds."""

    number: int
    runs: Mapping[str, Run]
    episodes: Sequence[Sequence[int]]

    @staticmethod
    def of(
        number: int, settings: Mapping[str, HyperParameters], searched: Run, episodes: Sequence[Sequence[int]]
    ) -> "GenerationSpec":
        """Returns the generation whose trials change these hyper-parameters of a run."""
        return GenerationSpec(
            number, {name: with_hyper_parameters(searched, own) for name, own in settings.items()}, episodes
        )


class Generation:
    """A generation's first rung starts by `begin`, the others when all trials that are left have asked for them.

    `select` names the trials that go on, `solve` computes. A trial that asks for a rung has been through those before
    it: where they are not known (the dispatcher was started again) they are gone through once more, over the ledger.
    """

    def __init__(self, trials: Collection[str], solve: SolveRung, select: Select) -> None:
        self.left, self.solve, self.select = set(trials), solve, select
        self.asked: dict[int, set[str]] = {}
        self.reached: dict[int, asyncio.Future[set[str]]] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """Starts the first rung; nothing about it has to be waited for."""
        self._everyone_asks(0)

    async def ask(self, trial: str, rung: int) -> bool:
        """Waits for the rung. Returns whether the trial goes on to it; asking again gives the same answer."""
        for past in range(rung):
            if past not in self.reached:
                self._everyone_asks(past)
            await asyncio.shield(self.reached[past])
        self.asked.setdefault(rung, set()).add(trial)
        reached = self.reached.setdefault(rung, asyncio.get_running_loop().create_future())
        self._start_if_complete(rung)
        return trial in await asyncio.shield(reached)

    def _everyone_asks(self, rung: int) -> None:
        self.asked[rung] = set(self.left)
        self.reached[rung] = asyncio.get_running_loop().create_future()
        self._start_if_complete(rung)

    def _start_if_complete(self, rung: int) -> None:
        if rung not in self.tasks and self.left and self.left <= self.asked[rung]:
            self.tasks[rung] = asyncio.create_task(self._run(rung))

    async def _run(self, rung: int) -> None:
        try:
            if rung > 0:
                self.left &= self.select(rung, set(self.left))
            going = set(self.left)
            await self.solve(rung, sorted(going))
            self.reached[rung].set_result(going)
        except Exception as error:
            self.reached[rung].set_exception(error)
