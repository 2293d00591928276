"""Linear classifiers that need no training by gradient: where fine-tuning starts, and what scores a patch."""

# S problems, B support images, W ways, D dimensions

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fpt.exact import exact_products, rounds_products
from fpt.heads.svm_dual import dual_variables
from fpt.randomness import generator
from fpt.registry import HEADS, check_name, load

Head = tuple[Float[Tensor, "stack way dim"], Float[Tensor, "stack way"]]
RIDGE = 50.0  # as in the paper's released code


def class_means(
    features: Float[Tensor, "stack support dim"], labels: Int[Tensor, "stack support"], way: int
) -> Float[Tensor, "stack way dim"]:
    """Returns the mean feature of each class."""
    one_hot_SBW = F.one_hot(labels, way).to(features.dtype)
    return one_hot_SBW.transpose(1, 2) @ features / one_hot_SBW.sum(1)[..., None]


def protonet(
    features: Float[Tensor, "stack support dim"], labels: Int[Tensor, "stack support"], way: int, temperature: float
) -> Head:
    """Scores by minus the squared distance to each class mean, over `temperature`, up to what all classes share.

    Prototypical networks, Snell et al., NeurIPS 2017 (arXiv:1703.05175), Eq. 8.
    """
    means_SWD = class_means(features, labels, way)
    return 2 * means_SWD / temperature, -means_SWD.square().sum(-1) / temperature


def r2d2(
    features: Float[Tensor, "stack support dim"], labels: Int[Tensor, "stack support"], way: int, temperature: float
) -> Head:
    """Scores by ridge regression onto one-hot labels, by the Woodbury identity, over `temperature`.

    R2-D2, Bertinetto et al., ICLR 2019 (arXiv:1805.08136), Eq. 5.
    """
    targets_SBW = F.one_hot(labels, way).to(features.dtype)
    gram_SBB = features @ features.transpose(1, 2) + RIDGE * torch.eye(features.shape[1], device=features.device)
    weights_SDW = features.transpose(1, 2) @ torch.linalg.solve(gram_SBB, targets_SBW)
    weights_SWD = weights_SDW.transpose(1, 2) / temperature
    return weights_SWD, features.new_zeros(weights_SWD.shape[:2])


def metaoptnet(
    features: Float[Tensor, "stack support dim"], labels: Int[Tensor, "stack support"], way: int, temperature: float
) -> Head:
    """Scores by a multi-class support vector machine without bias, over `temperature`. A problem that was not solved
    has NaN.

    MetaOptNet, Lee et al., CVPR 2019 (arXiv:1904.03758).
    """
    exact_SBD = features.double()
    dual_SBW = dual_variables(exact_SBD @ exact_SBD.transpose(1, 2), labels, way)
    weights_SWD = (dual_SBW.transpose(1, 2) @ exact_SBD / temperature).to(features.dtype)
    return weights_SWD, features.new_zeros(weights_SWD.shape[:2])


def zero(
    features: Float[Tensor, "stack support dim"], labels: Int[Tensor, "stack support"], way: int, temperature: float
) -> Head:
    """Returns weights that are all zero: no opinion, and so no gradient for position prompts."""
    stack, _, dim = features.shape
    return features.new_zeros(stack, way, dim), features.new_zeros(stack, way)


def random(seeds: Sequence[tuple[int, int]], way: int, dim: int, temperature: float, like: Tensor) -> Head:
    """Draws a head for each (seed, episode), uniform up to 1 / sqrt(dim) as torch.nn.Linear starts, over
    `temperature`.
    """
    bound = dim**-0.5
    drawn = np.stack([generator(*own, "head").uniform(-bound, bound, (way, dim + 1)) for own in seeds])
    head_SWD = torch.from_numpy(drawn).to(like) / temperature
    return head_SWD[..., :-1], head_SWD[..., -1]


def named_head(
    name: str,
    features: Float[Tensor, "stack support dim"],
    labels: Int[Tensor, "stack support"],
    way: int,
    temperature: float,
    seeds: Sequence[tuple[int, int]],
) -> Head:
    """Returns the head called `name`; `seeds` are the (seed, episode) of each problem. Raises ValueError for an unknown
    one.
    """
    check_name("head", name, HEADS)
    if name == "random":
        return random(seeds, way, features.shape[2], temperature, features)
    with exact_products():
        head: Head = load(HEADS[name])(features, labels, way, temperature)
    return head


def scores(features: Float[Tensor, "stack images dim"], head: Head) -> Float[Tensor, "stack images way"]:
    """Returns the logits of a linear classifier for each problem of the stack."""
    weight_SWD, bias_SW = head
    if rounds_products():  # so that gradients, which are made elsewhere, are float32's too
        return (features[:, :, None] * weight_SWD[:, None]).sum(-1) + bias_SW[:, None]
    return torch.baddbmm(bias_SW[:, None], features, weight_SWD.transpose(1, 2))
