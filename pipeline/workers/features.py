"""What the frozen backbone makes of an image, computed once and kept within a memory budget."""

from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
import torch
from jaxtyping import Int

from fpt.backbones.backbone import Backbone
from fpt.problems.evidence import Gathered
from fpt.problems.frozen import Frozen, freeze, joined
from pipeline.data.store import ImageStore

# Always this many images at once, the last batch filled up with black ones: what an image gives does not depend on
# which others were missing from the cache with it.
BATCH = 64


class KeptEvidence:
    """This keeps what prompts are made from, of the shards of episodes that were asked for last."""

    def __init__(self, megabytes: int) -> None:
        self.budget = megabytes * 2**20
        self.kept: OrderedDict[Hashable, Gathered] = OrderedDict()

    def of(self, *shard: Hashable) -> Gathered:
        """Returns a shard's evidence, to be filled and used; the least recently used goes where all takes too much
        memory.
        """
        while len(self.kept) > 1 and sum(map(_bytes_of, self.kept.values())) > self.budget:
            self.kept.popitem(last=False)
        gathered = self.kept.setdefault(shard, {})
        self.kept.move_to_end(shard)
        return gathered


def _bytes_of(gathered: Gathered) -> int:
    parts = [part for held in gathered.values() for part in held]
    return sum(value.nbytes for part in parts for value in vars(part).values() if isinstance(value, torch.Tensor))


class FrozenImages:
    """This is a least-recently-used cache of the frozen images of a store."""

    def __init__(self, backbone: Backbone, store: ImageStore, megabytes: int) -> None:
        self.backbone, self.store, self.budget = backbone, store, megabytes * 2**20
        self.kept: OrderedDict[tuple[int, int], Frozen] = OrderedDict()
        self.held = 0  # bytes

    def __call__(self, rows: Int[np.ndarray, " images"], blocks: int, whole: bool = True) -> Frozen:
        """Returns the frozen images of store rows, for solvers that adapt the last `blocks` blocks; if `whole`, with
        features.
        """
        wanted = [(int(row), blocks) for row in rows]
        here = {key: self.kept[key] for key in wanted if key in self.kept and (self.kept[key].seen or not whole)}
        missing = sorted(set(wanted) - set(here))
        for first in range(0, len(missing), BATCH):
            here.update(self._compute(missing[first : first + BATCH], blocks, whole))
        for key in wanted:
            self._keep(key, here[key])
        while self.held > self.budget and len(self.kept) > len(wanted):
            self.held -= _size(self.kept.popitem(last=False)[1])
        chosen = [here[key] for key in wanted]
        return joined(chosen if whole else [Frozen(image.tokens) for image in chosen], torch.stack)

    def _keep(self, key: tuple[int, int], image: Frozen) -> None:
        self.held += _size(image) - (_size(self.kept[key]) if key in self.kept else 0)
        self.kept[key] = image
        self.kept.move_to_end(key)

    def _compute(self, keys: list[tuple[int, int]], blocks: int, whole: bool) -> dict[tuple[int, int], Frozen]:
        pixels = np.zeros((BATCH, *self.store.side, 3), np.uint8)
        pixels[: len(keys)] = self.store.images(np.array([row for row, _ in keys]))
        frozen = freeze(self.backbone, torch.from_numpy(pixels), blocks, whole)
        return {key: _row(frozen, i) for i, key in enumerate(keys)}


def _row(frozen: Frozen, i: int) -> Frozen:
    return frozen.change(lambda part: part[i].clone())


def _size(image: Frozen) -> int:
    return image.tokens.nbytes + (0 if image.seen is None else image.seen.features.nbytes + image.seen.attention.nbytes)
