import numpy as np
import pytest
import torch

from fpt.problems.frozen import freeze
from fpt.prompts.columnar import Evidence
from pipeline.workers import features
from pipeline.workers.features import BATCH, FrozenImages, KeptEvidence

BLOCKS = 2


@pytest.fixture
def computed(monkeypatch):
    """How many images each call of the backbone took that were not there only to fill its batch."""
    counts = []
    compute = FrozenImages._compute

    def counted(self, keys, blocks, whole):
        counts.append(len(keys))
        return compute(self, keys, blocks, whole)

    monkeypatch.setattr(FrozenImages, "_compute", counted)
    return counts


def parts(frozen):
    return [frozen.tokens, frozen.features, frozen.attention]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(parts(one), parts(other), strict=True))


def row_of(frozen, row):
    return frozen.change(lambda part: part[row])


def test_frozen_images_are_those_of_the_backbone(backbone, store):
    rows = np.array([5, 60, 5, 0])
    frozen = FrozenImages(backbone, store, 64)(rows, BLOCKS)
    expected = freeze(backbone, torch.from_numpy(store.images(rows)), BLOCKS)
    for ours, theirs in zip(parts(frozen), parts(expected), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert same(row_of(frozen, 0), row_of(frozen, 2))


def test_an_image_gives_the_same_bits_whatever_else_was_missing_with_it(backbone, store):
    everything = np.arange(store.count)
    alone = {row: FrozenImages(backbone, store, 64)(np.array([row]), BLOCKS) for row in (3, 40, 90)}
    random = np.random.default_rng(0)
    for count in (2, 17, BATCH, store.count):
        for row, expected in alone.items():
            company = random.choice(np.setdiff1d(everything, [row]), count - 1, replace=False)
            rows = random.permutation([row, *company])
            found = FrozenImages(backbone, store, 64)(rows, BLOCKS)
            assert same(row_of(found, [rows.tolist().index(row)]), expected), (row, count)


def test_an_image_is_computed_once(backbone, store, computed):
    frozen = FrozenImages(backbone, store, 64)
    first = frozen(np.array([1, 2, 2, 3]), BLOCKS)
    again = frozen(np.array([2, 4, 1, 3]), BLOCKS)
    assert computed == [3, 1]
    assert same(row_of(first, [2, 0, 3]), row_of(again, [0, 2, 3]))


def test_more_images_than_a_batch(backbone, store, computed):
    FrozenImages(backbone, store, 64)(np.arange(store.count), BLOCKS)
    assert computed == [BATCH, store.count - BATCH]


def test_how_many_blocks_will_be_adapted_matters(backbone, store):
    frozen = FrozenImages(backbone, store, 64)
    rows = np.array([0, 1])
    one, two = frozen(rows, 1), frozen(rows, 2)
    torch.testing.assert_close(one.features, two.features)
    assert not torch.allclose(one.tokens, two.tokens)
    assert same(frozen(rows, 1), one)


def test_eviction_keeps_within_the_budget_and_changes_nothing(backbone, store, computed):
    roomy, tight = FrozenImages(backbone, store, 64), FrozenImages(backbone, store, 1)
    random = np.random.default_rng(1)
    for _ in range(6):
        rows = random.choice(store.count, 8)
        assert same(tight(rows, BLOCKS), roomy(rows, BLOCKS))
        held = sum(part.nbytes for image in tight.kept.values() for part in parts(image))
        assert tight.held == held
        assert held <= 2**20
    assert len(tight.kept) >= 8
    assert len(tight.kept) < len(roomy.kept)


def test_features_are_computed_when_they_are_asked_for(backbone, store, computed):
    frozen = FrozenImages(backbone, store, 64)
    entering = frozen(np.array([0, 1]), BLOCKS, whole=False)
    assert entering.seen is None
    complete = frozen(np.array([1, 2]), BLOCKS)
    again = frozen(np.array([0, 1, 2]), BLOCKS, whole=False)
    assert again.seen is None
    assert computed == [2, 2]
    assert torch.equal(again.tokens, torch.cat([entering.tokens[:1], complete.tokens]))
    assert same(complete, FrozenImages(backbone, store, 64)(np.array([1, 2]), BLOCKS))
    assert frozen.held == sum(image.tokens.nbytes for image in frozen.kept.values()) + sum(
        image.features.nbytes + image.attention.nbytes for image in frozen.kept.values() if image.seen
    )


def test_what_was_used_last_is_kept_longest(backbone, store, computed):
    frozen = FrozenImages(backbone, store, 1)
    frozen(np.array([0]), BLOCKS)
    room = frozen.budget // frozen.held
    frozen(np.arange(1, room), BLOCKS)  # full
    frozen(np.array([0]), BLOCKS)
    frozen(np.array([room]), BLOCKS)  # 1 makes room for it
    del computed[:]
    frozen(np.array([0, 2, room]), BLOCKS)
    assert computed == []
    frozen(np.array([1]), BLOCKS)
    assert computed == [1]


def test_what_is_asked_for_at_once_may_exceed_the_budget(backbone, store, monkeypatch):
    monkeypatch.setattr(features, "BATCH", 8)
    rows = np.arange(64)
    frozen = FrozenImages(backbone, store, 1)
    whole = frozen(rows, BLOCKS)
    assert len(whole.tokens) == 64
    assert whole.tokens.nbytes > frozen.budget
    assert same(row_of(whole, [5]), frozen(np.array([5]), BLOCKS))


def test_evidence_of_the_shards_asked_for_last_is_kept():
    def evidence(megabytes):
        side = int((megabytes * 2**20 / 4) ** 0.5)
        return [Evidence(torch.zeros(1, 1, side, side), torch.zeros(1, side))]

    kept = KeptEvidence(megabytes=5)
    kept.of("episodes", (0, 1))["key",] = evidence(2)
    kept.of("episodes", (2, 3))["key",] = evidence(2)
    assert ("key",) in kept.of("episodes", (0, 1))
    kept.of("episodes", (4, 5))["key",] = evidence(2)
    assert kept.of("episodes", (6, 7)) == {}  # more than five are held: the least recently used goes
    assert kept.of("episodes", (2, 3)) == {}
    assert ("key",) in kept.of("episodes", (0, 1))
