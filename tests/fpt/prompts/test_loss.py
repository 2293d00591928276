from math import exp, log

import pytest
import torch

from fpt.backbones.attention import AttentionCall
from fpt.prompts.loss import concentration, focus_loss, log_attention_to
from fpt.registry import ROWS, STEERED_HEADS

IMAGES, HEAD_COUNT, PREFIX, PATCHES, CHANNELS = 3, 2, 2, 5, 4
TOKENS = PREFIX + PATCHES
TAU = torch.tensor([0.5, 1.0, 7.0])


def normal(*shape, seed=0, dtype=torch.float32):
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(scope="module")
def calls():
    """Three layers: fused attention, fused with a position bias, and logits that a softmax was given."""
    size, square = (IMAGES, HEAD_COUNT, TOKENS, CHANNELS), (HEAD_COUNT, TOKENS, TOKENS)
    return [
        AttentionCall(normal(*size), normal(*size, seed=1), 0.5, None),
        AttentionCall(normal(*size, seed=2), normal(*size, seed=3), 0.3, normal(1, *square, seed=4)),
        AttentionCall(None, None, 1.0, normal(IMAGES, *square, seed=5)),
    ]


@pytest.fixture(scope="module")
def targets():
    """For each layer: one, two and all patches; none of them as much as another; and the first, reversed."""
    many_hot = torch.tensor([[0.0, 0, 0, 1, 0], [0.5, 0, 0, 0, 0.5], [0.2, 0.2, 0.2, 0.2, 0.2]])
    return [many_hot, normal(IMAGES, PATCHES, seed=6).abs(), many_hot.flip(1)]


def logit(call, image, head, row, token):
    found = 0.0
    if call.query_BHRC is not None:
        q, k = call.query_BHRC[image, head, row], call.key_BHTC[image, head, token]
        found = sum(float(a) * float(b) for a, b in zip(q, k, strict=True)) * call.scale
    if call.bias is not None:
        found += float(call.bias[image % len(call.bias), head, row, token])
    return found


def log_softmax(logits):
    total = log(sum(exp(value) for value in logits))
    return [value - total for value in logits]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def concentration_by_loops(calls, targets, rows, heads):
    chosen = {"patches": range(PREFIX, TOKENS), "all": range(TOKENS), "class": range(1)}[rows]
    found = []
    for image in range(IMAGES):
        total = 0.0
        for call, target in zip(calls, targets, strict=True):
            wanted, of_rows = target[image].tolist(), []
            for row in chosen:
                each = [
                    [logit(call, image, head, row, token) / float(TAU[image]) for token in range(PREFIX, TOKENS)]
                    for head in range(HEAD_COUNT)
                ]
                logits = [[mean(values) for values in zip(*each, strict=True)]] if heads == "mean" else each
                pulled = [sum(w * ln for w, ln in zip(wanted, log_softmax(map_), strict=True)) for map_ in logits]
                of_rows.append(mean(pulled))
            total += mean(of_rows)
        found.append(total)
    return torch.tensor(found)


@pytest.mark.parametrize("layers", [slice(0, 1), slice(1, 2), slice(2, 3), slice(0, 3)], ids=str)
@pytest.mark.parametrize("heads", STEERED_HEADS)
@pytest.mark.parametrize("rows", ROWS)
def test_concentration_by_loops(calls, targets, rows, heads, layers):
    """The sum over layers, each with its own target."""
    chosen, wanted = calls[layers], targets[layers]
    found = concentration(chosen, wanted, TAU, [PREFIX] * len(chosen), rows, heads)
    torch.testing.assert_close(found, concentration_by_loops(chosen, wanted, rows, heads), rtol=1e-5, atol=1e-5)


def test_concentration_by_hand():
    """One head, one patch row of logits (0, ln 3): the second patch has 3/4 of the attention."""
    bias = torch.zeros(1, 1, 3, 3)
    bias[..., 2] = log(3)
    calls, tau = [AttentionCall(None, None, 1.0, bias)], torch.ones(1)
    second, both = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.5]])
    assert concentration(calls, [second], tau, [1]).item() == pytest.approx(log(3 / 4))
    assert concentration(calls, [both], tau, [1]).item() == pytest.approx((log(3 / 4) + log(1 / 4)) / 2)
    weighted = torch.tensor([[0.4, 1.6]])  # as in the released code: two patches, 2 in all
    expected = 0.4 * log(1 / 4) + 1.6 * log(3 / 4)
    assert concentration(calls, [weighted], tau, [1]).item() == pytest.approx(expected)


def test_layers_of_different_size_each_lose_their_own_prefix():
    """As the stages of a pyramid: 2 + 2 tokens and 1 + 3."""
    calls = [AttentionCall(None, None, 1.0, normal(1, 1, 4, 4, seed=seed)) for seed in (7, 8)]
    targets = [torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.0, 0.5]])]
    found = concentration(calls, targets, torch.ones(1), [2, 1])
    first = calls[0].bias[0, 0, 2:, 2:].log_softmax(-1)[:, 1].mean()
    second = calls[1].bias[0, 0, 1:, 1:].log_softmax(-1)[:, [0, 2]].mean()
    torch.testing.assert_close(found[0], first + second)


@pytest.mark.parametrize("heads", STEERED_HEADS)
def test_windows_of_an_image_are_averaged(heads):
    """Two images of three windows, each with a target of its own, are six images of one window."""
    logits, target = normal(6, HEAD_COUNT, PATCHES, PATCHES), normal(6, PATCHES, seed=1).abs()
    call, tau = AttentionCall(None, None, 1.0, logits), torch.tensor([0.5, 2.0])
    found = concentration([call], [target.view(2, 3, PATCHES)], tau, [0], heads=heads)
    alone = concentration([call], [target], tau.repeat_interleave(3), [0], heads=heads)
    torch.testing.assert_close(found, alone.view(2, 3).mean(1))


@pytest.mark.parametrize("heads", STEERED_HEADS)
def test_concentration_is_never_positive_and_most_where_attention_is(calls, targets, heads):
    assert (concentration(calls, targets, TAU, [PREFIX] * 3, heads=heads) < 0).all()
    sure = torch.zeros(IMAGES, HEAD_COUNT, TOKENS, TOKENS)
    sure[..., PREFIX] = 1000.0
    first = torch.zeros(IMAGES, PATCHES)
    first[:, 0] = 1
    found = concentration([AttentionCall(None, None, 1.0, sure)], [first], TAU, [PREFIX], heads=heads)
    torch.testing.assert_close(found, torch.zeros(IMAGES))


@pytest.mark.parametrize("rows", ROWS)
def test_prefix_keys_do_not_count(targets, rows):
    """What attention [CLS] and the other prefix tokens get is no patch's loss."""
    bias = normal(IMAGES, HEAD_COUNT, TOKENS, TOKENS, seed=1)
    other = bias.clone()
    other[..., :PREFIX] += 5
    ours, theirs = (
        concentration([AttentionCall(None, None, 1.0, one)], targets[:1], TAU, [PREFIX], rows) for one in (bias, other)
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_an_image_without_prompt_is_not_pulled_anywhere(calls, targets):
    """A key entity may be covered entirely: no patch is prompted then, and there is nothing to learn from the image."""
    query = calls[0].query_BHRC.clone().requires_grad_()
    without = targets[0].clone()
    without[1] = 0
    call = AttentionCall(query, calls[0].key_BHTC, 0.5, None)
    concentration([call], [without], TAU, [PREFIX]).sum().backward()
    assert query.grad[0].abs().max() > 0
    assert torch.equal(query.grad[1], torch.zeros_like(query.grad[1]))


def test_unknown_rows_and_heads_are_refused(calls, targets):
    with pytest.raises(ValueError, match="rows must be one of patches, all, class but got 'queries'"):
        concentration(calls, targets, TAU, [PREFIX] * 3, rows="queries")
    with pytest.raises(ValueError, match="heads must be one of mean, each but got 'least'"):
        concentration(calls, targets, TAU, [PREFIX] * 3, heads="least")


@pytest.mark.parametrize("lead", [(), (HEAD_COUNT,)], ids=["head-mean", "each head"])
def test_focus_loss_is_minus_the_mean_log_attention_to_the_targets(lead):
    logits, target = normal(IMAGES, *lead, 4, PATCHES), normal(IMAGES, PATCHES, seed=1).abs()
    found = focus_loss(logits, target, tau=3.0)
    log_attention = (logits.double() / 3).softmax(-1).log()
    each = [(log_attention[i] * target[i].double()).sum(-1).mean() for i in range(IMAGES)]
    assert found.shape == ()
    torch.testing.assert_close(found.double(), -torch.stack(each).mean(), rtol=1e-6, atol=0)


def test_focus_loss_by_hand():
    """Logits (ln 2, 0, 0) and (0, 0, 0), tau 1: attention (1/2, 1/4, 1/4) and a third each; target the first two."""
    logits = torch.tensor([[[log(2), 0.0, 0.0], [0.0, 0.0, 0.0]]])
    found = focus_loss(logits, torch.tensor([[0.5, 0.5, 0.0]]), tau=1.0)
    expected = -((log(1 / 2) + log(1 / 4)) / 2 + log(1 / 3)) / 2
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize("lead", [(), (HEAD_COUNT,)], ids=["head-mean", "each head"])
@pytest.mark.parametrize("tau", [0.3, 1.0, 10.0])
def test_gradient_of_focus_loss_by_differences(lead, tau):
    logits = normal(IMAGES, *lead, 4, PATCHES, dtype=torch.float64).requires_grad_()
    target = normal(IMAGES, PATCHES, seed=1, dtype=torch.float64).abs()
    assert torch.autograd.gradcheck(lambda logits: focus_loss(logits, target, tau), logits)


def test_gradient_with_respect_to_tau_by_differences():
    """Nothing trains tau; that it could is a check of the formula."""
    logits = normal(IMAGES, 4, PATCHES, dtype=torch.float64)
    target = normal(IMAGES, PATCHES, seed=1, dtype=torch.float64).abs()
    assert torch.autograd.gradcheck(lambda tau: log_attention_to(logits, target, tau), TAU.double().requires_grad_())


@pytest.mark.parametrize("tau", [0.0, -1.0])
def test_focus_loss_refuses_a_tau_that_is_not_positive(tau):
    with pytest.raises(ValueError, match=f"tau must be above 0 but got {tau}"):
        focus_loss(normal(1, 2, 3), normal(1, 3), tau)
