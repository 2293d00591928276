"""Workers without Ray, that answer at once, take their time, or die, as told."""

import asyncio

from pipeline.identity import Found
from pipeline.orders import Place

FOUND = Found("images", "weights", "float32", "cpu", 64, 6, True, {"validation": 6, "novel": 6})


class Remote:
    def __init__(self, function):
        self.remote = function


def accuracy_of(run, episode):
    return 1 - run.prompts.alpha / 10 - episode / 1000


class Staff:
    """`faults` are what the next orders meet, each an exception or the seconds that it takes; or, by episode, what each
    order meets that holds it. `opening` are what the next workers meet when they open, an exception or what they find;
    `expected` is what each that opened was told to find.
    """

    def __init__(self, faults=(), opening=(), seconds_to_place=0.0):
        self.seconds_to_place = seconds_to_place
        self.by_episode = faults if isinstance(faults, dict) else {}
        self.faults, self.opening = [] if isinstance(faults, dict) else list(faults), list(opening)
        self.hired, self.dismissed, self.orders, self.by_worker, self.smaller = [], [], [], [], []
        self.expected = []
        self.one_by_one, self.at_work = {}, {}

    def hire(self, name):
        self.hired.append(name)
        worker = type("Worker", (), {})()
        worker.name = name
        self.one_by_one[name], self.at_work[name] = asyncio.Lock(), []
        worker.place = Remote(lambda: self.place(f"node of {name}"))
        worker.load = Remote(self.load)
        # A call begins by itself, as one of Ray's does, and not within who awaits it, where others would not get on.
        worker.open = Remote(lambda expected: asyncio.ensure_future(self.open(expected)))
        worker.solve = Remote(lambda order, attempt, smaller: self.send(name, order, attempt, smaller))
        return worker

    def dismiss(self, worker):
        self.dismissed.append(worker.name)
        for answer in self.at_work[worker.name]:
            answer.cancel()

    def send(self, name, *asked):
        """Begins as soon as the worker has done what it was sent before."""

        async def in_turn():
            async with self.one_by_one[name]:
                return await self.solve(name, *asked)

        self.at_work[name].append(asyncio.ensure_future(in_turn()))
        return self.at_work[name][-1]

    async def place(self, node):
        await asyncio.sleep(self.seconds_to_place)
        return Place(node, f"host of {node}")

    async def load(self):
        return None

    async def open(self, expected):
        self.expected.append(expected)
        met = self.opening.pop(0) if self.opening else None
        if isinstance(met, Exception):
            raise met
        return met or FOUND

    async def solve(self, name, order, attempt, smaller):
        self.orders.append(order)
        self.smaller.append(smaller)
        self.by_worker.append((name, order.episodes))
        fault = self.faults.pop(0) if self.faults else 0
        fault = next((self.by_episode[i] for i in order.episodes if i in self.by_episode), fault)
        if isinstance(fault, Exception):
            raise fault
        await asyncio.sleep(fault)
        return [
            {"config_hash": config_hash, "episode": i, "accuracy": accuracy_of(run, i), "attempt": attempt}
            for config_hash, run in order.configurations.items()
            for i in order.episodes
        ]
