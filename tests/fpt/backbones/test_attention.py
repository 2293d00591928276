import pytest
import torch
import torch.nn.functional as F
from timm.layers import Attention

from fpt.backbones.attention import AttentionCall, class_attention, keep_map, keep_maps, listen

KINDS = ("vit", "layer scale, registers", "rotary", "rotary, registers", "position bias", "bias beside its projection")
ALL = slice(None)
SIZE = (2, 3, 5, 4)  # images, heads, tokens, channels


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def softmaxed(monkeypatch):
    """A function: the maps of every layer of a model, images x heads x tokens x tokens, as it drops them out."""

    def maps_of(model, pixels):
        found = []
        with monkeypatch.context() as patch:
            handles = [
                block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: found.append(inputs[0]))
                for block in model.blocks
            ]
            for block in model.blocks:
                patch.setattr(block.attn, "fused_attn", False)
            model.forward_features(pixels)
            for handle in handles:
                handle.remove()
        return found

    return maps_of


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "softmax"])
@pytest.mark.parametrize("kind", KINDS)
def test_attention_of_every_layer_is_what_the_model_softmaxed(kind, fused, small_model, softmaxed, monkeypatch):
    model = small_model(kind)
    pixels = normal(2, 3, *model.patch_embed.img_size)
    expected = softmaxed(model, pixels)
    for block in model.blocks:
        monkeypatch.setattr(block.attn, "fused_attn", fused)
    with listen(len(model.blocks)) as calls:
        model.forward_features(pixels)
    assert [call.query_BHRC is not None for call in calls] == [fused] * len(model.blocks)
    assert expected[0].std() > 0.01  # far from uniform
    for call, map_ in zip(calls, expected, strict=True):
        torch.testing.assert_close(call.attention(ALL), map_.mean(1), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(call.logits(ALL).softmax(-1), map_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        AttentionCall(normal(*SIZE), normal(*SIZE, seed=1), 0.7, None),
        AttentionCall(normal(*SIZE), normal(*SIZE, seed=1), 0.7, normal(1, 3, 5, 5, seed=2)),
        AttentionCall(None, None, 1.0, normal(2, 3, 5, 5, seed=2)),
    ],
    ids=["fused", "fused with bias", "logits"],
)
@pytest.mark.parametrize("rows", [slice(None), slice(0, 1), slice(2, None)], ids=["all", "class", "patches"])
def test_logits_of_some_rows_and_their_head_mean(call, rows):
    expected = torch.zeros(2, 3, 5, 5)
    if call.query_BHRC is not None:
        expected = expected + 0.7 * torch.einsum("bhrc,bhtc->bhrt", call.query_BHRC, call.key_BHTC)
    if call.bias is not None:
        expected = expected + call.bias
    torch.testing.assert_close(call.logits(rows), expected[:, :, rows])
    torch.testing.assert_close(call.head_mean_logits(rows), expected.mean(1)[:, rows])
    torch.testing.assert_close(call.attention(rows), expected.softmax(-1).mean(1)[:, rows])


@pytest.mark.parametrize(
    "softmax", [torch.softmax, torch.Tensor.softmax, F.softmax], ids=["torch", "method", "functional"]
)
def test_softmax_is_heard_however_it_is_called(softmax):
    logits = normal(2, 3, 5, 5)
    with listen(1) as calls:
        attention = softmax(logits, dim=-1)
    torch.testing.assert_close(calls[0].attention(ALL), attention.mean(1))


def test_a_softmax_over_classes_is_no_attention():
    with listen(0) as calls:
        normal(2, 5).softmax(-1)
        normal(2, 3, 5, 6).softmax(-1)
    assert calls == []


def test_scale_and_masks_of_fused_attention_are_those_of_the_call():
    query, key, value = (normal(*SIZE, seed=seed) for seed in range(3))
    seen = torch.ones(5, 5).tril().bool()
    bias = normal(1, 3, 5, 5, seed=3)
    with listen(2) as calls:
        masked = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        biased = F.scaled_dot_product_attention(query, key, value, bias, scale=0.3)
    for call, gathered in zip(calls, (masked, biased), strict=True):
        torch.testing.assert_close(call.logits(ALL).softmax(-1) @ value, gathered, rtol=1e-4, atol=1e-5)


def test_class_attention_is_shared_out_over_the_patches():
    """By hand: two heads, one prefix token beside [CLS]."""
    logits = torch.tensor([[[0.1, 0.3, 0.2, 0.4]], [[0.7, 0.1, 0.2, 0.0001]]]).log().expand(2, 4, 4)
    call = AttentionCall(None, None, 1.0, logits[None])
    first, second = (head[0].exp() / head[0].exp().sum() for head in logits)
    patches = (first + second)[2:]
    torch.testing.assert_close(class_attention(call, prefix=2)[0], patches / patches.sum())


def test_listening_says_what_it_caught():
    attention = Attention(8, num_heads=2).eval()
    with pytest.raises(ValueError, match="captured 1 of 2 layers"), listen(2):
        attention(normal(1, 4, 8))
    with pytest.raises(ValueError, match="captured 0 of 1 layers"), listen(1):
        pass


def test_listening_ends_with_its_block():
    with listen(0) as calls:
        pass
    normal(2, 3, 5, 5).softmax(-1)
    assert calls == []


def test_an_error_inside_is_not_hidden_by_the_count():
    with pytest.raises(KeyError), listen(3):
        raise KeyError


@pytest.mark.parametrize("heads", ["mean", "min"])
def test_maps_are_those_of_the_calls_and_what_they_gather_is_the_same(heads):
    query, key, value = (normal(*SIZE, seed=seed) for seed in range(3))
    bias = normal(1, 3, 5, 5, seed=3)
    unfused = query @ key.transpose(-2, -1)
    with listen(3) as calls:
        expected = [F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=0.3)]
        expected.append(F.scaled_dot_product_attention(query, key, value=value))
        unfused.softmax(-1)
    maps = torch.empty(len(query), 3, 4, 4)
    with keep_maps(maps, heads):
        gathered = [F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=0.3)]
        gathered.append(F.scaled_dot_product_attention(query, key, value=value))
        F.scaled_dot_product_attention(query[:, :, :1], key, value)  # not of all tokens
        unfused.softmax(-1)
        normal(2, 5).softmax(-1)
    for layer, call in enumerate(calls):
        torch.testing.assert_close(call.attention(ALL, heads)[:, 1:, 1:], maps[:, layer])
        again = torch.empty_like(maps[:, layer])
        assert keep_map(call, heads, again) is None
        torch.testing.assert_close(again, maps[:, layer])
    torch.testing.assert_close(gathered, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads", ["mean", "min"])
def test_image_by_image_maps_and_what_they_gather_are_the_same(heads, monkeypatch):
    query, key, value = (normal(2, 5, 3, 4, seed=seed).transpose(1, 2) for seed in range(3))  # of layers of their own
    seen, expected = value.clone(), F.scaled_dot_product_attention(query, key, value, scale=0.3)
    together, alone = torch.empty(2, 2, 1, 4, 4)
    with keep_maps(together, heads):
        F.scaled_dot_product_attention(query, key, value, scale=0.3)
    monkeypatch.setattr("fpt.backbones.attention.LARGE_MAPS", 0)
    with keep_maps(alone, heads):
        gathered = F.scaled_dot_product_attention(query, key, value, scale=0.3)
    assert torch.equal(value, seen)
    torch.testing.assert_close(gathered, expected)
    torch.testing.assert_close(alone, together)


def test_keeping_maps_says_what_it_caught():
    with pytest.raises(ValueError, match="captured 0 of 2 layers"), keep_maps(torch.empty(2, 2, 4, 4)):
        normal(2, 3, 5, 6).softmax(-1)
    with pytest.raises(ValueError, match="captured 1 of 0 layers"), keep_maps(torch.empty(2, 0, 4, 4)):
        normal(2, 3, 5, 5).softmax(-1)
