"""Several settings as one classifier: the mean of what they think likely."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from fpt.problems.problem import Outcome


def mean_softmax(members: Sequence[Outcome], labels: Int[Tensor, " query"]) -> Outcome:
    """Returns what the mean of the members' class probabilities has on an episode that all of them solved, whose
    queries have these labels (FEWTRANS, arXiv:2603.00478, finds that it wins where one cannot choose well).

    Its logits are the logarithms of the mean. It failed where a member did. It has no prompts of its own, so figures of
    prompts are None; attention after fine-tuning is the members' mean. Raises ValueError for no members, and for
    members of other episodes.
    """
    episodes = {member.episode for member in members}
    if len(episodes) != 1:
        raise ValueError(f"members must be of one episode but are of {sorted(episodes)}")
    logits_MQW = torch.stack([member.logits for member in members]).double()
    mean_QW = logits_MQW.log_softmax(-1).logsumexp(0) - float(np.log(len(members)))
    failed = any(member.failed for member in members)
    right = (mean_QW[: len(labels)].argmax(-1) == labels.to(mean_QW.device)).cpu().numpy()
    after = [member.attention_on_key_after for member in members]
    return replace(
        members[0],
        hits=tuple(np.bincount(labels.cpu().numpy()[right], minlength=logits_MQW.shape[-1]).tolist()),
        failed=failed,
        prompt_precision=None,
        prompt_chance=None,
        attention_on_key_after=None if None in after else float(np.mean([one for one in after if one is not None])),
        logits=mean_QW,
    )
