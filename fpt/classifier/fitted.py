"""What a fitted classifier holds, and how it answers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.classifier.calibration import Calibration
from fpt.classifier.transform import Transform
from fpt.problems.learning import answer
from fpt.problems.problem import Setting
from fpt.solvers.contract import Learnt


@dataclass(frozen=True)
class Fitted:
    """Holds what was learnt of `images` pictures of each class under each setting, whose mean probability is the
    classifier's. `support` is a digest of the pictures and their labels; `calibration` says how far probabilities may
    be relied on, None where that is not known.
    """

    backbone: Backbone
    precision: str
    transform: Transform
    settings: Sequence[Setting]
    learnt: Sequence[Learnt]
    images: Sequence[int]
    support: str
    calibration: Calibration | None = None

    @property
    def temperature(self) -> float:
        """Returns what scores are divided by."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def logits(self, images: UInt8[Tensor, "images size size 3"]) -> Float[Tensor, "images way"]:
        """Returns scores whose softmax is the probability of each class. Of several members, they are the logarithm of
        their mean probability. A temperature divides them.
        """
        of_members = [
            answer(self.backbone, images, setting, learnt).scores[0].double()
            for setting, learnt in zip(self.settings, self.learnt, strict=True)
        ]
        if len(of_members) == 1:
            return of_members[0] / self.temperature
        mean = torch.stack(of_members).log_softmax(-1).logsumexp(0) - float(np.log(len(of_members)))
        return mean / self.temperature

    def attention(self, images: UInt8[Tensor, "images size size 3"]) -> Float[Tensor, "images patches"]:
        """Returns where [CLS] looks in images after fitting, summing to 1; the mean of several members."""
        of_members = [
            answer(self.backbone, images, setting, learnt).query_attention[0]
            for setting, learnt in zip(self.settings, self.learnt, strict=True)
        ]
        return torch.stack(of_members).mean(0)

    def probabilities(self, images: UInt8[Tensor, "images size size 3"]) -> Float[Tensor, "images way"]:
        return self.logits(images).softmax(-1)


def digest_of_support(images: UInt8[np.ndarray, "images size size 3"], labels: Int[np.ndarray, " images"]) -> str:
    """Returns what tells one support set from another."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()[:16]
