"""The released code's algorithm, re-expressed slowly but faithfully, to be timed against. One episode at a time.

As there: LoRA in the model from the start, head weights times 20 (so is the prompts' score; the loss divides by 20),
unfused attention whose logits are kept, full SVD of the gradient, full matrix products in the rollout, every pass from
pixels, gradients for whatever LoRA leaves (MLPs, norms, biases, embeddings), which nothing uses and nothing clears.
Not as there: the sign of G, which is arbitrary there and fpt's rule here, so that predictions can be compared; the
MetaOptNet solver, which was qpth.
"""

# B support images, N patches, D dimensions

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpt.backbones.backbone import Backbone
from fpt.heads.closed_form import metaoptnet
from fpt.randomness import generator
from fpt.solvers.adapters import lora_start

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


class UnfusedAttention(nn.Module):
    """timm's attention, its logits and maps kept."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.qkv, self.proj, self.heads, self.scale = (
            attention.qkv,
            attention.proj,
            attention.num_heads,
            attention.scale,
        )

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        self.logits = q @ k.transpose(-2, -1) * self.scale
        self.map = self.logits.softmax(-1)
        return self.proj((self.map @ v).transpose(1, 2).reshape(batch, tokens, dim))


class Net(nn.Module):
    """An episode's own copy of the model: LoRA on qkv and proj of the last `blocks` blocks, and a head."""

    def __init__(self, model: Any, blocks: int, seeds: tuple[int, int], way: int) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(True)
        self.head = nn.Linear(self.model.num_features, way)
        for block in self.model.blocks:
            for own in (block.attn.qkv, block.attn.proj):  # the only weights that are spared a gradient
                own.weight.requires_grad_(False)
        adapted = self.model.blocks[-blocks:]
        projections = [linear for block in adapted for linear in (block.attn.qkv, block.attn.proj)]
        # The same random numbers as in fpt, so that predictions can be compared.
        started = lora_start(projections, RANK, [generator(*seeds, "adapter")], self.head.weight.detach())
        downs = iter(down[0] for down, _ in started)
        for block in adapted:
            block.attn.qkv = LoraLinear(block.attn.qkv, next(downs))
            block.attn.proj = LoraLinear(block.attn.proj, next(downs))
        for block in self.model.blocks:
            block.attn = UnfusedAttention(block.attn)

    def features(self, images: Tensor) -> Tensor:
        found: Tensor = self.model.forward_head(self.model.forward_features(images), pre_logits=True)
        return found

    def trained(self) -> list[nn.Parameter]:
        lora = [own for name, own in self.model.named_parameters() if name.endswith((".down", ".up"))]
        return [*lora, *self.head.parameters()]


def episode_net(
    backbone: Backbone, support: Tensor, labels: Tensor, *, seeds: tuple[int, int], way: int, blocks: int
) -> Net:
    """With the head that fine-tuning starts from. `support` are normalised images."""
    net = Net(backbone.model, blocks, seeds, way)
    with torch.no_grad():
        weight, bias = metaoptnet(net.features(support)[None], labels[None], way, 1.0)
    net.head.weight.data, net.head.bias.data = weight[0] * MULTIPLIER, bias[0] * MULTIPLIER
    return net


def solve_episode(
    backbone: Backbone,
    support: Tensor,
    labels: Tensor,
    query: Tensor,
    *,
    seeds: tuple[int, int],
    way: int,
    blocks: int,
    epochs: int,
    lr: float,
    alpha: float,
    tau: float,
    patches: int,
) -> Tensor:
    """Scores of the queries: LoRA, steered by the released code's prompts."""
    support, query = backbone.normalise(support), backbone.normalise(query)
    net = episode_net(backbone, support, labels, seeds=seeds, way=way, blocks=blocks)
    target = prompts(net, support, labels, patches, backbone.prefix)
    batches = generator(*seeds, "batches")
    optimiser = torch.optim.AdamW(net.trained(), lr=lr)
    for _ in range(epochs):
        for chosen in torch.from_numpy(batches.permutation(len(labels))).split(way):
            optimiser.zero_grad()
            scores = net.head(net.features(support[chosen]))
            logits = net.model.blocks[-1].attn.logits.mean(1)[:, :, backbone.prefix :] / tau
            pulled = (target[chosen][:, None] * logits.log_softmax(-1)).sum(-1).mean()
            loss = F.cross_entropy(scores / MULTIPLIER, labels[chosen]) - alpha * pulled
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        found: Tensor = net.head(net.features(query))
    return found


def prompts(net: Net, images: Tensor, labels: Tensor, patches: int, prefix: int) -> Tensor:
    """The released code's targets, images x N: importance of the top `patches`, P in all."""
    entered: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor]) -> None:
        inputs[0].retain_grad()
        entered.append(inputs[0])

    handle = net.model.blocks[-1].register_forward_pre_hook(keep)
    net.head(net.features(images)).gather(1, labels[:, None]).mean().backward()
    handle.remove()
    net.zero_grad()
    assert entered[0].grad is not None
    gradient = entered[0].grad[:, prefix:]
    gradient = gradient - gradient.mean(1, keepdim=True)
    _, _, basis = torch.linalg.svd(gradient, full_matrices=True)  # all D x D of it, for one vector
    component = (gradient @ basis[:, :1].transpose(1, 2))[..., 0].nan_to_num()
    relevance = (gradient * entered[0].detach()[:, prefix:]).sum(-1)
    component = component * torch.where((component * relevance).sum(1, keepdim=True) >= 0, 1.0, -1.0)
    count = gradient.shape[1]
    rolled = torch.eye(count).expand(len(images), count, count)
    for block in net.model.blocks:
        fused = block.attn.map.detach().amin(1)[:, prefix:, prefix:] + component[:, None]
        fused = fused.scatter(-1, fused.topk(int(count * DROPPED), -1, largest=False).indices, 0)
        fused = (fused + torch.eye(count)) / 2
        rolled = fused / fused.sum(-1, keepdim=True) @ rolled
    importance = rolled.mean(1)
    kept = importance.topk(patches, -1)
    target = torch.zeros_like(importance).scatter(-1, kept.indices, kept.values)
    return target / target.sum(-1, keepdim=True) * patches
