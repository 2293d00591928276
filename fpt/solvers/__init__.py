"""Solvers: what turns a backbone and a support set into a classifier. One file each, one contract (contract.py)."""

from collections.abc import Callable

from fpt.backbones.backbone import Backbone
from fpt.solvers.contract import Settings, Solution, Stack
from fpt.solvers.full import full
from fpt.solvers.knn import knn
from fpt.solvers.linear_probe import linear_probe
from fpt.solvers.lora import lora
from fpt.solvers.metaoptnet import metaoptnet
from fpt.solvers.protonet import protonet
from fpt.solvers.r2d2 import r2d2
from fpt.solvers.ridge import ridge
from fpt.solvers.ssf import ssf
from fpt.solvers.svm import svm
from fpt.solvers.vpt import vpt

Solver = Callable[[Backbone, Stack, Settings], Solution]
SOLVERS: dict[str, Solver] = {
    "knn": knn,
    "ridge": ridge,
    "svm": svm,
    "protonet": protonet,
    "r2d2": r2d2,
    "metaoptnet": metaoptnet,
    "linear_probe": linear_probe,
    "full": full,
    "vpt": vpt,
    "lora": lora,
    "ssf": ssf,
}
FROZEN = frozenset({"knn", "ridge", "svm", "protonet", "r2d2", "metaoptnet"})  # need features alone, read no settings
STEERED = frozenset({"full", "vpt", "lora", "ssf"})  # solvers that take position prompts

__all__ = ["FROZEN", "SOLVERS", "STEERED", "Settings", "Solution", "Solver", "Stack"]
