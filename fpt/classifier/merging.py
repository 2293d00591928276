"""A fitted classifier as one module of plain weights for other runtimes: adapters merged, pixels in, logits out."""

# N images, B support images, W ways, D dimensions

from collections.abc import Callable
from copy import deepcopy
from math import log
from typing import Any, cast

import torch
from jaxtyping import Float, UInt8
from timm.layers import RmsNorm
from torch import Tensor, nn

from fpt.backbones.backbone import Backbone
from fpt.classifier.fitted import Fitted
from fpt.problems.problem import Setting
from fpt.solvers import frozen_head, learner_named
from fpt.solvers.adapters import attention_projections, tokens_inserted
from fpt.solvers.contract import Learnt, head_of
from fpt.solvers.full import own_weights
from fpt.solvers.lora import low_rank_updates
from fpt.solvers.ssf import scaled_modules, scales_and_shifts
from fpt.solvers.svm import pairs_of, votes


class Merged(nn.Module):
    """Takes pixels that have gone through the transform, and gives logits whose softmax is the classifier's
    probabilities. All of it is float32, but for a support vector machine's votes.
    """

    def __init__(self, fitted: Fitted) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            Member(fitted.backbone, setting, learnt)
            for setting, learnt in zip(fitted.settings, fitted.learnt, strict=True)
        )
        self.temperature = fitted.temperature

    def forward(self, pixels: UInt8[Tensor, "images height width 3"]) -> Float[Tensor, "images way"]:
        logits = [member(pixels) for member in self.members]
        if len(logits) == 1:
            return cast(Tensor, logits[0] / self.temperature)
        mean = torch.stack([one.log_softmax(-1) for one in logits]).logsumexp(0) - log(len(logits))
        return mean / self.temperature


class Member(nn.Module):
    """Is one setting's part: a copy of the backbone with what was learnt merged, and the head on its features.

    Raises ValueError for a solver of a package, of which nothing is known here, unless it answers by a linear head on
    frozen features.
    """

    def __init__(self, backbone: Backbone, setting: Setting, learnt: Learnt) -> None:
        super().__init__()
        head = _head_named(setting.solver)
        learnt = {name: value.detach().cpu() for name, value in learnt.items()}
        self.model = deepcopy(backbone.model).cpu().float()
        colours = backbone.pixels or (backbone.model.pretrained_cfg["mean"], backbone.model.pretrained_cfg["std"])
        for name, values in zip(("mean", "std"), colours, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))
        MERGED.get(setting.solver, _nothing)(self.model, backbone, setting, learnt)
        tokens = learnt.get("tokens") if setting.solver == "vpt" else None
        self.register_buffer("tokens", tokens)
        self.start, self.prefix, self.deep = (
            backbone.depth - setting.training.blocks,
            backbone.prefix,
            setting.training.deep,
        )
        names = {module: name for name, module in backbone.model.named_modules()}
        self.block_names = [names[block] for block in backbone.blocks]
        self.head = head(setting, learnt)

    def forward(self, pixels: Tensor) -> Tensor:
        mean, std, tokens = (cast(Tensor, getattr(self, name)) for name in ("mean", "std", "tokens"))
        images = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
        if tokens is None:
            return cast(Tensor, self.head(self._features(images)))
        blocks = [self.model.get_submodule(name) for name in self.block_names[self.start :]]
        with tokens_inserted(blocks, tokens, self.prefix, self.deep):
            return cast(Tensor, self.head(self._features(images)))

    def _features(self, images: Tensor) -> Tensor:
        model: Any = self.model
        return cast(Tensor, model.forward_head(model.forward_features(images), pre_logits=True))


class LinearHead(nn.Module):
    """Scores by a linear classifier, whose trained multiple is divided away."""

    def __init__(self, setting: Setting, learnt: Learnt) -> None:
        super().__init__()
        weight_SWD, bias_SW = head_of(learnt)
        as_it_is = learner_named(setting.solver).answer is frozen_head.answer
        multiplier = 1.0 if as_it_is else setting.training.head_multiplier
        self.linear = nn.Linear(weight_SWD.shape[2], weight_SWD.shape[1])
        self.linear.weight.data, self.linear.bias.data = (
            (part[0] / multiplier).float() for part in (weight_SWD, bias_SW)
        )

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.linear(features))


class NearestHead(nn.Module):
    """Scores by minus the distance to the nearest support image of each class."""

    def __init__(self, setting: Setting, learnt: Learnt) -> None:
        super().__init__()
        self.register_buffer("features", learnt["features"][0].float())
        self.register_buffer("others", learnt["labels"][0][None] != torch.arange(setting.training.way)[:, None])

    def forward(self, features: Tensor) -> Tensor:
        distance_NB = _squared_distances(features, cast(Tensor, self.features))
        far_WB = torch.where(cast(Tensor, self.others), torch.finfo(distance_NB.dtype).max, 0.0)
        return -torch.maximum(distance_NB[:, None], far_WB[None]).amin(-1).sqrt()


class VotingHead(nn.Module):
    """Scores by the votes of a support vector machine, in float64: a vote is lost or won by a hair."""

    def __init__(self, setting: Setting, learnt: Learnt) -> None:
        super().__init__()
        self.way = setting.training.way
        for name, value in learnt.items():
            self.register_buffer(name, value if name == "labels" else value.double())

    def forward(self, features: Tensor) -> Tensor:
        distance_NB = _squared_distances(features.double(), cast(Tensor, self.features)[0])
        kernel_1NB = torch.exp(-cast(Tensor, self.gamma) * distance_NB)[None]
        learnt = {name: cast(Tensor, getattr(self, name)) for name in ("coefficients", "bias", "labels")}
        return votes(pairs_of(kernel_1NB, learnt, self.way), self.way)[0].float()


def _squared_distances(features_ND: Tensor, support_BD: Tensor) -> Tensor:
    return (features_ND[:, None] - support_BD[None]).square().sum(-1)


HEADS: dict[str, Callable[[Setting, Learnt], nn.Module]] = {
    "knn": NearestHead,
    "svm": VotingHead,
    **dict.fromkeys(
        ("ridge", "protonet", "r2d2", "metaoptnet", "linear_probe", "full", "vpt", "lora", "ssf"), LinearHead
    ),
}


def _head_named(solver: str) -> Callable[[Setting, Learnt], nn.Module]:
    if solver in HEADS:
        return HEADS[solver]
    if learner_named(solver).answer is not frozen_head.answer:
        raise ValueError(
            f"solver must be one of {', '.join(HEADS)}, or answer by fpt.solvers.frozen_head, to be exported but is "
            f"{solver}"
        )
    return LinearHead


def _nothing(model: nn.Module, backbone: Backbone, setting: Setting, learnt: Learnt) -> None:
    """Changes nothing: the solver leaves the weights as they are."""


def _low_rank(model: nn.Module, backbone: Backbone, setting: Setting, learnt: Learnt) -> None:
    projections = attention_projections(backbone, backbone.depth - setting.training.blocks)
    for linear, (down_SRI, up_SOR) in zip(_copies(model, backbone, projections), low_rank_updates(learnt), strict=True):
        linear.weight.data += up_SOR[0] @ down_SRI[0] / setting.training.rank


def _scaled(model: nn.Module, backbone: Backbone, setting: Setting, learnt: Learnt) -> None:
    modules = scaled_modules(backbone, setting.training)
    names = {module: name for name, module in backbone.model.named_modules()}
    for module, (scale_SO, shift_SO) in zip(modules, scales_and_shifts(learnt), strict=True):
        copied: Any = model.get_submodule(names[module])
        scale, shift = scale_SO[0], shift_SO[0]
        if isinstance(copied, RmsNorm):  # it has no bias to take the shift
            parent, _, own = names[module].rpartition(".")
            setattr(model.get_submodule(parent), own, ScaledAndShifted(copied, scale, shift))
            continue
        copied.weight.data = copied.weight.data * scale.view(-1, *[1] * (copied.weight.ndim - 1))
        bias = shift if copied.bias is None else copied.bias.data * scale + shift
        copied.bias = nn.Parameter(bias, requires_grad=False)


class ScaledAndShifted(nn.Module):
    """Scales and shifts what a module gives, channel by channel."""

    def __init__(self, module: nn.Module, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, inputs: Tensor) -> Tensor:
        return cast(Tensor, self.module(inputs) * self.scale + self.shift)


def _exchanged(model: nn.Module, backbone: Backbone, setting: Setting, learnt: Learnt) -> None:
    weights = dict(model.named_parameters())
    for name, value in own_weights(learnt).items():
        weights[name].data = value[0].float()


MERGED: dict[str, Callable[[nn.Module, Backbone, Setting, Learnt], None]] = {
    "lora": _low_rank,
    "ssf": _scaled,
    "full": _exchanged,
}


def _copies(model: nn.Module, backbone: Backbone, modules: list[nn.Linear]) -> list[Any]:
    """Returns the modules of a copy that stand where those of the backbone's model stand."""
    names = {module: name for name, module in backbone.model.named_modules()}
    return [model.get_submodule(names[module]) for module in modules]
