"""What the first worker of a session found, all others must find: images, weights and precision. Without Ray."""

import logging
from dataclasses import replace

import pytest
from ray.exceptions import ActorDiedError, RayTaskError

from pipeline.dispatch import pool as pools
from pipeline.dispatch.members import cause_of, first_line
from tests.pipeline.dispatch.staff import FOUND, Staff
from tests.pipeline.dispatch.test_pool import episodes, going, order, submit

BFLOAT16 = replace(FOUND, precision="bfloat16", device="NVIDIA H100")
OTHER_WEIGHTS = replace(FOUND, backbone_fingerprint="others")


@pytest.fixture
def told(caplog):
    """The events that a pool has told so far: name and facts."""
    caplog.set_level(logging.INFO, "pipeline")

    def events():
        told = [record for record in caplog.records if hasattr(record, "facts")]  # asyncio has some to say, too
        return [(record.getMessage(), record.facts) for record in told]

    return events


def test_all_later_workers_are_told_what_the_first_has_found(run):
    """A first worker that has chosen float32 has all others take float32, however many come at once."""
    staff = Staff(faults=[0.05] * 6, opening=[replace(FOUND, precision="float32")])
    going(staff, submit(*(order(run, i) for i in range(6))), lambda: 3, 3)
    assert staff.expected == [None, FOUND, FOUND]


def test_where_the_first_cannot_open_the_next_one_chooses(run):
    staff = Staff(opening=[RayTaskError("open", "no disk", OSError("no disk")), FOUND, FOUND])
    going(staff, submit(order(run, 0), order(run, 1)), lambda: 2, 2)
    assert staff.expected[:2] == [None, None]
    assert all(expected == FOUND for expected in staff.expected[2:])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (OTHER_WEIGHTS, "backbone_fingerprint 'others', not 'weights'"),
        (BFLOAT16, "precision 'bfloat16', not 'float32'"),
        (replace(FOUND, dataset_fingerprint="more"), "dataset_fingerprint 'more', not 'images'"),
    ],
)
def test_a_worker_that_finds_something_else_is_refused_and_the_sweep_goes_on(run, told, monkeypatch, other, said):
    monkeypatch.setattr(pools, "LONGEST_PAUSE_SECONDS", 0.01)
    staff = Staff(faults=[0.1] * 4, opening=[FOUND, other])

    async def scenario(pool):
        solved = await submit(*(order(run, i) for i in range(4)))(pool)
        return solved, pool.refused

    solved, refused = going(staff, scenario, lambda: 2, 2)
    assert [episodes(one) for one in solved] == [[0], [1], [2], [3]]
    assert refused == 1
    assert "worker-1" not in workers_of(staff)
    assert "worker-1" in staff.dismissed
    (facts,) = [facts for event, facts in told() if event == "refused"]
    assert (facts["worker"], facts["host"]) == ("worker-1", "host of node of worker-1")
    assert facts["why"] == f"it has {said}, so its results would not be those of this session"


def workers_of(staff):
    """Those that were given an order."""
    return {name for name, _ in staff.by_worker}


def test_a_worker_of_another_kind_of_device_that_finds_the_same_is_taken(run):
    staff = Staff(faults=[0.1] * 4, opening=[FOUND, replace(FOUND, device="NVIDIA H100")])
    going(staff, submit(*(order(run, i) for i in range(4))), lambda: 2, 2)
    assert workers_of(staff) == {"worker-0", "worker-1"}


def test_what_an_earlier_pool_of_the_session_found_holds_for_the_first_worker_too(run, told):
    """A dispatcher that was started again must not have its first worker choose anew."""
    staff = Staff(opening=[FOUND])
    (solved,) = going(staff, submit(order(run, 0)), found=FOUND)
    assert (staff.expected, episodes(solved)) == ([FOUND], [0])

    staff = Staff(opening=[BFLOAT16] * 9)
    with pytest.raises(RuntimeError, match="precision 'bfloat16', not 'float32'"):
        going(staff, submit(order(run, 0)), found=FOUND)
    assert staff.orders == []


def test_the_life_of_workers_is_told(run, told):
    staff = Staff(faults=[ActorDiedError()])
    going(staff, submit(order(run, 0)))
    events = [event for event, _ in told()]
    first = ["hired", "opened", "ordered", "died", "struck", "dismissed"]
    assert events == [*first, "hired", "replaced", "opened", "ordered", "answered", "dismissed"]
    by_name = {(event, facts.get("worker")): facts for event, facts in told()}
    died = by_name["died", "worker-0"]
    assert (died["order"], died["attempt"], died["host"]) == ("order 0", 1, "host of node of worker-0")
    assert died["why"].startswith("The actor died")
    assert by_name["replaced", "worker-0"]["by"] == "worker-1"
    assert (by_name["struck", None]["order"], by_name["struck", None]["strikes"]) == ("order 0", 1)
    assert by_name["dismissed", "worker-0"]["why"] == "it died"
    assert by_name["dismissed", "worker-1"]["why"] == "the session ends"
    assert by_name["ordered", "worker-1"]["attempt"] == 2
    assert by_name["opened", "worker-1"]["device"] == "cpu"
    assert by_name["answered", "worker-1"]["problems"] == 1


def test_the_cause_of_a_workers_error_is_told_without_rays_account():
    assert str(cause_of(RayTaskError("solve", "Traceback ...", ValueError("no masks")))) == "no masks"
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError("")) == "ValueError"
