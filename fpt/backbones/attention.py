"""What attention saw: queries and keys of every layer, caught while a backbone runs.

A layer is found by what it calls (scaled dot-product attention, or a softmax over a square map), not by its name, so
any timm transformer with softmax attention works, with fused attention on or off.
"""

# B images, H heads, R rows (queries), T tokens, C dimensions of a head

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fpt.exact import exact_products

SOFTMAXES = (torch.softmax, Tensor.softmax, F.softmax)
LARGE_MAPS = 2**17  # numbers in an image's maps of all heads: half a megabyte


@dataclass(frozen=True)
class AttentionCall:
    """One layer's attention. Logits are query key^T scale + bias, as the model used them, in float32 at least.

    Layers whose attention is not fused give their logits themselves, as `bias`, with no query or key.
    """

    query_BHRC: Tensor | None
    key_BHTC: Tensor | None
    scale: float
    bias: Tensor | None

    @property
    def size(self) -> tuple[int, int]:
        """Returns how many windows are in the batch (images, where there is one window each), and tokens in a
        window.
        """
        if self.key_BHTC is not None:
            return len(self.key_BHTC), self.key_BHTC.shape[2]
        assert self.bias is not None
        return len(self.bias), self.bias.shape[3]

    def logits(self, rows: slice) -> Float[Tensor, "batch heads rows tokens"]:
        """Returns the logits of the chosen query tokens."""
        if self.query_BHRC is None or self.key_BHTC is None:
            assert self.bias is not None
            return wide(self.bias[..., rows, :])
        query_BHRC, key_BHTC = wide(self.query_BHRC[..., rows, :]), wide(self.key_BHTC)
        with exact_products():
            logits_BHRT = (query_BHRC * self.scale) @ key_BHTC.transpose(-2, -1)
        return logits_BHRT if self.bias is None else logits_BHRT + self.bias[..., rows, :]

    def head_mean_logits(self, rows: slice) -> Float[Tensor, "batch rows tokens"]:
        """Returns the mean over heads of the logits, by one product over all heads' dimensions where there is no
        bias.
        """
        if self.query_BHRC is None or self.key_BHTC is None or self.bias is not None:
            return self.logits(rows).mean(1)
        query_BRD, key_BTD = (
            wide(tensor).transpose(1, 2).flatten(2) for tensor in (self.query_BHRC[..., rows, :], self.key_BHTC)
        )
        heads = self.query_BHRC.shape[1]
        with exact_products():
            return (query_BRD * (self.scale / heads)) @ key_BTD.transpose(1, 2)

    def attention(self, rows: slice, heads: str = "mean") -> Float[Tensor, "batch rows tokens"]:
        """Returns softmaxed attention of the chosen query tokens, the mean or minimum over heads. Rows of the mean sum
        to 1.
        """
        return _over_heads(self.logits(rows).softmax(-1), heads)


def wide(tensor: Tensor) -> Tensor:
    """Returns the tensor in float32 at least: a backbone may run in half precision, what is read of it does not."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _over_heads(map_BHRT: Tensor, heads: str) -> Float[Tensor, "batch rows tokens"]:
    return wide(map_BHRT.amin(1) if heads == "min" else map_BHRT.mean(1))


def class_attention(call: AttentionCall, prefix: int) -> Float[Tensor, "batch patches"]:
    """Returns [CLS] attention to the patches, the mean over heads, scaled to sum to 1 over them; without a [CLS] it is
    the mean of all patches' attention.
    """
    rows = slice(0, 1) if prefix else slice(None)
    patches_BN = call.attention(rows)[..., prefix:].mean(1)
    return patches_BN / patches_BN.sum(1, keepdim=True)


class Listener(TorchFunctionMode):
    """Hears of every attention call in which all tokens of a window look at each other."""

    def __init__(self, calls: list[AttentionCall]) -> None:
        super().__init__()
        self.calls = calls

    def heard(self, call: AttentionCall) -> None:
        self.calls.append(call)

    def missed(self, rows: int) -> None:
        """Hears of attention that is not square: `rows` queries looked."""

    def _sort(self, call: AttentionCall, rows: int) -> None:
        if call.size[1] == rows:
            self.heard(call)
        else:
            self.missed(rows)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self._sort(_from_fused(*args, **kwargs), args[0].shape[-2])
        elif func in SOFTMAXES and args[0].ndim in (4, 5):
            self._sort(AttentionCall(None, None, 1.0, _windows_first(args[0])), args[0].shape[-2])
        return func(*args, **kwargs)


class _MapKeeper(TorchFunctionMode):
    """Keeps every map, mean or minimum over heads. Fused attention is replaced, so that a map is computed only once."""

    def __init__(self, maps: Float[Tensor, "images layers patches patches"], heads: str) -> None:
        super().__init__()
        self.maps, self.heads, self.caught = maps, heads, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            call, value = _from_fused(*args, **kwargs), args[2] if len(args) > 2 else kwargs["value"]
            if call.size[1] == args[0].shape[-2]:
                return keep_map(call, self.heads, self._room(), value)
        elif func in SOFTMAXES and args[0].ndim == 4 and args[0].shape[-1] == args[0].shape[-2]:
            result = func(*args, **kwargs)
            _among_patches(result, self.heads, self._room())
            return result
        return func(*args, **kwargs)

    def _room(self) -> Tensor:
        """Returns where the next map goes; a map too many goes nowhere."""
        self.caught += 1
        images, layers, *square = self.maps.shape
        return self.maps[:, self.caught - 1] if self.caught <= layers else self.maps.new_empty(images, *square)


def keep_map(call: AttentionCall, heads: str, room: Tensor, value: Tensor | None = None) -> Tensor | None:
    """Fills `room`, images x patches x patches, with a layer's attention among its last tokens, the patches: mean or
    minimum over heads. Gives what the layer gathers of `value`.
    """
    query, key = call.query_BHRC, call.key_BHTC
    if query is None or key is None or not _one_by_one(query, key, call.bias):
        map_BHTT = call.logits(slice(None)).softmax(-1)
        _among_patches(map_BHTT, heads, room)
        return None if value is None else map_BHTT.to(value.dtype) @ value
    batch, count, tokens, _ = key.shape
    map_HTT = key.new_empty(count, tokens, tokens)
    gathered_BTHC = None if value is None else value.new_empty(batch, tokens, count, value.shape[3])  # as it is read
    for i in range(batch):  # one image's maps stay in the cache
        torch.baddbmm(map_HTT, query[i], key[i].mT, beta=0, alpha=call.scale, out=map_HTT)
        torch.softmax(map_HTT, -1, out=map_HTT)
        _among_patches(map_HTT[None], heads, room[i : i + 1])
        if value is not None and gathered_BTHC is not None:
            torch.bmm(map_HTT, value[i], out=gathered_BTHC[i].transpose(0, 1))
    return None if gathered_BTHC is None else gathered_BTHC.transpose(1, 2)


def _one_by_one(query_BHRC: Tensor, key_BHTC: Tensor, bias: Tensor | None) -> bool:
    """Tells whether images are better looked at one by one: where the maps of a few would not stay in a core's
    cache.
    """
    large = query_BHRC.shape[1] * query_BHRC.shape[2] * key_BHTC.shape[2] >= LARGE_MAPS
    return large and bias is None and query_BHRC.device.type == "cpu" and query_BHRC.dtype == torch.float32


def _among_patches(map_BHTT: Tensor, heads: str, room: Tensor) -> None:
    prefix = map_BHTT.shape[-1] - room.shape[-1]
    room.copy_(_over_heads(map_BHTT[..., prefix:, prefix:], heads))


def _windows_first(tensor: Tensor) -> Tensor:
    """Returns batch x heads x windows x ... as (batch windows) x heads x ...; four dimensions stay as they are."""
    return tensor.transpose(1, 2).flatten(0, 1) if tensor.ndim == 5 else tensor


def _from_fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **_: Any,
) -> AttentionCall:
    bias = attn_mask
    if bias is not None and bias.dtype == torch.bool:
        bias = torch.zeros(bias.shape, dtype=query.dtype, device=query.device).masked_fill(~bias, -torch.inf)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return AttentionCall(_windows_first(query), _windows_first(key), scale, bias)


@contextmanager
def listen(layers: int) -> Iterator[list[AttentionCall]]:
    """Fills the list it yields with the attention calls made inside, in order.

    Raises ValueError where it caught another number than `layers`.
    """
    calls: list[AttentionCall] = []
    with Listener(calls):
        yield calls
    _check_count(len(calls), layers)


@contextmanager
def keep_maps(maps: Float[Tensor, "images layers patches patches"], heads: str = "mean") -> Iterator[None]:
    """Fills `maps` with the attention among patches of a columnar transformer's layers, mean or minimum over heads.

    Patches are the last tokens. Raises ValueError where it caught another number of layers.
    """
    with _MapKeeper(maps, heads) as keeper:
        yield
    _check_count(keeper.caught, maps.shape[1])


def _check_count(caught: int, layers: int) -> None:
    if caught != layers:
        raise ValueError(f"captured {caught} of {layers} layers; does every block use softmax attention?")
