"""The dispatcher without Ray: its workers are stand-ins that answer at once or die as told."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError, RayTaskError

from pipeline.config import with_hyper_parameters
from pipeline.dispatch.generations import GenerationSpec
from pipeline.orders import Context, Place
from pipeline.storage.ledger import Ledger
from tests.pipeline.dispatch.staff import FOUND, Remote, accuracy_of

CONTEXT = Context(FOUND)


def going(dispatcher, scenario, seconds=10.0):
    """Runs a scenario with the dispatcher started; what hangs fails."""

    async def all_of_it():
        assert await dispatcher.start() == FOUND
        try:
            return await asyncio.wait_for(scenario(), seconds)
        finally:
            await dispatcher.close()

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
    rows = going(dispatcher, lambda: dispatcher.solve(CONTEXT, runs, [*range(2, 9), 21]))
    everyone = [1, 2, 3]
    assert described(staff) == [((2, 3), everyone), ((4, 5, 6, 7), everyone), ((8,), everyone), ((21,), everyone)]
    assert [[row["accuracy"] for row in own] for own in rows] == [
        [accuracy_of(one, i) for i in [*range(2, 9), 21]] for one in runs
    ]


def test_an_order_holds_no_more_settings_than_asked(made, run):
    dispatcher, staff = made(settings=2)
    rows = going(dispatcher, lambda: dispatcher.solve(CONTEXT, with_alpha(run, 1, 2, 3, 4, 5), range(8)))
    sizes = sorted((order.episodes, len(order.configurations)) for order in staff.orders)
    assert sizes == [(part, size) for part in ((0, 1, 2, 3), (4, 5, 6, 7)) for size in (1, 2, 2)]
    assert len({order.name for order in staff.orders}) == 6
    assert [own[5]["accuracy"] for own in rows] == [accuracy_of(one, 5) for one in with_alpha(run, 1, 2, 3, 4, 5)]


@pytest.mark.parametrize("workers", [2, 5])
def test_orders_do_not_hang_on_the_number_of_workers_or_who_is_named_first(made, run, workers):
    dispatcher, one = made()
    going(dispatcher, lambda: dispatcher.solve(CONTEXT, with_alpha(run, 1, 2, 3), range(10)))
    dispatcher, many = made(workers=workers)
    going(dispatcher, lambda: dispatcher.solve(CONTEXT, with_alpha(run, 3, 1, 2), range(10)))
    assert {order.name for order in one.orders} == {order.name for order in many.orders}
    assert len({order.name for order in one.orders}) == 3


def test_what_the_ledger_has_is_not_computed_again(made, run, tmp_path):
    first, second = with_alpha(run, 1, 2)
    dispatcher, staff = made()
    going(dispatcher, lambda: dispatcher.solve(CONTEXT, [first], range(6)))
    assert asyncio.run(dispatcher.status()).computed == 6
    ledger = Ledger(str(tmp_path / "ledger"))
    (known,) = dispatcher.known.unpacked.values()
    blank = {"class_hits": [], "failed": False, "seconds": 1.0, "worker": "worker-0"}
    ledger.write("from before", [{**blank, **row} for row in known.values()])

    dispatcher, staff = made()
    rows = going(dispatcher, lambda: dispatcher.solve(CONTEXT, [first, second], range(10)))
    # Episodes 4 and 5 of the first are known: in that shard the two lack different ones.
    assert described(staff) == [((0, 1, 2, 3), [2]), ((4, 5, 6, 7), [2]), ((6, 7), [1]), ((8, 9), [1, 2])]
    assert [row["accuracy"] for row in rows[0]] == [accuracy_of(first, i) for i in range(10)]
    status = asyncio.run(dispatcher.status())
    assert (status.computed, status.reused, status.waiting) == (14, 6, 0)


def test_the_rows_of_a_damaged_file_alone_are_computed_again(made, run, tmp_path):
    ledger, blank = Ledger(str(tmp_path / "ledger")), {"class_hits": [], "failed": False, "seconds": 1.0}
    dispatcher, _ = made()
    going(dispatcher, lambda: dispatcher.solve(CONTEXT, [run], range(8)))
    (known,) = dispatcher.known.unpacked.values()
    for number, part in enumerate((range(4), range(4, 8))):
        ledger.write(f"order {number}", [{**blank, **known[episode]} for episode in part])
    damaged = tmp_path / "ledger" / "rows" / "order 1.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-9])

    dispatcher, staff = made()
    ((*_, last),) = going(dispatcher, lambda: dispatcher.solve(CONTEXT, [run], range(8)))
    assert [order.episodes for order in staff.orders] == [(4, 5, 6, 7)]
    assert last["accuracy"] == accuracy_of(run, 7)
    (warning,) = asyncio.run(dispatcher.status()).warnings
    assert "set a damaged file aside: " in warning
    assert "order 1.parquet is damaged: it cannot be read" in warning


def test_what_was_asked_for_before_is_not_computed_again(made, run):
    dispatcher, staff = made()

    async def scenario():
        await dispatcher.solve(CONTEXT, [run], range(4))
        return await dispatcher.solve(CONTEXT, [run], [3, 1])

    ((last, first),) = going(dispatcher, scenario)
    assert (last["episode"], first["episode"]) == (3, 1)
    assert len(staff.orders) == 1


def test_configurations_that_adapt_other_blocks_go_apart(made, run):
    deeper = with_hyper_parameters(run, {"blocks": 2})
    dispatcher, staff = made()
    going(dispatcher, lambda: dispatcher.solve(CONTEXT, [run, deeper], range(4)))
    assert sorted(one.solver.blocks for order in staff.orders for one in order.configurations.values()) == [1, 2]
    assert all(len(order.configurations) == 1 for order in staff.orders)


def test_configurations_that_adapt_embeddings_go_apart(made, run):
    plain = with_hyper_parameters(run, {"name": "ssf", "blocks": 6})
    whole = with_hyper_parameters(plain, {"embeddings": True})
    dispatcher, staff = made()
    going(dispatcher, lambda: dispatcher.solve(CONTEXT, [plain, whole], range(4)))
    assert all(len(order.configurations) == 1 for order in staff.orders)


def test_configurations_of_other_episodes_go_apart(made, run):
    harder = run.model_copy(update={"episodes": run.episodes.model_copy(update={"way": 4})})
    dispatcher, staff = made()
    going(dispatcher, lambda: dispatcher.solve(CONTEXT, [run, harder], range(4)))
    assert all(len(order.configurations) == 1 for order in staff.orders)


def test_runs_of_one_hash_are_one(made, run):
    without, same = with_alpha(run, 0, 0)
    same = with_hyper_parameters(same, {"tau": 9})
    dispatcher, staff = made()
    rows = going(dispatcher, lambda: dispatcher.solve(CONTEXT, [without, same], range(4)))
    assert rows[0] == rows[1]
    assert [len(order.configurations) for order in staff.orders] == [1]


def test_an_error_of_the_method_reaches_who_asked_and_the_worker_goes_on(made, run):
    dispatcher, staff = made(faults=[RayTaskError("solve", "no masks", ValueError("no masks"))])

    async def scenario():
        with pytest.raises(ValueError, match="no masks"):
            await dispatcher.solve(CONTEXT, [run], range(4))
        return await dispatcher.solve(CONTEXT, [run], range(4))

    assert len(going(dispatcher, scenario)[0]) == 4
    assert len(staff.hired) == 1


def best_alpha(rung, accuracies):
    """Keeps the one trial that does best; stands in for halving."""
    return {max(accuracies, key=lambda trial: sum(accuracies[trial]))}


def test_trials_advance_rung_by_rung(made, run):
    dispatcher, staff = made(stopping=best_alpha)
    runs = dict(zip(("3.0", "3.1", "3.2"), with_alpha(run, 2, 1, 3), strict=True))
    generation = GenerationSpec(3, runs, [[0, 1], [2, 3, 4], [5]])

    def ask(rung, trials=runs):
        return dispatcher.next_rung(CONTEXT, generation, list(trials), rung)

    async def scenario():
        await dispatcher.begin(CONTEXT, generation)
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


def test_trials_are_judged_by_all_episodes_of_their_generation_so_far(made, run):
    """And by those alone, whatever else the ledger holds of them."""
    asked = []

    def all_go(rung, accuracies):
        asked.append((rung, accuracies))
        return set(accuracies)

    dispatcher, _ = made(stopping=all_go)
    one, other = with_alpha(run, 1, 2)
    generation = GenerationSpec(7, {"x": one, "y": other}, [[0, 1], [2], [3, 4, 5]])

    async def scenario():
        await dispatcher.solve(CONTEXT, [one], [6, 7, 8])
        for rung in range(3):
            await asyncio.gather(*(dispatcher.next_rung(CONTEXT, generation, [name], rung) for name in "xy"))

    going(dispatcher, scenario)
    known = {name: [accuracy_of(own, i) for i in range(3)] for name, own in generation.runs.items()}
    assert asked == [(1, {name: own[:2] for name, own in known.items()}), (2, known)]


def test_a_dispatcher_that_died_knows_at_the_next_question_what_it_knew(made, run, tmp_path):
    runs = dict(zip(("0.0", "0.1", "0.2", "0.3"), with_alpha(run, 2, 1, 3, 4), strict=True))
    generation = GenerationSpec(0, runs, [[0, 1], [2, 3], [4]])

    def keep_two(rung, accuracies):
        return set(sorted(accuracies, key=lambda trial: -sum(accuracies[trial]))[: 3 - rung])

    async def ask(dispatcher, trials, rung):
        asked = await asyncio.gather(*(dispatcher.next_rung(CONTEXT, generation, [name], rung) for name in trials))
        return [rows for (rows,) in asked]

    dispatcher, _ = made(stopping=keep_two)

    async def first():
        await ask(dispatcher, runs, 0)
        return await ask(dispatcher, runs, 1)

    before = going(dispatcher, first)
    assert [rows is None for rows in before] == [False, False, True, True]
    ledger = Ledger(str(tmp_path / "ledger"))
    blank = {"class_hits": [], "failed": False, "seconds": 1.0, "worker": "worker-0"}
    for rows in dispatcher.known.unpacked.values():
        written = [{**blank, **row} for episode, row in rows.items() if episode < 4]  # it died in the last rung
        ledger.write(f"{rows[0]['config_hash']}", written)

    again, staff = made(stopping=keep_two)
    last = going(again, lambda: ask(again, ["0.1", "0.0"], 2))
    assert last[1] is None
    assert [row["accuracy"] for row in last[0]] == [accuracy_of(runs["0.1"], i) for i in range(5)]
    assert described(staff) == [((4,), [1])]


def test_a_lost_episode_is_left_out_for_all(made, run):
    """Episode 2 takes every worker with it; it is found out once, and never asked for again."""
    dispatcher, staff = made(faults={2: ActorDiedError()})
    first, second = with_alpha(run, 1, 2)

    async def scenario():
        rows = await dispatcher.solve(CONTEXT, [first], range(4))
        tried = len(staff.orders)
        generation = GenerationSpec(0, {"0.0": first, "0.1": second}, [[1, 2], [3]])
        rungs = await dispatcher.next_rung(CONTEXT, generation, list(generation.runs), 0)
        both = await dispatcher.solve(CONTEXT, [second, first], range(6))
        assert all(2 not in order.episodes for order in staff.orders[tried:])
        return rows, rungs, both, await dispatcher.status()

    rows, rungs, both, status = going(dispatcher, scenario, 30.0)
    assert [row["episode"] for row in rows[0]] == [0, 1, 3]
    assert [[row["episode"] for row in own] for own in rungs] == [[1], [1]]
    assert [[row["episode"] for row in own] for own in both] == [[0, 1, 3, 4, 5]] * 2
    assert status.lost == ("episode 2 of novel (3-way 1-shot, seed 0)",)


def test_it_tells_the_accuracies_of_what_was_done(made, run):
    """Of each as many as are asked for, whatever else the ledger holds; what one has lost is left out for all."""
    dispatcher, _ = made(faults={2: ActorDiedError()})
    first, second = with_alpha(run, 1, 2)

    async def scenario():
        await dispatcher.solve(CONTEXT, [first, second], range(6))
        return await dispatcher.accuracies(CONTEXT, [(first, 6), (second, 4)])

    assert going(dispatcher, scenario) == [
        [accuracy_of(first, i) for i in (0, 1, 3, 4, 5)],
        [accuracy_of(second, i) for i in (0, 1, 3)],
    ]


def test_each_node_is_told_of_by_its_oldest_worker(made, run):
    dispatcher, staff = made(workers=3)
    hire, asked = staff.hire, []

    def hired(name):
        worker = hire(name)

        async def place():
            return Place(f"node {int(name[-1]) % 2}", "here")

        async def say():
            asked.append(name)
            return {"cpu_utilization_percentage": 50.0}

        worker.place, worker.node_metrics = Remote(place), Remote(say)
        return worker

    staff.hire = hired

    async def scenario():
        while len(dispatcher.pool.opened) < 3:
            await asyncio.sleep(0.01)
        return await dispatcher.node_metrics()

    said = {"cpu_utilization_percentage": 50.0}
    assert going(dispatcher, scenario) == {"node 0": said, "node 1": said}
    assert sorted(asked) == ["worker-0", "worker-1"]
