"""Both ways, behind one interface."""

import pytest
import torch

from fpt.backbones.backbone import Backbone
from fpt.prompts import columnar, pyramids
from fpt.prompts.pyramids import PyramidPrompts
from fpt.prompts.strategy import Strategy, strategy_of
from tests.fpt.prompts.test_pyramids import swin


@pytest.fixture(scope="module")
def pyramid():
    return Backbone(swin(56))


def test_each_backbone_has_its_way(backbone, pyramid):
    assert (strategy_of(backbone), strategy_of(pyramid)) == (columnar, pyramids)
    assert isinstance(columnar, Strategy)
    assert isinstance(pyramids, Strategy)


def test_the_last_layers_of_a_column_are_pulled_towards_the_same(backbone):
    target = torch.rand(2, 3, 64)
    steering = columnar.steering(backbone, blocks=4, layers=3, prefix=5, targets=[target])
    assert (steering.watched, steering.calls, steering.prefixes) == (3, [0, 1, 2], [5, 5, 5])
    assert all(one is target for one in steering.targets)
    assert (len(steering.targets), steering.share * 3) == (3, 1)


@pytest.mark.parametrize(("blocks", "calls"), [(1, [0]), (2, [1]), (3, [0, 2]), (4, [1, 3])])
def test_the_last_layer_of_every_stage_that_is_adapted_is_pulled_towards_its_own(blocks, calls, pyramid):
    """Layers 1 and 3 end the two stages of two."""
    targets = [torch.rand(1, 2, *shape) for shape in pyramid.target_shapes]
    steering = pyramids.steering(pyramid, blocks, layers=1, prefix=0, targets=targets)
    assert (steering.watched, steering.calls, steering.share) == (blocks, calls, 1)
    assert [one is other for one, other in zip(steering.targets, targets[-len(calls) :], strict=True)] == [True] * len(
        calls
    )
    assert steering.prefixes == [0] * len(calls)


def test_what_settings_must_share_to_share_evidence():
    families = {
        variant: {columnar.evidence_family(variant, lam) for lam in (0.0, 1.0)}
        for variant in ("paper", "scaled", "contrast", "official")
    }
    assert families["paper"] == families["scaled"] != families["official"]
    assert families["contrast"] not in (families["scaled"], families["official"])  # it gathers more
    assert [len(family) for family in families.values()] == [1, 1, 1, 1]
    of_stages = {(variant, lam): pyramids.evidence_family(variant, lam) for variant in families for lam in (0.0, 1.0)}
    assert of_stages["paper", 1.0] == of_stages["scaled", 1.0] != of_stages["paper", 0.0]
    assert of_stages["official", 1.0] == of_stages["official", 0.0]


def test_prompts_of_windows_mark_no_patches_of_an_image_and_are_offered_by_stage(pyramid):
    images = torch.randint(0, 256, (2, 56, 56, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels, problems = torch.tensor([0, 1]), torch.zeros(2, dtype=torch.long)
    head = torch.randn(1, 2, pyramid.dim, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)
    evidence = pyramids.gather(pyramid, images, labels, head, problems, "paper", 0.0)
    found = pyramids.estimate(evidence, "paper", 0.0, 3, None, contrast=1.0, support=2)
    assert pyramids.image_masks(found).shape == (2, 0)
    offered = pyramids.offered(found)
    assert isinstance(offered, PyramidPrompts)
    assert [mask.shape[1:] for mask in offered.mask] == [torch.Size(shape) for shape in pyramid.target_shapes]
    assert all((mask.sum(-1) == 3).all() for mask in offered.mask)
