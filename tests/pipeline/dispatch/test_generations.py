import asyncio

import pytest

from pipeline.dispatch.generations import Generation


class Recorded:
    """A generation of three rungs that records what it solves; `survivors` are those left after each rung. It stops at
    each rung until the `gate` is open.
    """

    def __init__(self, trials, survivors=None, broken=()):
        self.solved, self.selected, self.survivors, self.broken = [], [], survivors or {}, broken
        self.gate = asyncio.Event()
        self.gate.set()
        self.generation = Generation(set(trials), 3, self.solve, self.select)

    async def solve(self, rung, asked):
        if ("solve", rung) in self.broken:
            raise RuntimeError("the disk is full")
        self.solved.append((rung, list(asked)))
        await self.gate.wait()

    def select(self, rung, left):
        if ("select", rung) in self.broken:
            raise RuntimeError("the disk is full")
        self.selected.append((rung, left))
        return self.survivors.get(rung, left)

    def ask(self, trial, rung):
        return asyncio.create_task(self.generation.ask(trial, rung))

    async def answers(self, trials, rung):
        return await asyncio.gather(*(self.ask(trial, rung) for trial in trials))


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def test_rungs_follow_each_other_whoever_has_asked():
    async def scenario():
        recorded = Recorded("cab")
        await settle()
        assert recorded.solved == [(rung, ["a", "b", "c"]) for rung in range(3)]  # in order of name
        assert recorded.selected == [(1, {"a", "b", "c"}), (2, {"a", "b", "c"})]
        assert await recorded.answers("abc", 0) == [True, True, True]
        assert await recorded.answers("b", 2) == [True]

    asyncio.run(scenario())


def test_a_rung_is_reached_when_it_is_solved():
    async def scenario():
        recorded = Recorded("ab")
        recorded.gate.clear()
        asked = [recorded.ask("a", 0), recorded.ask("b", 1)]
        await settle()
        assert recorded.solved == [(0, ["a", "b"])]
        assert not any(task.done() for task in asked)
        recorded.gate.set()
        assert await asyncio.gather(*asked) == [True, True]

    asyncio.run(scenario())


def test_stopped_trials_hear_so_and_the_others_do_not_wait_for_them():
    async def scenario():
        recorded = Recorded("abcd", survivors={1: {"b", "d"}, 2: {"d"}})
        assert await recorded.answers("abcd", 0) == [True] * 4
        assert await recorded.answers("abcd", 1) == [False, True, False, True]
        assert await recorded.answers("bd", 2) == [False, True]
        assert recorded.solved == [(0, ["a", "b", "c", "d"]), (1, ["b", "d"]), (2, ["d"])]
        assert recorded.selected == [(1, {"a", "b", "c", "d"}), (2, {"b", "d"})]

    asyncio.run(scenario())


def test_all_may_be_stopped():
    async def scenario():
        recorded = Recorded("ab", survivors={1: set()})
        assert await recorded.answers("ab", 1) == [False, False]
        assert await recorded.answers("ab", 2) == [False, False]
        assert recorded.solved == [(0, ["a", "b"])]

    asyncio.run(scenario())


def test_asking_again_gives_the_same_answer_and_solves_nothing():
    async def scenario():
        recorded = Recorded("ab", survivors={1: {"a"}})
        for _ in range(3):
            assert [await recorded.ask(trial, rung) for rung in (0, 1) for trial in "ab"] == [True, True, True, False]
        assert recorded.solved == [(0, ["a", "b"]), (1, ["a"]), (2, ["a"])]

    asyncio.run(scenario())


def test_an_asker_that_goes_away_does_not_take_the_rung_with_it():
    async def scenario():
        recorded = Recorded("ab")
        recorded.gate.clear()
        gone = recorded.ask("a", 0)
        await settle()
        gone.cancel()
        await settle()
        recorded.gate.set()
        assert await recorded.answers("ab", 0) == [True, True]
        assert recorded.solved[0] == (0, ["a", "b"])

    asyncio.run(scenario())


@pytest.mark.parametrize("where", ["solve", "select"])
def test_an_exception_reaches_all_askers_of_this_rung_and_later_ones(where):
    async def scenario():
        recorded = Recorded("abc", broken=[(where, 1)])
        assert await recorded.answers("abc", 0) == [True] * 3
        for rung in (1, 2, 1):
            asked = [recorded.ask(trial, rung) for trial in "abc"]
            found = await asyncio.gather(*asked, return_exceptions=True)
            assert [repr(error) for error in found] == ["RuntimeError('the disk is full')"] * 3

    asyncio.run(scenario())
