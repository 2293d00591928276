"""What other programs call."""

import pytest
import torch

import fpt

STEER = {"alpha": 0.5, "patches": 4, "lam": 0.3, "tau": 1.0, "variant": "scaled", "blocks": 1}


def noise(count, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=random)


def episode(index, way=2, shot=1, query=2):
    support, asked = (torch.arange(way).repeat(each) for each in (shot, query))
    return fpt.Episode(noise(len(support), index), support, noise(len(asked), 99 + index), asked, index)


@pytest.fixture(scope="module")
def small():
    return fpt.load_backbone("test_vit", image_size=32)


@pytest.fixture(scope="module")
def head():
    random = torch.Generator().manual_seed(0)
    return torch.randn(3, 64, generator=random), torch.randn(3, generator=random)


LABELS = torch.tensor([0, 2, 1])


@pytest.mark.parametrize("variant", ["paper", "scaled", "official"])
def test_prompts_of_bytes_and_of_normalised_images_agree(variant, small, head):
    images = noise(3, 0)
    pixels = small.normalise(images)
    ours, theirs = (
        fpt.position_prompts(small, one, LABELS, *head, lam=0.5, patches=2, variant=variant) for one in (images, pixels)
    )
    for name in ("importance", "mask", "target", "gradient_term"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
        assert getattr(ours, name).shape == (3, 4)
    assert (ours.mask.sum(1) == 2).all()
    assert torch.equal(ours.target > 0, ours.mask)


@pytest.mark.parametrize("name", ["head", "r2d2", "metaoptnet", "zero", "random"])
def test_double_precision_works_and_agrees(name, small):
    """Under every head; single precision is what it is checked against."""
    options = {"solver": "lora", "seed": 1, "epochs": 2, "lr": 1e-3, "head": "protonet" if name == "head" else name}
    double = fpt.load_backbone("test_vit", image_size=32, dtype=torch.float64)
    (ours,), (theirs,) = (fpt.solve(one, [episode(3)], **options, **STEER) for one in (double, small))
    assert ours.logits.dtype == torch.float64
    precision = 2e-5 * max(1.0, float(theirs.logits.abs().max()))
    torch.testing.assert_close(ours.logits.float(), theirs.logits, rtol=0, atol=precision)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("solver", fpt.SOLVERS)
def test_episodes_of_different_shapes_are_solved_in_one_call_whatever_the_stack(solver, dtype):
    """A record each, in the order asked; accuracy is that of its predictions. What double precision allows shows that
    single precision differs by rounding alone, which Adam's first steps make larger."""
    backbone = fpt.load_backbone("test_vit", image_size=32, dtype=dtype)
    asked = [episode(5), episode(1, way=3, shot=2), episode(4), episode(2, query=3), episode(0, way=3, shot=2)]
    lr = {"full": 1e-5, "ssf": 1e-3}.get(solver, 1e-2)
    options = {"solver": solver, "seed": 0, "epochs": 2, "lr": lr, "batch": 2, "head": "r2d2", **STEER}
    records = fpt.solve(backbone, asked, **options)
    one_by_one = [fpt.solve(backbone, [one], stack=1, **options)[0] for one in asked]
    rounding = {torch.float32: 4e-5, torch.float64: 1e-11}[dtype]
    assert [record.index for record in records] == [5, 1, 4, 2, 0]
    for one, record, alone in zip(asked, records, one_by_one, strict=True):
        assert record.logits.shape == (len(one.query_labels), int(one.support_labels.max()) + 1)
        assert record.accuracy == (record.predictions == one.query_labels).double().mean().item()
        assert torch.equal(record.predictions, record.logits.argmax(-1))
        precision = rounding * max(1.0, float(alone.logits.abs().max()))
        torch.testing.assert_close(record.logits, alone.logits, rtol=0, atol=precision)


def test_bytes_and_normalised_images_are_solved_alike(small):
    one = episode(0)
    pixels = fpt.Episode(
        small.normalise(one.support_images), one.support_labels, small.normalise(one.query_images), one.query_labels, 0
    )
    (ours,), (theirs,) = (fpt.solve(small, [each], solver="lora", seed=0, epochs=1, **STEER) for each in (one, pixels))
    assert torch.equal(ours.logits, theirs.logits)


def test_results_hang_on_seed_and_index(small):
    options = {"solver": "lora", "epochs": 2, "lr": 1e-2, "batch": 1, **STEER}
    one, other = episode(0, shot=2), episode(0, shot=2)
    moved = fpt.Episode(other.support_images, other.support_labels, other.query_images, other.query_labels, 7)
    base, again, seeded, indexed = (
        fpt.solve(small, [each], seed=seed, **options)[0].logits
        for each, seed in ((one, 0), (one, 0), (one, 1), (moved, 0))
    )
    assert torch.equal(base, again)
    assert not torch.equal(base, seeded)
    assert not torch.equal(base, indexed)


@pytest.mark.parametrize(("variant", "own"), [("paper", "patches"), ("scaled", "patches"), ("official", "all")])
def test_a_variant_steers_its_own_rows_where_none_are_named(variant, own, small):
    options = {"solver": "lora", "seed": 0, "epochs": 2, "lr": 1e-2, "patches": 2, "alpha": 5.0, "variant": variant}
    left_out, none, patches, every = (
        fpt.solve(small, [episode(0, shot=2)], **options, **rows)[0].logits
        for rows in ({}, {"rows": None}, {"rows": "patches"}, {"rows": "all"})
    )
    assert torch.equal(left_out, none)
    assert torch.equal(left_out, patches) == (own == "patches")
    assert torch.equal(left_out, every) == (own == "all")


def test_scores_that_are_not_finite_are_no_accuracy(small):
    (record,) = fpt.solve(small, [episode(0)], solver="linear_probe", seed=0, lr=float("inf"), epochs=3)
    assert record.accuracy is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "magic"}, "solver must be one of knn, .* but got 'magic'"),
        ({"variant": "own"}, "variant must be one of paper, scaled, contrast, official, masks but got 'own'"),
        ({"patches": 5}, "patches must be from 1 to 4 but got 5"),
        ({"order": "reverse"}, "order must be one of paper, rollout but got 'reverse'"),
        ({"head": "tail"}, "head must be one of .* but got 'tail'"),
        ({"lamda": 1.0}, "hyper-parameters must be among alpha, .*lam, .* but got 'lamda'"),
        ({"lambda_": 1.0}, "hyper-parameters must be among .* but got 'lambda_'"),
        ({"rows": "columns"}, "rows must be one of patches, all, class but got 'columns'"),
        ({"blocks": 99}, "blocks must be from 1 to .*, the blocks of the backbone, but got 99"),
        ({"embeddings": True}, "embeddings must be false for solver lora, which does not adapt them, but is true"),
        ({"embeddings": True, "solver": "ssf"}, "blocks must be .*, all of the backbone's, where embeddings are"),
        ({"variant": "masks"}, "variant must not be masks for data without masks"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_mistake_is_said_in_one_sentence(options, message, small):
    with pytest.raises(ValueError, match=message) as caught:
        fpt.solve(small, [episode(0)], **{"solver": "lora", "seed": 0, **STEER, **options})
    assert "\n" not in str(caught.value)


def test_labels_must_be_all_classes_and_no_other(small):
    one = episode(0)
    gap = fpt.Episode(one.support_images, torch.tensor([0, 2]), one.query_images, one.query_labels, 3)
    beyond = fpt.Episode(one.support_images, one.support_labels, one.query_images, one.query_labels + 1, 4)
    for index, wrong in ((3, gap), (4, beyond)):
        with pytest.raises(ValueError, match=f"support_labels must hold every number .* but episode {index} has"):
            fpt.solve(small, [wrong], solver="protonet", seed=0)


def test_an_unknown_variant_is_refused(small, head):
    with pytest.raises(ValueError, match="variant must be one of paper, scaled, contrast, official but got 'best'"):
        fpt.position_prompts(small, noise(3, 0), LABELS, *head, variant="best")
