import copy

import numpy as np
import pytest
import torch

from fpt.backbones.backbone import Backbone
from fpt.prompts.columnar import first_component, gather_evidence, importance, top_patches
from fpt.prompts.variants import scaled

IMAGES, LAYERS, PATCHES, DIM = 4, 3, 9, 16


def first_component_by_svd(gradient, tokens):
    """G by a full float64 decomposition, its sign that of the relevance."""
    gradient, tokens = gradient.double().numpy(), tokens.double().numpy()
    components = []
    for grad, token in zip(gradient, tokens, strict=True):
        component = grad @ np.linalg.svd(grad)[2][0]
        relevance = (grad * token).sum(1)
        components.append(component if component @ relevance >= 0 else -component)
    return np.stack(components)


def importance_by_full_products(maps, component, lam, order):
    """Entry by entry, in float64, with the whole product of all layers."""
    rows = []
    for image in range(len(maps)):
        product = np.eye(PATCHES)
        for layer in range(LAYERS):
            fused = np.eye(PATCHES)
            for n in range(PATCHES):
                for t in range(PATCHES):
                    fused[n, t] += max(float(maps[image, layer, n, t]) + lam * float(component[image, t]), 0)
                fused[n] /= fused[n].sum()
            product = product @ fused if order == "paper" else fused @ product
        rows.append(product.mean(0))
    return np.stack(rows)


@pytest.fixture(scope="module")
def maps():
    """Attention among patches: rows sum to less than 1, as [CLS] has a share."""
    random = torch.Generator().manual_seed(0)
    return 0.9 * torch.randn(IMAGES, LAYERS, PATCHES, PATCHES, generator=random).mul(2).softmax(-1)


@pytest.fixture(scope="module")
def component():
    return torch.randn(IMAGES, PATCHES, generator=torch.Generator().manual_seed(1))


def gradient_with(singular_values, seed):
    """A gradient (PATCHES x DIM) with given singular values."""
    random = np.random.default_rng(seed)
    left, _ = np.linalg.qr(random.normal(size=(PATCHES, len(singular_values))))
    right, _ = np.linalg.qr(random.normal(size=(DIM, len(singular_values))))
    return torch.from_numpy(left @ np.diag(singular_values) @ right.T).float()


@pytest.mark.parametrize("tall", [False, True], ids=["few patches", "few dimensions"])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e5])
def test_first_component_is_that_of_the_svd(size, tall):
    spectra = [(1.0,), (1.0, 0.98, 0.5), (5.0, 4.0, 3.0, 2.0, 1.0), (1.0, 1e-4)]
    gradient = size * torch.stack([gradient_with(spectrum, seed) for seed, spectrum in enumerate(spectra)])
    gradient = gradient.transpose(1, 2) if tall else gradient
    tokens = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(2))
    expected = first_component_by_svd(gradient, tokens)
    np.testing.assert_allclose(
        first_component(gradient, (gradient * tokens).sum(-1)).numpy() / size, expected / size, atol=2e-5
    )


def test_sign_of_the_first_component_is_that_of_the_relevance():
    random = torch.Generator().manual_seed(3)
    gradient, tokens = (torch.randn(200, PATCHES, DIM, generator=random) for _ in range(2))
    component = first_component(gradient, (gradient * tokens).sum(-1))
    relevance = (gradient * tokens).sum(-1)
    assert ((component * relevance).sum(1) >= 0).all()
    torch.testing.assert_close(first_component(gradient, -(gradient * tokens).sum(-1)), -component, rtol=0, atol=0)


@pytest.mark.parametrize("dim", [DIM, PATCHES // 2])
def test_a_gradient_of_zero_gives_no_component_and_does_not_touch_its_neighbours(dim):
    random = torch.Generator().manual_seed(4)
    gradient, tokens = (torch.randn(3, PATCHES, dim, generator=random) for _ in range(2))
    gradient[1] = 0
    component = first_component(gradient, (gradient * tokens).sum(-1))
    assert torch.equal(component[1], torch.zeros(PATCHES))
    others = [0, 2]
    expected = first_component_by_svd(gradient[others], tokens[others])
    np.testing.assert_allclose(component[others].numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("order", ["paper", "rollout"])
@pytest.mark.parametrize("lam", [0.0, 0.05, 1.0, 30.0, -2.0])
def test_importance_is_the_mean_row_of_the_product_of_all_layers(maps, component, lam, order):
    expected = importance_by_full_products(maps, component, lam, order)
    np.testing.assert_allclose(importance(maps, component, lam, order).numpy(), expected, atol=1e-6)


def test_orders_differ(maps, component):
    paper, rollout = (importance(maps, component, 1.0, order) for order in ("paper", "rollout"))
    assert (paper - rollout).abs().max() > 1e-3


@pytest.mark.parametrize("lam", [0.0, 1.0, 1e4, -1e4])
def test_importance_is_a_distribution_at_any_lambda(maps, component, lam):
    found = importance(maps, component, lam)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(IMAGES))


def test_importance_stays_uniform_where_attention_and_gradient_are(maps):
    uniform = torch.full_like(maps, 1 / PATCHES)
    found = importance(uniform, torch.ones(IMAGES, PATCHES), 3.0)
    torch.testing.assert_close(found, torch.full((IMAGES, PATCHES), 1 / PATCHES))


def test_a_large_lambda_leaves_the_patches_with_a_positive_gradient(maps, component):
    """And of a gradient that is negative everywhere, as the first image's, none: every fused map is the identity."""
    found = importance(maps[:, -1:], component, 1e6)
    positive = component.clamp_min(0)
    share = positive[1:] / positive[1:].sum(1, keepdim=True)
    assert not positive[0].any()
    torch.testing.assert_close(found[0], torch.full((PATCHES,), 1 / PATCHES))
    torch.testing.assert_close(found[1:], share, rtol=0, atol=1e-5)


def test_importance_refuses_an_unknown_order(maps, component):
    with pytest.raises(ValueError, match="order must be one of paper, rollout but got 'forwards'"):
        importance(maps, component, 1.0, "forwards")


def test_scaled_makes_lambda_independent_of_the_size_of_the_gradient(maps, component):
    of_one, of_million = scaled(component), scaled(1e6 * component)
    torch.testing.assert_close(of_one.abs().sum(1), torch.ones(IMAGES))
    torch.testing.assert_close(of_one, of_million)
    torch.testing.assert_close(of_one * component.abs().sum(1, keepdim=True), component)
    assert torch.equal(scaled(torch.zeros(2, PATCHES)), torch.zeros(2, PATCHES))


def test_top_patches_by_hand():
    chosen = top_patches(torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.7, 0.1, 0.1, 0.1]]), 2)
    assert chosen.tolist() == [[False, True, False, True], [True, True, False, False]]


@pytest.mark.parametrize("patches", [1, 5, 64])
def test_of_equals_the_first_patches_are_chosen(patches):
    chosen = top_patches(torch.full((2, 64), 1 / 64), patches)
    assert torch.equal(chosen, (torch.arange(64) < patches).expand(2, 64))


@pytest.mark.parametrize("patches", [0, -1, PATCHES + 1])
def test_top_patches_refuses_more_patches_than_there_are_and_fewer_than_one(component, patches):
    with pytest.raises(ValueError, match=f"patches must be from 1 to {PATCHES} but got {patches}"):
        top_patches(component, patches)


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def head():
    """A stack of two classifiers of three classes."""
    random = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 128, generator=random), torch.randn(2, 3, generator=random)


LABELS = torch.tensor([0, 2, 1])
PROBLEM_OF = torch.tensor([0, 1, 0])


def evidence_of_the_whole_model(backbone: Backbone, images, head):
    """Maps and G from one pass through timm's own model in float64, without fused attention, image by image."""
    model = copy.deepcopy(backbone.model).double()
    maps, entering, all_maps, gradients, tokens = [], [], [], [], []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: maps.append(inputs[0]))
    model.blocks[-1].register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0].requires_grad_()))
    for image, label, problem in zip(images, LABELS, PROBLEM_OF, strict=True):
        pixels = (image.double().permute(2, 0, 1) / 255 - 0.5) / 0.25
        features = model.forward_head(model.forward_features(pixels[None]), pre_logits=True)[0]
        score = head[0][problem, label].double() @ features + head[1][problem, label].double()
        gradients.append(torch.autograd.grad(score, entering[-1])[0][0, 1:])
        tokens.append(entering[-1].detach()[0, 1:])
        all_maps.append(torch.stack([attention[0].mean(0)[1:, 1:].detach() for attention in maps]))
        maps.clear()
    return torch.stack(all_maps), first_component_by_svd(torch.stack(gradients), torch.stack(tokens))


def test_evidence_is_that_of_the_whole_model(backbone, images, head):
    evidence = gather_evidence(backbone, images, LABELS, head, PROBLEM_OF, "paper")
    maps, component = evidence_of_the_whole_model(backbone, images, head)
    np.testing.assert_allclose(evidence.maps.numpy(), maps.numpy(), atol=1e-6)
    np.testing.assert_allclose(evidence.gradient.numpy(), component, atol=1e-4 * np.abs(component).max())


def test_a_zero_head_gives_no_gradient_evidence(backbone, images, head):
    nothing = tuple(torch.zeros_like(part) for part in head)
    assert torch.equal(
        gather_evidence(backbone, images, LABELS, nothing, PROBLEM_OF, "paper").gradient, torch.zeros(3, 64)
    )


def test_evidence_holds_no_graph_and_leaves_the_backbone_frozen(backbone, images, head):
    evidence = gather_evidence(backbone, images, LABELS, head, PROBLEM_OF, "paper")
    assert not evidence.maps.requires_grad
    assert not evidence.gradient.requires_grad
    assert all(weight.grad is None and not weight.requires_grad for weight in backbone.model.parameters())
