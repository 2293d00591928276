"""What a whole episode knows of a patch: how much likelier it is in images of its own class than in those of others.

What is on the images of other classes too is not the key, what comes back on other images of the same class is. Kin
ideas, where they weight a classifier's patches and not the prompts of a loss: token reweighting in FewTURE (Hiller et
al., NeurIPS 2022), cross attention between support and query maps (Hou et al., NeurIPS 2019), token refinement in
BATR-FST (2025). No query is looked at here.
"""

# B images, M tokens of an image, K of them that others are matched with, D dimensions

from math import ceil

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from fpt.exact import exact_products

MOST_MATCHED = 256  # tokens of an image that those of others are matched with, evenly spread
SHARPNESS = 4.0  # the kernel's temperature is the cosines' standard deviation over this
MOST_COSINES = 2**22  # at once
# Few patches of the prompt's choice are held against some more of attention's own: shares of an image's patches.
CHOSEN_SHARE, ATTENDED_SHARE = 1 / 16, 1 / 8
# How often the three most important patches show the key, by logistic regression on the validation classes of
# GlyphScenes: {5, 20}-way x {1, 5}-shot x {a context that all classes share, distractors of all classes}.
OF_THE_IMAGE, OF_THE_EPISODE, OFFSET = 0.47, 1.37, -1.54


@exact_products()
def log_ratios(
    tokens: Float[Tensor, "images tokens dim"], labels: Int[Tensor, " images"], problem_of: Int[Tensor, " images"]
) -> Float[Tensor, "images tokens"]:
    """Returns the log ratio of each token's density among the other images of its class to that among the images of the
    other classes of its episode; where there is no other image of its class, or of another, that density is left out.

    Densities are kernel estimates on the sphere, the mean over images of the mean over their tokens of exp(cosine /
    temperature), of tokens less the episode's mean. `problem_of` says which episode an image belongs to.
    """
    ratios = torch.zeros_like(tokens[..., 0])
    for problem in problem_of.unique():
        members = problem_of == problem
        ratios[members] = _of_an_episode(tokens[members], labels[members])
    return ratios


def _of_an_episode(
    tokens: Float[Tensor, "images tokens dim"], labels: Int[Tensor, " images"]
) -> Float[Tensor, "images tokens"]:
    images, count, _ = tokens.shape
    unit_BMD = normalize(tokens - tokens.mean((0, 1)), dim=-1)
    bank_BKD = unit_BMD[:, :: ceil(count / MOST_MATCHED)]
    scale = SHARPNESS / _spread(bank_BKD).clamp_min(torch.finfo(tokens.dtype).eps)
    matched = bank_BKD.flatten(0, 1)
    own_image = torch.arange(images, device=labels.device)
    together = max(1, MOST_COSINES // (count * len(matched)))  # images
    ratios = []
    for chosen in own_image.split(together):
        kernel = (unit_BMD[chosen].flatten(0, 1) @ matched.T).sub_(1).mul_(scale).exp_()  # over its highest value
        of_images = kernel.unflatten(1, (images, -1)).mean(-1).unflatten(0, (len(chosen), count))
        alike = labels[chosen, None] == labels
        same = alike & (chosen[:, None] != own_image)
        own, others = ((_log_mean(of_images, some) + scale) * some.any(1)[:, None] for some in (same, ~alike))
        ratios.append(own - others)
    return torch.cat(ratios)


def _spread(unit_BKD: Float[Tensor, "images tokens dim"]) -> Float[Tensor, ""]:
    """Returns the standard deviation of the cosines of tokens of different images."""
    images = len(unit_BKD)
    if images == 1:
        return unit_BKD.new_ones(())
    mean_BD, second_BDD = unit_BKD.mean(1), unit_BKD.mT @ unit_BKD / unit_BKD.shape[1]
    pairs = images * (images - 1)
    first = (mean_BD.sum(0).square().sum() - mean_BD.square().sum()) / pairs
    second = (second_BDD.sum(0).square().sum() - second_BDD.square().sum()) / pairs
    return (second - first.square()).clamp_min(0).sqrt()


def _log_mean(
    density: Float[Tensor, "chosen tokens images"], among: Bool[Tensor, "chosen images"]
) -> Float[Tensor, "chosen tokens"]:
    """Returns the logarithm of the mean density over some images."""
    shares_BI = among / among.sum(1, keepdim=True).clamp_min(1)
    mean = (density @ shares_BI.to(density.dtype)[..., None])[..., 0]
    return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()


def contrasted(
    importance: Float[Tensor, "*images patches"], ratios: Float[Tensor, "*images patches"], weight: float
) -> Float[Tensor, "*images patches"]:
    """Returns importance times the likelihood ratio to the power `weight`, summing to 1 over the patches: by Bayes'
    rule with weight 1, as if importance were what is known of an image before the others are seen.
    """
    tiny = torch.finfo(importance.dtype).tiny
    return (importance.clamp_min(tiny).log() + weight * ratios).softmax(-1)


def trusted(
    importance: Float[Tensor, "images *windows patches"],
    ratios: Float[Tensor, "images *windows patches"] | None,
    weight: float,
    support: int | None = None,
) -> tuple[Float[Tensor, "images *windows patches"], Float[Tensor, " images"]]:
    """Returns contrasted importance, and how far each image's prompt is trusted; importance itself and 1 where there
    are no log ratios or their weight is 0. `support` is how many images an episode has, None for all of them.
    """
    if ratios is None or weight == 0:
        return importance, torch.ones_like(importance.flatten(1)[:, 0])
    joined = contrasted(importance, ratios, weight)
    gaps = gap(importance, joined, ratios)
    return joined, confidence(gaps.view(-1, support or len(gaps))).flatten()


def gap(
    importance: Float[Tensor, "images *windows patches"],
    contrasted: Float[Tensor, "images *windows patches"],
    ratios: Float[Tensor, "images *windows patches"],
) -> Float[Tensor, " images"]:
    """Returns how much more the patches of the highest contrasted importance speak for their class than those of the
    highest importance do, in units of the log ratio: 0 where others tell nothing of what attention leaves open.
    """
    count = importance.shape[-1]
    chosen, attended = (
        ratios.gather(-1, by.topk(ceil(share * count)).indices).mean(-1)
        for by, share in ((contrasted, CHOSEN_SHARE), (importance, ATTENDED_SHARE))
    )
    return (chosen - attended).view(len(importance), -1).mean(1)


def confidence(gaps: Float[Tensor, "episodes support"]) -> Float[Tensor, "episodes support"]:
    """Returns how far each image's prompt is trusted, from 0 to 1: by how much more than one in two of its patches is
    expected to show the key, given the gaps of the image and of all images of its episode.
    """
    return (2 * expected_precision(gaps) - 1).clamp_min(0)


def expected_precision(gaps: Float[Tensor, "episodes support"]) -> Float[Tensor, "episodes support"]:
    """Returns the share of an image's prompt patches that is expected to show the key."""
    return (OF_THE_IMAGE * gaps + OF_THE_EPISODE * gaps.mean(1, keepdim=True) + OFFSET).sigmoid()
