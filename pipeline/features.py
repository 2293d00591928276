"""What the frozen backbone makes of an image, computed once and kept within a memory budget."""

from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
import torch
from jaxtyping import Int

from fpt.backbones import Backbone
from fpt.problems import Frozen, Gathered, freeze
from pipeline.images import ImageStore

# Always this many images at once, the last batch filled up with black ones: what an image gives does not depend on
# which others were missing from the cache with it.
BATCH = 64


class KeptEvidence:
    """What prompts are made from, of the shards of episodes that were asked for last."""

    def __init__(self, megabytes: int) -> None:
        self.budget = megabytes * 2**20
        self.kept: OrderedDict[Hashable, Gathered] = OrderedDict()

    def of(self, *shard: Hashable) -> Gathered:
        """The shard's own, to be filled and used; the least recently used go where all take too much memory."""
        while len(self.kept) > 1 and sum(map(_bytes_of, self.kept.values())) > self.budget:
            self.kept.popitem(last=False)
        gathered = self.kept.setdefault(shard, {})
        self.kept.move_to_end(shard)
        return gathered


def _bytes_of(gathered: Gathered) -> int:
    parts = [part for held in gathered.values() for part in (held if isinstance(held, list) else [held])]
    return sum(value.nbytes for part in parts for value in vars(part).values() if isinstance(value, torch.Tensor))


class FrozenImages:
    """A least-recently-used cache of frozen images of one store."""

    def __init__(self, backbone: Backbone, store: ImageStore, megabytes: int) -> None:
        self.backbone, self.store, self.budget = backbone, store, megabytes * 2**20
        self.kept: OrderedDict[tuple[int, int], Frozen] = OrderedDict()
        self.bytes_each = 0

    def __call__(self, rows: Int[np.ndarray, " images"], blocks: int) -> Frozen:
        """Frozen images of store rows, for solvers that adapt the last `blocks` blocks."""
        wanted = [(int(row), blocks) for row in rows]
        here = {key: self.kept[key] for key in wanted if key in self.kept}
        missing = sorted(set(wanted) - set(here))
        for first in range(0, len(missing), BATCH):
            here.update(self._compute(missing[first : first + BATCH], blocks))
        for key in wanted:
            self.kept[key] = here[key]
            self.kept.move_to_end(key)
        while len(self.kept) * self.bytes_each > self.budget and len(self.kept) > len(wanted):
            self.kept.popitem(last=False)
        chosen = [here[key] for key in wanted]
        return Frozen(
            torch.stack([image.tokens for image in chosen]),
            torch.stack([image.features for image in chosen]),
            torch.stack([image.attention for image in chosen]),
        )

    def _compute(self, keys: list[tuple[int, int]], blocks: int) -> dict[tuple[int, int], Frozen]:
        pixels = np.zeros((BATCH, *self.store.side, 3), np.uint8)
        pixels[: len(keys)] = self.store.images(np.array([row for row, _ in keys]))
        frozen = freeze(self.backbone, torch.from_numpy(pixels), blocks)
        parts = (frozen.tokens, frozen.features, frozen.attention)
        self.bytes_each = sum(part[0].nbytes for part in parts)
        return {key: Frozen(*(part[i].clone() for part in parts)) for i, key in enumerate(keys)}
