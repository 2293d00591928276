"""A dispatcher whose workers hold several backbones, without Ray."""

import asyncio
from dataclasses import replace

from pipeline.backbones import BackboneName
from pipeline.identity import Found, hash_of
from pipeline.orders import Context
from tests.pipeline.dispatch.staff import FOUND, Remote, Staff

OURS, OTHER = BackboneName(), BackboneName(name="vit_tiny_patch16_224", image_size=64)
BOTH = Found.of_several({OURS: FOUND, OTHER: replace(FOUND, backbone_fingerprint="others", patches=16)})


class Holders(Staff):
    """Workers that hold both backbones, and note which they are told to keep."""

    def __init__(self):
        super().__init__(opening=[BOTH] * 9)
        self.kept = []

    def hire(self, name):
        worker = super().hire(name)
        worker.keep = Remote(lambda found: self.kept.append((name, list(found.each))))
        return worker


def going(made, monkeypatch, scenario):
    dispatcher, _ = made(workers=2, others=[OTHER])
    staff, hired = Holders(), []

    def hire(*described):
        hired.append(list(described[3]))  # the backbones whose images a worker is hired with
        return staff.hire(described[-1])

    monkeypatch.setattr("pipeline.dispatch.dispatcher.hire", hire)
    monkeypatch.setattr("pipeline.dispatch.dispatcher.dismiss", staff.dismiss)

    async def all_of_it():
        assert await dispatcher.start() == BOTH
        try:
            return await asyncio.wait_for(scenario(dispatcher), 10)
        finally:
            await dispatcher.close()

    return asyncio.run(all_of_it()), staff, hired


def test_no_order_mixes_backbones_and_each_result_is_that_of_its_own(made, run, monkeypatch):
    runs = [run.model_copy(update={"backbone": backbone}) for backbone in (OURS, OTHER)]
    context = Context(BOTH)

    async def scenario(dispatcher):
        return await dispatcher.solve(context, runs, range(8))

    rows, staff, _ = going(made, monkeypatch, scenario)
    assert sorted((order.episodes, order.backbone.name) for order in staff.orders) == [
        (part, name) for part in ((0, 1, 2, 3), (4, 5, 6, 7)) for name in sorted((OTHER.name, OURS.name))
    ]
    for order in staff.orders:
        assert {one.backbone for one in order.configurations.values()} == {order.backbone}
    hashes = [hash_of(one, BOTH.each[one.backbone].inputs) for one in runs]
    assert [{row["config_hash"] for row in own} for own in rows] == [{name} for name in hashes]
    assert hashes[0] != hashes[1]


def test_workers_let_go_of_backbones_that_are_left_out_and_new_ones_do_not_load_them(made, run, monkeypatch):
    left = Context(BOTH.only([OTHER]))

    async def scenario(dispatcher):
        while dispatcher.pool.alive < 2:
            await asyncio.sleep(0.01)
        await dispatcher.narrow(left)
        await dispatcher.narrow(left)  # a question that is asked again changes nothing
        expected = await dispatcher.pool.entrance.found
        dispatcher.pool._hire_up_to(3)
        return expected

    expected, staff, hired = going(made, monkeypatch, scenario)
    assert list(expected.each) == [OTHER]
    assert sorted(staff.kept) == [("worker-0", [OTHER]), ("worker-1", [OTHER])]
    assert hired == [[OURS, OTHER], [OURS, OTHER], [OTHER]]


def test_a_dispatcher_that_was_started_again_knows_which_are_left(made, run, monkeypatch):
    dispatcher, _ = made(others=[OTHER])
    staff, hired = Holders(), []
    monkeypatch.setattr(
        "pipeline.dispatch.dispatcher.hire",
        lambda *described: (hired.append(list(described[3])), staff.hire(described[-1]))[1],
    )
    monkeypatch.setattr("pipeline.dispatch.dispatcher.dismiss", staff.dismiss)

    async def scenario():
        await dispatcher.start(Context(BOTH.only([OTHER])))
        await dispatcher.close()

    asyncio.run(scenario())
    assert all(one == [OTHER] for one in hired)
