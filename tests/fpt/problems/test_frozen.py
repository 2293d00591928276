"""What the frozen backbone makes of images, against the whole model."""

import pytest
import torch

from fpt.backbones.attention import listen
from fpt.problems import frozen
from fpt.problems.frozen import freeze, freeze_episodes, joined, reads_frozen_queries
from fpt.registry import SOLVERS


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (2, 5, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_features_and_attention_are_those_of_the_whole_model(backbone, images):
    one = images[0]
    found = freeze(backbone, one, blocks=2)
    with torch.no_grad(), listen(backbone.depth) as calls:
        expected = backbone.features(backbone.normalise(one))
    torch.testing.assert_close(found.features, expected, rtol=1e-4, atol=1e-5)
    logits = calls[-1].query_BHRC[:, :, 0, None] @ calls[-1].key_BHTC.mT * calls[-1].scale
    among_patches = logits.softmax(-1).mean(1)[:, 0, 1:]
    torch.testing.assert_close(found.attention, among_patches / among_patches.sum(1, keepdim=True))
    torch.testing.assert_close(found.tokens, backbone.lower(one, backbone.depth - 2))


def test_episodes_are_frozen_image_by_image_however_many_at_a_time(backbone, images, monkeypatch):
    alone = [[freeze(backbone, image[None], 1) for image in episode] for episode in images]
    for at_once in (3, 32):
        monkeypatch.setattr(frozen, "IMAGES_A_PASS", at_once)
        found = freeze_episodes(backbone, images, 1)
        for part in ("tokens", "features", "attention"):
            expected = torch.stack([torch.cat([getattr(one, part) for one in row]) for row in alone])
            torch.testing.assert_close(getattr(found, part), expected, rtol=1e-4, atol=1e-5)


def test_what_only_reaches_the_adapted_blocks_has_no_features(backbone, images):
    short, whole = (freeze(backbone, images[0], 1, whole) for whole in (False, True))
    assert torch.equal(short.tokens, whole.tokens)
    assert short.seen is None
    with pytest.raises(AssertionError, match="has not seen"):
        short.features  # noqa: B018
    both = joined([whole, whole], torch.cat)
    assert torch.equal(both.attention, whole.attention.repeat(2, 1))
    halved = both.change(lambda part: part[5:] / 2)
    assert torch.equal(halved.features, whole.features / 2)


def test_queries_are_seen_whole_by_whoever_does_not_move_the_backbone():
    asked = {solver for solver in SOLVERS if reads_frozen_queries(solver, masks=False)}
    assert asked == {"knn", "ridge", "svm", "protonet", "r2d2", "metaoptnet", "linear_probe"}
    assert all(reads_frozen_queries(solver, masks=True) for solver in SOLVERS)
