"""The three older variants from one end to the other: by hand on three patches, and by a slow road in float64."""

import copy

import pytest
import torch

import fpt
from fpt.backbones.attention import listen
from fpt.backbones.backbone import Backbone
from fpt.prompts.columnar import Evidence, prompts_from
from fpt.prompts.variants import highest_tenth

LAMBDA, TOP = 0.5, 5


def evidence(first):
    """Two layers of three patches: `first`, and one that sees nothing. G is (1/2, -1/4, 0)."""
    maps = torch.tensor([[first, [[0.0, 0.0, 0.0]] * 3]])
    return Evidence(maps, torch.tensor([[0.5, -0.25, 0.0]]))


CYCLE = [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]]


@pytest.mark.parametrize(
    ("order", "importance"),
    [(None, [271, 60, 74]), ("paper", [271, 60, 74]), ("rollout", [256, 75, 74])],
    ids=["own", "paper", "rollout"],
)
def test_paper_by_hand(order, importance):
    """I + max(A + G, 0) is (2 1/4 0, 1/2 5/4 1/2, 1 0 3/2), then (3/2 0 0, 1/2 1 0, 1/2 0 1).

    With rows that sum to 1: (8/9 1/9 0, 2/9 5/9 2/9, 2/5 0 3/5) and (1 0 0, 1/3 2/3 0, 1/3 0 2/3). The mean row of the
    first is (68, 30, 37) / 135, times the second (271, 60, 74) / 405; the other way (5, 2, 2) / 9, (256, 75, 74) / 405.
    """
    found = prompts_from(evidence(CYCLE), "paper", 1.0, 2, order)
    torch.testing.assert_close(found.importance, torch.tensor([importance]) / 405)
    chosen = [True, order == "rollout", order != "rollout"]
    assert found.mask.tolist() == [chosen]
    assert found.target.tolist() == [[0.5 * one for one in chosen]]
    assert found.gradient_term.tolist() == [[0.5, -0.25, 0.0]]


def test_scaled_by_hand():
    """|G| sums to 3/4: lambda 3/4 does what 1 does in `paper`, whatever the size of G."""
    for size in (1, 1000):
        one = evidence(CYCLE)
        found = prompts_from(Evidence(one.maps, size * one.gradient), "scaled", 0.75, 2)
        torch.testing.assert_close(found.importance, torch.tensor([[271.0, 60, 74]]) / 405)
        torch.testing.assert_close(found.gradient_term, torch.tensor([[2.0, -1, 0]]) / 3)
        assert found.target.tolist() == [[0.5, 0.0, 0.5]]


def test_official_by_hand():
    """A + G is (1 1/4 0, 1/2 0 3/4, 1 -1/4 1/2): of three in a row one is kept, 1, 3/4 and 1; then 1/2 in each.

    With I, rows summing to 1: (1 0 0, 0 4/7 3/7, 1/2 0 1/2) and (1 0 0, 1/3 2/3 0, 1/3 0 2/3). From the top down the
    mean row is (5, 2, 2) / 9, then (42, 8, 13) / 63. The target is 42 and 13 parts of 2.
    """
    found = prompts_from(evidence([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75], [0.5, 0.0, 0.5]]), "official", 1.0, 2)
    torch.testing.assert_close(found.importance, torch.tensor([[42.0, 8, 13]]) / 63)
    assert found.mask.tolist() == [[True, False, True]]
    torch.testing.assert_close(found.target, torch.tensor([[84.0, 0, 26]]) / 55)


@pytest.mark.parametrize(("patches", "kept"), [(3, 1), (10, 1), (49, 5), (64, 7), (196, 20)])
def test_nine_tenths_of_each_row_are_dropped_rounded_down(patches, kept):
    fused = torch.rand(2, patches, patches, generator=torch.Generator().manual_seed(0)) - 0.2
    found = highest_tenth(fused)
    assert ((found != 0).sum(-1) == kept).all()
    for row, of_row in zip(fused.flatten(0, 1), found.flatten(0, 1), strict=True):
        best = sorted(row.tolist(), reverse=True)[:kept]
        assert sorted(of_row[of_row != 0].tolist(), reverse=True) == best


@pytest.mark.parametrize("values", [7, 10**6], ids=["many equals", "no equals"])
@pytest.mark.parametrize("patches", [1, 4, 9, 10, 49, 196])
def test_a_tenth_of_each_row_is_kept_whatever_is_equal(patches, values):
    random = torch.Generator().manual_seed(patches)
    fused = torch.randint(1, values, (3, patches, patches), generator=random).float()
    found = highest_tenth(fused)
    kept = patches - int(patches * 0.9)
    assert torch.equal((found > 0).sum(-1), torch.full((3, patches), kept))
    assert torch.equal(found[found > 0], fused[found > 0])
    assert torch.equal(found.sort(-1).values[..., patches - kept :], fused.sort(-1).values[..., patches - kept :])


@pytest.fixture(scope="module")
def sharp(backbone):
    """The embedded architecture in float64, with weights so large that attention is far from uniform."""
    model = copy.deepcopy(backbone.model).double()
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.mul_(4)
    return Backbone(model)


@pytest.fixture(scope="module")
def labelled(sharp):
    """Five images of three classes, and a linear classifier."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8, generator=random)
    weight, bias = (torch.randn(*size, generator=random, dtype=torch.float64) for size in ((3, 128), (3,)))
    return images, torch.tensor([0, 2, 1, 0, 2]), weight, bias


def watched_maps(backbone, images):
    """Softmaxed attention, head-mean scaled logits of the top layer, input of the top block, features: with a graph."""
    model, maps, entering, logits = copy.deepcopy(backbone.model), [], [], []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: maps.append(inputs[0]))

    def keep(module, inputs):
        entering.append(inputs[0].requires_grad_())

    def multiply(module, inputs):
        q, k, _ = module.qkv(inputs[0]).unflatten(2, (3, 4, 32)).unbind(2)
        logits.append(torch.einsum("bnhc,bthc->bhnt", q, k).div(32**0.5).mean(1))

    model.blocks[-1].register_forward_pre_hook(keep)
    model.blocks[-1].attn.register_forward_pre_hook(multiply)
    features = model(backbone.normalise(images))
    return torch.stack(maps, 1), logits[0].detach(), entering[0], features


def component_by_svd(gradient, tokens):
    """G, and its sign that of gradient times input."""
    _, _, right = torch.linalg.svd(gradient, full_matrices=True)
    component = gradient @ right[0]
    return component if component @ (gradient * tokens).sum(1) >= 0 else -component


def slow_prompts(backbone, images, labels, weight, bias, variant, top):
    """Importance, mask and target of every image with whole matrices, and the top layer's logits."""
    maps, logits, entering, features = watched_maps(backbone, images)
    own = (features @ weight.T + bias)[torch.arange(len(labels)), labels]
    score = own.mean() if variant == "official" else own.sum()
    (gradient,) = torch.autograd.grad(score, entering)
    eye, patches, rows = torch.eye(64, dtype=torch.float64), 64, []
    for image in range(len(images)):
        one = gradient[image, 1:]
        if variant == "official":
            one = one - one.mean(0)
        component = component_by_svd(one, entering[image, 1:].detach())
        if variant == "scaled":
            component = component / component.abs().sum()
        product = eye
        for layer in range(backbone.depth):
            of_heads = maps[image, layer, :, 1:, 1:].detach()
            fused = (of_heads.min(0).values if variant == "official" else of_heads.mean(0)) + LAMBDA * component
            if variant == "official":
                cut = fused.sort(1).values[:, int(0.9 * patches), None]
                fused = (eye + torch.where(fused < cut, 0, fused)) / 2
            else:
                fused = eye + fused.clamp(min=0)
            fused = fused / fused.sum(1, keepdim=True)
            product = fused @ product if variant == "official" else product @ fused
        rows.append(product.mean(0))
    importance = torch.stack(rows)
    cut = importance.sort(1, descending=True).values[:, top - 1, None]
    mask = importance >= cut
    target = torch.where(mask, importance, 0)
    target = target / target.sum(1, keepdim=True) * top if variant == "official" else mask.double() / top
    return importance, mask, target, logits


@pytest.mark.parametrize("variant", ["paper", "scaled", "official"])
def test_prompts_are_those_of_whole_matrices(variant, sharp, labelled):
    images, labels, weight, bias = labelled
    found = fpt.position_prompts(sharp, images, labels, weight, bias, lam=LAMBDA, patches=TOP, variant=variant)
    importance, mask, target, _ = slow_prompts(sharp, images, labels, weight, bias, variant, TOP)
    assert importance.std(1).min() > 1e-3
    torch.testing.assert_close(found.importance, importance, rtol=1e-4, atol=0)
    assert torch.equal(found.mask, mask)
    torch.testing.assert_close(found.target, target, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("variant", "rows"), [("paper", slice(1, None)), ("official", slice(None))])
@pytest.mark.parametrize("tau", [0.3, 10.0])
def test_loss_is_that_of_whole_matrices(variant, rows, tau, sharp, labelled):
    """The key of [CLS] is dropped; its query is kept in the released code, not in the paper."""
    images, labels, weight, bias = labelled
    prompts = fpt.position_prompts(sharp, images, labels, weight, bias, lam=LAMBDA, patches=TOP, variant=variant)
    with listen(sharp.depth) as calls:
        sharp.features(sharp.normalise(images))
    found = fpt.focus_loss(calls[-1].head_mean_logits(rows)[..., 1:], prompts.target, tau)
    _, _, target, logits = slow_prompts(sharp, images, labels, weight, bias, variant, TOP)
    log_attention = (logits[:, rows, 1:] / tau).softmax(-1).log()
    expected = -(target[:, None] * log_attention).sum(-1).mean()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_variants_differ_where_they_should(sharp, labelled):
    images, labels, weight, bias = labelled
    paper, scaled, official = (
        fpt.position_prompts(sharp, images, labels, weight, bias, lam=LAMBDA, patches=TOP, variant=variant)
        for variant in ("paper", "scaled", "official")
    )
    torch.testing.assert_close(paper.target.sum(1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(official.target.sum(1), torch.full((5,), float(TOP), dtype=torch.float64))
    assert (paper.importance - scaled.importance).abs().max() > 1e-3
    assert (paper.importance - official.importance).abs().max() > 1e-3
