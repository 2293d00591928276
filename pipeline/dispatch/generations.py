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
    """A generation's rungs follow each other, whether its trials have asked for them yet or not: their processes may
    still be starting. `solve` computes a rung, `select` names the trials that go on to the next.

    What a trial hears hangs on the rungs alone. A dispatcher that is started again goes through them once more, over
    the ledger.
    """

    def __init__(self, trials: Collection[str], rungs: int, solve: SolveRung, select: Select) -> None:
        self.left, self.solve, self.select = set(trials), solve, select
        loop = asyncio.get_running_loop()
        self.reached: list[asyncio.Future[set[str]]] = [loop.create_future() for _ in range(rungs)]
        self.task = loop.create_task(self._run())

    async def ask(self, trial: str, rung: int) -> bool:
        """Waits for the rung. Returns whether the trial goes on to it; asking again gives the same answer."""
        return trial in await asyncio.shield(self.reached[rung])

    async def _run(self) -> None:
        for rung, reached in enumerate(self.reached):
            try:
                if rung > 0 and self.left:
                    self.left &= self.select(rung, set(self.left))
                going = set(self.left)
                if going:
                    await self.solve(rung, sorted(going))
                reached.set_result(going)
            except Exception as error:
                for later in self.reached[rung:]:
                    later.set_exception(error)
                    later.exception()  # it is looked at, should nobody ask
                return
