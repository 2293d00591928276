import time

import pytest
import torch

from fpt.backbones.backbone import Backbone
from fpt.bench import Count, Shape, as_text, counted, measure, operations
from fpt.phases import measured, phase
from fpt.problems.problem import Setting
from fpt.solvers import Training
from fpt.switches import turned

SHAPE = Shape(way=2, shot=1, query=2)


def forward_by_hand(backbone: Backbone, dim: int, tokens: int, patch: int) -> int:
    """Multiply-adds of a plain ViT whose top block computes [CLS] alone, by way of the tokens, times two."""
    embedding = backbone.grid_patches * 3 * patch**2 * dim
    full = 12 * tokens * dim**2 + 2 * tokens**2 * dim
    heads = backbone.blocks[-1].attn.num_heads
    top = 12 * dim**2 + 2 * heads * tokens * dim  # each head has its own view of all dimensions of the tokens
    return 2 * (embedding + (backbone.depth - 1) * full + top)


def test_bytes_and_launches_are_those_of_what_is_computed_and_no_view_is():
    left, right, one = torch.ones(4, 2, 3), torch.ones(3, 5), torch.ones(1, 5)
    with Count() as count:
        product = left @ right  # reshapes, mm and a view of what that gives, which its schema calls new
        product.transpose(1, 2)[:, 0]
        torch.empty(7)
    assert (count.launches, count.operations) == (1, 2 * 8 * 3 * 5)
    assert count.bytes == 4 * (8 * 3 + 3 * 5 + 8 * 5)
    with Count() as count:
        one.expand(1000, 5) + one
    assert (count.launches, count.bytes) == (1, 4 * (5 + 5 + 5000))


def test_operations_of_frozen_features_are_those_of_a_forward_pass(small_model):
    backbone = Backbone(small_model("vit"))
    found = operations(backbone, SHAPE, Setting("knn", Training(way=2)))
    images = SHAPE.way * (SHAPE.shot + SHAPE.query)
    assert found == pytest.approx(images * forward_by_hand(backbone, 48, 5, 16), rel=5e-3)


def test_operations_grow_with_every_step_by_the_same(backbone):
    def after(epochs):
        return operations(
            backbone, SHAPE, Setting("lora", Training(way=2, blocks=2, epochs=epochs), variant="paper", patches=1)
        )

    first, second, third = (after(epochs) for epochs in (1, 2, 3))
    assert third - second == second - first > 0


def test_compiled_steps_are_counted_as_they_are_written(backbone):
    setting = Setting("linear_probe", Training(way=2, epochs=4))
    written = counted(backbone, SHAPE, setting)
    with turned(["compiled steps"]):
        again = counted(backbone, SHAPE, setting)
    assert (again.operations, again.bytes, again.launches) == (written.operations, written.bytes, written.launches)


def test_a_measurement_adds_up(backbone):
    setting = Setting("lora", Training(way=2, blocks=1, epochs=1), variant="paper", patches=1)
    result = measure(backbone, SHAPE, setting, episodes=2, stacks=[1, 2], repeats=1)
    assert set(result["phases"]) == {"load", "prompts", "head", "fit", "queries", "overhead"}
    assert all(result["phases"][name] > 0 for name in ("load", "prompts", "head", "fit", "queries"))
    assert sum(result["phases"].values()) == pytest.approx(1 / result["episodes_per_second"])
    assert result["share_of_floor"] == result["episodes_per_second"] / result["floor_episodes_per_second"]
    assert result["stack"] in (1, 2)
    assert [one["stack"] for one in result["stacks"]] == [1, 2]
    assert result["peak_memory_bytes"] > 2**20
    assert (result["precision"], result["device"]) == ("float32", f"cpu, {torch.get_num_threads()} threads")
    assert "GFLOP an episode" in as_text(result)


def test_phases_note_themselves_only_while_measured():
    with phase("fit"):
        time.sleep(0.01)
    with measured() as seconds:
        assert seconds["fit"] == 0
        with phase("fit"):
            time.sleep(0.01)
    assert seconds["fit"] >= 0.01
    assert seconds["queries"] == 0
