import asyncio

import pytest

from pipeline.dispatch.generations import Generation


class Recorded:
    """A generation that records what it solves; `survivors` are those left after each rung."""

    def __init__(self, trials, survivors=None):
        self.solved, self.selected, self.survivors = [], [], survivors or {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.generation = Generation(set(trials), self.solve, self.select)

    async def solve(self, rung, asked):
        self.solved.append((rung, list(asked)))
        await self.gate.wait()

    def select(self, rung, left):
        self.selected.append((rung, left))
        return self.survivors.get(rung, left)

    def ask(self, trial, rung):
        return asyncio.create_task(self.generation.ask(trial, rung))


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_rung_starts_when_all_trials_have_asked():
    async def scenario():
        recorded = Recorded("cab")
        asked = [recorded.ask("b", 0), recorded.ask("c", 0)]
        await settle()
        assert recorded.solved == []
        asked.append(recorded.ask("a", 0))
        assert await asyncio.gather(*asked) == [True, True, True]
        assert recorded.solved == [(0, ["a", "b", "c"])]  # in order of name, whoever asked first
        assert recorded.selected == []

    asyncio.run(scenario())


def test_the_first_rung_begins_before_anybody_asks():
    async def scenario():
        recorded = Recorded("ba")
        recorded.generation.begin()
        await settle()
        assert recorded.solved == [(0, ["a", "b"])]
        assert await asyncio.gather(recorded.ask("a", 0), recorded.ask("b", 0)) == [True, True]
        second = recorded.ask("a", 1)
        await settle()
        assert not second.done()
        assert await recorded.ask("b", 1) is True
        assert await second is True
        assert recorded.solved == [(0, ["a", "b"]), (1, ["a", "b"])]

    asyncio.run(scenario())


def test_a_rung_is_reached_when_it_is_solved():
    async def scenario():
        recorded = Recorded("ab")
        recorded.gate.clear()
        asked = [recorded.ask("a", 0), recorded.ask("b", 0)]
        await settle()
        assert recorded.solved == [(0, ["a", "b"])]
        assert not any(task.done() for task in asked)
        recorded.gate.set()
        assert await asyncio.gather(*asked) == [True, True]

    asyncio.run(scenario())


def test_stopped_trials_hear_so_and_the_others_do_not_wait_for_them():
    async def scenario():
        recorded = Recorded("abcd", survivors={1: {"b", "d"}, 2: {"d"}})
        assert await asyncio.gather(*(recorded.ask(trial, 0) for trial in "abcd")) == [True] * 4
        assert await asyncio.gather(*(recorded.ask(trial, 1) for trial in "abcd")) == [False, True, False, True]
        assert await asyncio.gather(*(recorded.ask(trial, 2) for trial in "bd")) == [False, True]
        assert recorded.solved == [(0, ["a", "b", "c", "d"]), (1, ["b", "d"]), (2, ["d"])]
        assert recorded.selected == [(1, {"a", "b", "c", "d"}), (2, {"b", "d"})]

    asyncio.run(scenario())


def test_all_may_be_stopped():
    async def scenario():
        recorded = Recorded("ab", survivors={1: set()})
        await asyncio.gather(recorded.ask("a", 0), recorded.ask("b", 0))
        assert await asyncio.gather(recorded.ask("a", 1), recorded.ask("b", 1)) == [False, False]

    asyncio.run(scenario())


def test_who_asks_for_a_later_rung_has_been_through_those_before():
    """As after a dispatcher has been started again: c and d were stopped long ago and will never ask."""

    async def scenario():
        recorded = Recorded("abcd", survivors={1: {"a", "b"}, 2: {"b"}})
        recorded.generation.begin()
        first = recorded.ask("a", 2)
        await settle()
        assert not first.done()
        assert recorded.solved == [(0, ["a", "b", "c", "d"]), (1, ["a", "b"])]
        assert await asyncio.gather(first, recorded.ask("b", 2)) == [False, True]
        assert recorded.solved[2:] == [(2, ["b"])]
        assert await recorded.ask("c", 1) is False

    asyncio.run(scenario())


def test_asking_again_gives_the_same_answer_and_solves_nothing():
    async def scenario():
        recorded = Recorded("ab", survivors={1: {"a"}})
        for rung in (0, 1):
            await asyncio.gather(recorded.ask("a", rung), recorded.ask("b", rung))
        solved = list(recorded.solved)
        for _ in range(2):
            again = [await recorded.ask(trial, rung) for rung in (0, 1) for trial in "ab"]
            assert again == [True, True, True, False]
        assert recorded.solved == solved == [(0, ["a", "b"]), (1, ["a"])]

    asyncio.run(scenario())


def test_a_trial_that_asks_twice_before_the_rung_starts_counts_once():
    async def scenario():
        recorded = Recorded("ab")
        asked = [recorded.ask("a", 0), recorded.ask("a", 0)]
        await settle()
        assert recorded.solved == []
        asked.append(recorded.ask("b", 0))
        assert await asyncio.gather(*asked) == [True, True, True]

    asyncio.run(scenario())


def test_an_asker_that_goes_away_does_not_take_the_rung_with_it():
    async def scenario():
        recorded = Recorded("ab")
        gone = recorded.ask("a", 0)
        await settle()
        gone.cancel()
        await settle()
        assert await recorded.ask("b", 0) is True
        assert await recorded.ask("a", 0) is True
        assert recorded.solved == [(0, ["a", "b"])]

    asyncio.run(scenario())


@pytest.mark.parametrize("where", ["solve", "select"])
def test_an_exception_reaches_all_askers(where):
    async def scenario():
        recorded = Recorded("abc")
        await asyncio.gather(*(recorded.ask(trial, 0) for trial in "abc"))

        async def solve(rung, asked):
            raise RuntimeError("the disk is full")

        def select(rung, left):
            raise RuntimeError("the disk is full")

        setattr(recorded.generation, where, {"solve": solve, "select": select}[where])
        asked = [recorded.ask(trial, 1) for trial in "abc"]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [repr(error) for error in found] == ["RuntimeError('the disk is full')"] * 3
        with pytest.raises(RuntimeError, match="the disk is full"):
            await recorded.ask("a", 1)

    asyncio.run(scenario())
