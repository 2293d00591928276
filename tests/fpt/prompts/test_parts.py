"""Evidence in parts, against that of all images at once."""

import pytest
import torch

from fpt.backbones.backbone import Backbone
from fpt.prompts import columnar, pyramids
from fpt.prompts.parts import filled
from fpt.prompts.strategy import strategy_of
from tests.fpt.prompts.test_pyramids import swin

RAN_OUT = torch.OutOfMemoryError("CUDA out of memory.")


def images_and_heads(backbone, count=5):
    random = torch.Generator().manual_seed(0)
    side = backbone.image_size
    images = torch.randint(0, 256, (count, side, side, 3), generator=random, dtype=torch.uint8)
    head = torch.randn(2, 3, backbone.dim, generator=random), torch.zeros(2, 3)
    head = head[0].to(backbone.dtype), head[1].to(backbone.dtype)
    return images, torch.arange(count) % 3, head, torch.tensor([0, 0, 0, 1, 1])


@pytest.mark.parametrize("variant", ["paper", "scaled", "contrast", "official"])
@pytest.mark.parametrize("kind", ["columnar", "pyramid"])
def test_where_memory_runs_out_fewer_images_give_the_same_evidence(backbone: Backbone, kind, variant, monkeypatch):
    """`official` takes the mean of the scores of all images of an episode, also where they go one by one."""
    own = backbone if kind == "columnar" else Backbone(swin(56))
    strategy = strategy_of(own)
    asked = (own, *images_and_heads(own), variant, 1.0)
    expected = strategy.gather(*asked)
    module, name = (columnar, "_gathered") if kind == "columnar" else (pyramids, "gather_stage_evidence")
    gather, sizes = getattr(module, name), []

    def tight(backbone, images, *rest, **options):
        sizes.append(len(images))
        if len(images) > 2:
            raise RAN_OUT
        return gather(backbone, images, *rest, **options)

    monkeypatch.setattr(module, name, tight)
    for ours, theirs in zip(strategy.gather(*asked), expected, strict=True):
        for field, value in vars(theirs).items():
            torch.testing.assert_close(getattr(ours, field), value, rtol=1e-4, atol=1e-6)
    assert sizes == [5, 2, 2, 1]


def test_parts_that_come_are_one_after_the_other_in_the_whole():
    evidence = [
        [columnar.Evidence(torch.rand(n, 2, 4, 4), torch.rand(n, 4)), pyramids.StageEvidence(torch.rand(n, 1, 4), None)]
        for n in (2, 3, 1)
    ]
    first, second = filled(iter(evidence), 6)
    assert torch.equal(first.maps, torch.cat([one[0].maps for one in evidence]))
    assert torch.equal(first.gradient, torch.cat([one[0].gradient for one in evidence]))
    assert torch.equal(second.received, torch.cat([one[1].received for one in evidence]))
    assert second.gradient is None
    (alone,) = filled(iter([evidence[0][:1]]), 2)
    assert alone is evidence[0][0]  # nothing is copied
