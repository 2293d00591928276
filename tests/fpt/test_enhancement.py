from math import exp, log

import pytest
import torch

from fpt.attention import AttentionCall
from fpt.enhancement import HEADS, ROWS, concentration

IMAGES, HEAD_COUNT, PREFIX, PATCHES, CHANNELS = 3, 2, 2, 5, 4
TOKENS = PREFIX + PATCHES
TAU = torch.tensor([0.5, 1.0, 7.0])


@pytest.fixture(scope="module")
def calls():
    """Three layers: fused attention, fused with a position bias, and logits that a softmax was given."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape):
        return 2 * torch.randn(shape, generator=random)

    size = (IMAGES, HEAD_COUNT, TOKENS, CHANNELS)
    return [
        AttentionCall(normal(*size), normal(*size), 0.5, None),
        AttentionCall(normal(*size), normal(*size), 0.3, normal(1, HEAD_COUNT, TOKENS, TOKENS)),
        AttentionCall(None, None, 1.0, normal(IMAGES, HEAD_COUNT, TOKENS, TOKENS)),
    ]


@pytest.fixture(scope="module")
def prompts():
    """One, two and all patches."""
    chosen = torch.tensor([[0, 0, 0, 1, 0], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]])
    return chosen.bool()


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


def concentration_by_loops(calls, prompts, rows, heads):
    chosen = {"patches": range(PREFIX, TOKENS), "all": range(TOKENS), "class": range(1)}[rows]
    found = []
    for image in range(IMAGES):
        of_layers = []
        for call in calls:

            def over_patches(head, row, image=image, call=call):
                return [logit(call, image, head, row, token) / float(TAU[image]) for token in range(PREFIX, TOKENS)]

            for row in chosen:
                each = [over_patches(head, row) for head in range(HEAD_COUNT)]
                logits = [[mean(values) for values in zip(*each, strict=True)]] if heads == "mean" else each
                of_layers.append(
                    mean(mean(log_softmax(map_)[t] for t in range(PATCHES) if prompts[image, t]) for map_ in logits)
                )
        found.append(mean(of_layers))
    return torch.tensor(found)


@pytest.mark.parametrize("layers", [slice(0, 1), slice(1, 2), slice(2, 3), slice(0, 3)], ids=str)
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("rows", ROWS)
def test_concentration_by_loops(calls, prompts, rows, heads, layers):
    found = concentration(calls[layers], prompts, TAU, PREFIX, rows, heads)
    torch.testing.assert_close(found, concentration_by_loops(calls[layers], prompts, rows, heads))


def test_concentration_by_hand():
    """One head, one patch row of logits (0, ln 3): the second patch has 3/4 of the attention."""
    bias = torch.zeros(1, 1, 3, 3)
    bias[..., 2] = log(3)
    calls, tau = [AttentionCall(None, None, 1.0, bias)], torch.ones(1)
    second, both = (torch.tensor([chosen]) for chosen in ([False, True], [True, True]))
    assert concentration(calls, second, tau, prefix=1).item() == pytest.approx(log(3 / 4))
    assert concentration(calls, both, tau, prefix=1).item() == pytest.approx((log(3 / 4) + log(1 / 4)) / 2)


@pytest.mark.parametrize("heads", HEADS)
def test_concentration_is_never_positive_and_most_where_attention_is(calls, prompts, heads):
    assert (concentration(calls, prompts, TAU, PREFIX, heads=heads) < 0).all()
    sure = torch.zeros(IMAGES, HEAD_COUNT, TOKENS, TOKENS)
    sure[..., PREFIX] = 1000.0
    first = torch.zeros(IMAGES, PATCHES, dtype=torch.bool)
    first[:, 0] = True
    found = concentration([AttentionCall(None, None, 1.0, sure)], first, TAU, PREFIX, heads=heads)
    torch.testing.assert_close(found, torch.zeros(IMAGES))


@pytest.mark.parametrize("rows", ROWS)
def test_prefix_keys_do_not_count(prompts, rows):
    """What attention [CLS] and the other prefix tokens get is no patch's loss."""
    random = torch.Generator().manual_seed(1)
    bias = torch.randn(IMAGES, HEAD_COUNT, TOKENS, TOKENS, generator=random)
    other = bias.clone()
    other[..., :PREFIX] += 5
    ours, theirs = (
        concentration([AttentionCall(None, None, 1.0, one)], prompts, TAU, PREFIX, rows) for one in (bias, other)
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_an_image_without_prompt_is_not_pulled_anywhere(calls, prompts):
    """A key entity may be covered entirely: no patch is prompted then, and there is nothing to learn from the image."""
    query = calls[0].query_BHRC.clone().requires_grad_()
    without = prompts.clone()
    without[1] = False
    call = AttentionCall(query, calls[0].key_BHTC, 0.5, None)
    concentration([call], without, TAU, PREFIX).sum().backward()
    assert query.grad[0].abs().max() > 0
    assert torch.equal(query.grad[1], torch.zeros_like(query.grad[1]))


def test_unknown_rows_and_heads_are_refused(calls, prompts):
    with pytest.raises(ValueError, match="rows must be one of patches, all, class but got 'queries'"):
        concentration(calls, prompts, TAU, PREFIX, rows="queries")
    with pytest.raises(ValueError, match="heads must be one of mean, each but got 'least'"):
        concentration(calls, prompts, TAU, PREFIX, heads="least")
