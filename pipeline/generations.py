"""Trials that advance together, rung by rung: what shares an order is decided by who asked, not by when."""

import asyncio
from collections.abc import Awaitable, Callable

from pipeline.config import Run

SolveRung = Callable[[int, dict[str, Run]], Awaitable[None]]
Select = Callable[[int, set[str]], set[str]]


class Generation:
    """A rung starts when all trials left have asked for it; `select` names those that go on, `solve` computes."""

    def __init__(self, trials: set[str], solve: SolveRung, select: Select) -> None:
        self.left, self.solve, self.select = set(trials), solve, select
        self.asked: dict[int, dict[str, Run]] = {}
        self.reached: dict[int, asyncio.Future[set[str]]] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def ask(self, trial: str, rung: int, run: Run) -> bool:
        """Waits for the rung. False where the trial was stopped before it. Asking again gives the same answer."""
        self.asked.setdefault(rung, {})[trial] = run
        reached = self.reached.setdefault(rung, asyncio.get_running_loop().create_future())
        self._start_if_complete(rung)
        return trial in await asyncio.shield(reached)

    def withdraw(self, trial: str) -> None:
        """The trial will ask no more: the others need not wait for it."""
        self.left.discard(trial)
        for rung in list(self.asked):
            self._start_if_complete(rung)

    def _start_if_complete(self, rung: int) -> None:
        if rung not in self.tasks and self.left and self.left <= set(self.asked[rung]):
            self.tasks[rung] = asyncio.create_task(self._run(rung))

    async def _run(self, rung: int) -> None:
        try:
            if rung > 0:
                self.left &= self.select(rung, set(self.left))
            going = set(self.left)
            await self.solve(rung, {trial: self.asked[rung][trial] for trial in sorted(going)})
            self.reached[rung].set_result(going)
        except Exception as error:
            self.reached[rung].set_exception(error)
