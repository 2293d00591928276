"""The dispatcher without Ray: its workers are stand-ins that answer at once, die or hang as told."""

import asyncio
from pathlib import Path

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError

from pipeline.config import Compute, with_hyper_parameters
from pipeline.dispatcher import ATTEMPTS, Dispatcher
from pipeline.ledger import Ledger

LIMITS = {"dataset_fingerprint": "images", "backbone_fingerprint": "weights", "precision": "float32"}


class Remote:
    def __init__(self, function):
        self.remote = function


def accuracy_of(run, episode):
    return 1 - run.prompts.alpha / 10 - episode / 1000


class Staff:
    """Stands in for Ray. `faults` are what the next orders meet: an exception, or the seconds that they take."""

    def __init__(self, faults=()):
        self.faults, self.hired, self.killed, self.orders, self.by_slot = list(faults), [], [], [], []

    def hire(self, slot):
        self.hired.append(slot)
        worker = type("Worker", (), {})()
        worker.killed = lambda: self.killed.append(slot)
        worker.limits = Remote(self.limits)
        worker.solve = Remote(lambda order, attempt: self.solve(slot, order, attempt))
        return worker

    async def limits(self):
        return LIMITS

    async def solve(self, slot, order, attempt):
        self.orders.append(order)
        self.by_slot.append((slot, order.episodes))
        fault = self.faults.pop(0) if self.faults else 0
        if isinstance(fault, Exception):
            raise fault
        await asyncio.sleep(fault)
        return [
            {"config_hash": config_hash, "episode": i, "accuracy": accuracy_of(run, i), "attempt": attempt}
            for config_hash, run in order.configurations.items()
            for i in order.episodes
        ]


@pytest.fixture
def made(run, tmp_path: Path, monkeypatch):
    """Makes a dispatcher over a folder's ledger, and the staff that it hires."""
    monkeypatch.setattr("ray.kill", lambda worker: worker.killed())

    def make(faults=(), workers=1, halve=None, **compute):
        own = run.model_copy(update={"compute": Compute(shard=4, **compute)})
        staff = Staff(faults)
        dispatcher = Dispatcher(own, tmp_path / "none.arrow", str(tmp_path / "ledger"), workers, 0.0, halve)
        dispatcher._hire = staff.hire
        return dispatcher, staff

    return make


def going(dispatcher, scenario, seconds=10.0):
    """Runs a scenario with the dispatcher started; what hangs fails."""

    async def all_of_it():
        await dispatcher.start()
        try:
            return await asyncio.wait_for(scenario(), seconds)
        finally:
            for task in dispatcher.tasks:
                task.cancel()
            await asyncio.gather(*dispatcher.tasks, return_exceptions=True)

    return asyncio.run(all_of_it())


def with_alpha(run, *alphas):
    return [with_hyper_parameters(run, {"alpha": alpha}) for alpha in alphas]


def described(staff):
    """Which configurations (by alpha) each order held, and which episodes."""
    return sorted(
        (order.episodes, sorted(run.prompts.alpha for run in order.configurations.values())) for order in staff.orders
    )


def test_all_runs_of_a_shard_go_in_one_order(made, run):
    dispatcher, staff = made()
    runs = with_alpha(run, 1, 2, 3)
    rows = going(dispatcher, lambda: dispatcher.solve(runs, [*range(2, 9), 21]))
    everyone = [1, 2, 3]
    assert described(staff) == [((2, 3), everyone), ((4, 5, 6, 7), everyone), ((8,), everyone), ((21,), everyone)]
    assert [[row["accuracy"] for row in own] for own in rows] == [
        [accuracy_of(one, i) for i in [*range(2, 9), 21]] for one in runs
    ]


@pytest.mark.parametrize("workers", [2, 5])
def test_orders_do_not_hang_on_the_number_of_workers_or_who_is_named_first(made, run, workers):
    dispatcher, one = made()
    going(dispatcher, lambda: dispatcher.solve(with_alpha(run, 1, 2, 3), range(10)))
    dispatcher, many = made(workers=workers)
    going(dispatcher, lambda: dispatcher.solve(with_alpha(run, 3, 1, 2), range(10)))
    assert {order.name for order in one.orders} == {order.name for order in many.orders}
    assert len({order.name for order in one.orders}) == 3


def test_a_worker_gets_the_shards_that_it_holds(made, run):
    dispatcher, staff = made(workers=2)
    for _ in range(2):
        going(dispatcher, lambda: dispatcher.solve([run], range(32)))
        assert {slot for slot, _ in staff.by_slot} == {0, 1}
        assert all(episodes[0] // 4 % 2 == slot for slot, episodes in staff.by_slot[:2])


def test_what_the_ledger_has_is_not_computed_again(made, run, tmp_path):
    first, second = with_alpha(run, 1, 2)
    dispatcher, staff = made()
    going(dispatcher, lambda: dispatcher.solve([first], range(6)))
    assert asyncio.run(dispatcher.status())["computed"] == 6
    ledger = Ledger(str(tmp_path / "ledger"))
    (known,) = dispatcher.rows.values()
    blank = {"class_hits": [], "failed": False, "seconds": 1.0, "worker": "worker-0"}
    ledger.write("from before", [{**blank, **row} for row in known.values()])

    dispatcher, staff = made()
    rows = going(dispatcher, lambda: dispatcher.solve([first, second], range(10)))
    # Episodes 4 and 5 of the first are known: in that shard the two lack different ones.
    assert described(staff) == [((0, 1, 2, 3), [2]), ((4, 5, 6, 7), [2]), ((6, 7), [1]), ((8, 9), [1, 2])]
    assert [row["accuracy"] for row in rows[0]] == [accuracy_of(first, i) for i in range(10)]
    status = asyncio.run(dispatcher.status())
    assert (status["computed"], status["reused"], status["waiting"]) == (14, 6, 0)


def test_what_was_asked_for_before_is_not_computed_again(made, run):
    dispatcher, staff = made()

    async def scenario():
        await dispatcher.solve([run], range(4))
        return await dispatcher.solve([run], [3, 1])

    ((last, first),) = going(dispatcher, scenario)
    assert (last["episode"], first["episode"]) == (3, 1)
    assert len(staff.orders) == 1


def test_configurations_that_adapt_other_blocks_go_apart(made, run):
    deeper = with_hyper_parameters(run, {"blocks": 2})
    dispatcher, staff = made()
    going(dispatcher, lambda: dispatcher.solve([run, deeper], range(4)))
    assert sorted(one.solver.blocks for order in staff.orders for one in order.configurations.values()) == [1, 2]
    assert all(len(order.configurations) == 1 for order in staff.orders)


def test_configurations_of_other_episodes_go_apart(made, run):
    harder = run.model_copy(update={"episodes": run.episodes.model_copy(update={"way": 4})})
    dispatcher, staff = made()
    going(dispatcher, lambda: dispatcher.solve([run, harder], range(4)))
    assert all(len(order.configurations) == 1 for order in staff.orders)


def test_runs_of_one_hash_are_one(made, run):
    without, same = with_alpha(run, 0, 0)
    same = with_hyper_parameters(same, {"tau": 9})
    dispatcher, staff = made()
    rows = going(dispatcher, lambda: dispatcher.solve([without, same], range(4)))
    assert rows[0] == rows[1]
    assert [len(order.configurations) for order in staff.orders] == [1]


def test_the_order_of_a_worker_that_died_is_sent_to_another(made, run):
    dispatcher, staff = made(faults=[ActorDiedError()])
    rows = going(dispatcher, lambda: dispatcher.solve([run], range(8)))
    assert staff.hired == [0, 0]
    assert [order.episodes for order in staff.orders] == [(0, 1, 2, 3), (0, 1, 2, 3), (4, 5, 6, 7)]
    assert staff.orders[0].name == staff.orders[1].name
    assert [row["attempt"] for row in rows[0]] == [2] * 4 + [1] * 4


def test_a_worker_that_hangs_is_replaced(made, run):
    dispatcher, staff = made(faults=[3600], order_seconds=0.2)
    rows = going(dispatcher, lambda: dispatcher.solve([run], range(4)))
    assert (staff.hired, staff.killed) == ([0, 0], [0])
    assert [row["attempt"] for row in rows[0]] == [2] * 4


def test_an_order_that_kills_its_workers_is_given_up(made, run):
    dispatcher, staff = made(faults=[ActorDiedError()] * ATTEMPTS)

    async def scenario():
        with pytest.raises(RuntimeError, match=rf"episodes \(0, 1, 2, 3\) failed {ATTEMPTS} times on .*died"):
            await dispatcher.solve([run], range(4))
        return await dispatcher.solve([run], range(4, 8))

    (rows,) = going(dispatcher, scenario)
    assert [row["episode"] for row in rows] == [4, 5, 6, 7]
    assert len(staff.hired) == 1 + ATTEMPTS


def test_an_error_of_the_method_reaches_who_asked_and_the_worker_goes_on(made, run):
    dispatcher, staff = made(faults=[RayTaskError("solve", "no masks", ValueError("no masks"))])

    async def scenario():
        with pytest.raises(ValueError, match="no masks"):
            await dispatcher.solve([run], range(4))
        return await dispatcher.solve([run], range(4))

    assert len(going(dispatcher, scenario)[0]) == 4
    assert staff.hired == [0]


def test_a_worker_that_ran_out_of_memory_is_replaced(made, run):
    dispatcher, staff = made(faults=[OutOfMemoryError("the node runs low on memory")])
    going(dispatcher, lambda: dispatcher.solve([run], range(4)), seconds=1.0)
    assert staff.hired == [0, 0]


def best_alpha(rung, accuracies):
    """Keeps the one trial that does best; stands in for halving."""
    return {max(accuracies, key=lambda trial: sum(accuracies[trial]))}


def test_trials_advance_rung_by_rung(made, run):
    dispatcher, staff = made(halve=best_alpha)
    runs = dict(zip(("3.0", "3.1", "3.2"), with_alpha(run, 2, 1, 3), strict=True))
    rungs = [[0, 1], [2, 3, 4], [5]]

    def ask(rung, trials=runs):
        return asyncio.gather(*(dispatcher.next_rung(3, name, rung) for name in trials))

    async def scenario():
        await dispatcher.begin(3, runs, rungs)
        first = await ask(0)
        assert [[row["episode"] for row in rows] for rows in first] == [[0, 1]] * 3
        assert [rows[1]["accuracy"] for rows in first] == [accuracy_of(own, 1) for own in runs.values()]
        second = await ask(1)
        assert (second[0], second[2]) == (None, None)
        assert [row["episode"] for row in second[1]] == [0, 1, 2, 3, 4]
        (third,) = await ask(2, ["3.1"])
        assert [row["episode"] for row in third] == [0, 1, 2, 3, 4, 5]
        assert await ask(1) == second

    going(dispatcher, scenario)
    assert described(staff) == [((0, 1), [1, 2, 3]), ((2, 3), [1]), ((4,), [1]), ((5,), [1])]


def test_a_trial_that_withdraws_is_not_waited_for(made, run):
    dispatcher, staff = made()
    runs = dict(zip(("0.0", "0.1"), with_alpha(run, 1, 2), strict=True))

    async def scenario():
        await dispatcher.begin(0, runs, [[0], [1]])
        await dispatcher.next_rung(0, "0.0", 0)
        asked = asyncio.create_task(dispatcher.next_rung(0, "0.0", 1))
        await asyncio.sleep(0.05)
        assert not asked.done()
        await dispatcher.withdraw(0, "0.1")
        return await asked

    assert len(going(dispatcher, scenario)) == 2
    assert described(staff) == [((0,), [1, 2]), ((1,), [1])]
