from pipeline.config import Run
from pipeline.orders import WorkOrder


def test_an_order_holds_each_configuration_on_each_episode():
    order = WorkOrder("000004-ab", {"one": Run(), "two": Run(), "three": Run()}, (4, 5))
    assert order.problems == 6
    alone = order.of_episode(5)
    assert (alone.name, alone.episodes, alone.configurations) == ("000004-ab-5", (5,), order.configurations)
    assert alone.problems == 3
