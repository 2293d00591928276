"""The released code's algorithm, re-expressed slowly but faithfully, to be timed against. One episode at a time.

Full SVD of the gradient, full matrix products in the rollout, every step through the whole model from pixels, and
gradients for the MLPs and norms too, which nothing uses.
"""

# B support images, N patches, D dimensions

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpt.adapters import lora_start
from fpt.backbones import Backbone
from fpt.heads import metaoptnet
from fpt.randomness import generator

RANK = 4
DROPPED = 0.9
MULTIPLIER = 20.0


class LoraLinear(nn.Module):
    """W x + B A x / rank."""

    def __init__(self, linear: nn.Linear, down: Tensor) -> None:
        super().__init__()
        self.linear = linear
        self.down = nn.Parameter(down.clone())
        self.up = nn.Parameter(torch.zeros(linear.out_features, RANK))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + x @ self.down.T @ self.up.T / RANK


class _Maps:
    """Keeps what every attention layer's softmax takes (fused attention off)."""

    def __init__(self, model: nn.Module) -> None:
        self.maps: list[Tensor] = []
        self.handles = [
            block.attn.attn_drop.register_forward_pre_hook(lambda _, inputs: self.maps.append(inputs[0]))
            for block in model.blocks
        ]

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()


def solve_episode(
    backbone: Backbone,
    support: Tensor,
    labels: Tensor,
    query: Tensor,
    *,
    seeds: tuple[int, int],
    way: int,
    epochs: int,
    rate: float,
    alpha: float,
    tau: float,
    patches: int,
) -> Tensor:
    """Scores of the queries: LoRA on qkv and proj of every block, steered by the released code's prompts."""
    model = copy.deepcopy(backbone.model)
    for block in model.blocks:
        block.attn.fused_attn = False
    support, query = backbone.normalise(support), backbone.normalise(query)
    with torch.no_grad():
        features = model.forward_head(model.forward_features(support), pre_logits=True)
        weight, bias = metaoptnet(features[None], labels[None], way, 1.0)
    target = prompts(model, support, labels, weight[0], patches, backbone.prefix)
    # The same random numbers as in fpt, so that predictions can be compared.
    projections = [linear for block in model.blocks for linear in (block.attn.qkv, block.attn.proj)]
    downs = iter(down[0] for down, _ in lora_start(projections, RANK, [generator(*seeds, "adapter")], features))
    batches = generator(*seeds, "batches")
    for block in model.blocks:
        block.attn.qkv, block.attn.proj = (
            LoraLinear(block.attn.qkv, next(downs)),
            LoraLinear(block.attn.proj, next(downs)),
        )
    model.requires_grad_(True)
    for block in model.blocks:  # only the projections' own weights are spared in the released code
        for own in (block.attn.qkv.linear, block.attn.proj.linear):
            own.requires_grad_(False)
    head = nn.Linear(features.shape[1], way)
    head.weight.data, head.bias.data = weight[0] * MULTIPLIER, bias[0] * MULTIPLIER
    trained = [
        own for block in model.blocks for lora in (block.attn.qkv, block.attn.proj) for own in (lora.down, lora.up)
    ]
    optimiser = torch.optim.AdamW([*trained, *head.parameters()], lr=rate)
    top = model.blocks[-1].attn
    keys: list[Tensor] = []
    handle = top.qkv.register_forward_hook(lambda _, __, output: keys.append(output))
    for _ in range(epochs):
        for chosen in torch.from_numpy(batches.permutation(len(labels))).split(way):
            keys.clear()
            features = model.forward_head(model.forward_features(support[chosen]), pre_logits=True)
            batch, tokens, _ = keys[0].shape
            q, k, _ = keys[0].view(batch, tokens, 3, top.num_heads, -1).permute(2, 0, 3, 1, 4)
            logits = (q * top.scale @ k.transpose(-2, -1)).mean(1)[:, :, backbone.prefix :] / tau
            pulled = (target[chosen][:, None] * logits.log_softmax(-1)).sum(-1).mean()
            loss = F.cross_entropy(head(features) / MULTIPLIER, labels[chosen]) - alpha * pulled
            model.zero_grad()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    handle.remove()
    with torch.no_grad():
        return head(model.forward_head(model.forward_features(query), pre_logits=True))


def prompts(model: nn.Module, images: Tensor, labels: Tensor, weight: Tensor, patches: int, prefix: int) -> Tensor:
    """The released code's targets, images x N: importance of the top `patches`, P in all."""
    watched = _Maps(model)
    entered: list[Tensor] = []
    handle = model.blocks[-1].register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    model.requires_grad_(True)
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    score = (features @ weight.T).gather(1, labels[:, None]).mean()
    (gradient,) = torch.autograd.grad(score, entered[0])
    handle.remove()
    watched.close()
    gradient = gradient[:, prefix:]
    gradient = gradient - gradient.mean(1, keepdim=True)
    _, _, basis = torch.linalg.svd(gradient, full_matrices=True)  # all D x D of it, for one vector
    component = (gradient @ basis[:, :1].transpose(1, 2))[..., 0].nan_to_num()
    # The sign of a singular vector is arbitrary: fpt's rule, so that predictions can be compared.
    relevance = (gradient * entered[0].detach()[:, prefix:]).sum(-1)
    component = component * torch.where((component * relevance).sum(1, keepdim=True) >= 0, 1.0, -1.0)
    count = gradient.shape[1]
    rolled = torch.eye(count).expand(len(images), count, count)
    for attention in watched.maps:
        fused = attention.detach().amin(1)[:, prefix:, prefix:] + component[:, None]
        fused = fused.scatter(-1, fused.topk(int(count * DROPPED), -1, largest=False).indices, 0)
        fused = (fused + torch.eye(count)) / 2
        rolled = fused / fused.sum(-1, keepdim=True) @ rolled
    importance = rolled.mean(1)
    kept = importance.topk(patches, -1)
    target = torch.zeros_like(importance).scatter(-1, kept.indices, kept.values)
    return target / target.sum(-1, keepdim=True) * patches
