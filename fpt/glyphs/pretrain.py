"""Makes the embedded backbone's weights again: `python -m fpt.glyphs.pretrain --out FOLDER`.

Three stages, because a transformer trained from [CLS] alone learns nothing here (several entities share every image):

1. `stem`: the stem alone, with a linear classifier on every patch that a glyph covers; large glyphs;
2. `scenes`: the transformer on top of it: [CLS] names every glyph of the scene, and each covered patch its own;
3. `focus`: smaller and fainter glyphs; patches of the background name every glyph as well, so that they look at
   entities, as those of large ViTs do.

In all but the last layers the attention output of whatever names all glyphs is dropped most of the time: it gathers
late, as in large ViTs, and what it gathers from stays pure. Saves as it goes and continues from what it finds.
"""

import argparse
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from fpt.glyphs.backbone import ConvolutionalStem, normalise, vit_micro_glyphs
from fpt.glyphs.characters import characters
from fpt.glyphs.scenes import LARGE, MEDIUM, Style, compose

GLYPHS = 3  # a scene, all of them base classes
LEAST_PIXELS = 4  # a patch belongs to the glyph with the most pixels in it, if at least so many
EARLY_DROP = 0.9  # probability that an early layer gathers nothing for a token that names all glyphs
CLASS_LAYERS, BACKGROUND_LAYERS = 2, 1  # the last ones, in which [CLS] and background patches do gather
PATCH_LOSS = 0.5
BACKGROUND_LOSS = 0.5
BACKGROUND_PATCHES = 8  # of each scene, chosen at random, that name all glyphs


class BaseScenes(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Yields endless batches: images, uint8; the glyphs of each scene; the glyph of each patch, -1 where there is
    none.
    """

    def __init__(self, batch: int, seed: int, style: Style, context_share: float = 0.1) -> None:
        self.batch, self.seed, self.style, self.context_share = batch, seed, style, context_share

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        base = characters("base")
        number = {character: i for i, character in enumerate(base)}
        context = np.array([number[character] for character in characters("context")])
        worker = torch.utils.data.get_worker_info()
        random = np.random.Generator(np.random.Philox(key=[self.seed, worker.id if worker else 0]))
        while True:
            scenes, labels = [], np.empty((self.batch, GLYPHS), np.int64)
            for row in range(self.batch):
                drawn = random.integers(len(base), size=GLYPHS)
                if random.random() < GLYPHS * self.context_share:
                    drawn[0] = context[random.integers(len(context))]
                labels[row] = drawn
                scenes.append(compose([base[i] for i in drawn], key=0, random=random, style=self.style))
            owners = np.stack([scene.owner for scene in scenes]).reshape(self.batch, 8, 8, 8, 8)
            counts = np.stack([(owners == glyph).sum((2, 4)) for glyph in range(GLYPHS)], -1).reshape(
                self.batch, 64, GLYPHS
            )
            patch_labels = np.take_along_axis(labels, counts.argmax(-1), 1)
            patch_labels[counts.max(-1) < LEAST_PIXELS] = -1
            yield (
                torch.from_numpy(np.stack([scene.image for scene in scenes])),
                torch.from_numpy(labels),
                torch.from_numpy(patch_labels),
            )


class StemClassifier(nn.Module):
    """Classifies patches by the stem alone: stage 1."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = ConvolutionalStem()
        self.patch_head = nn.Linear(128, classes)

    def forward(self, images: Tensor, labels: Tensor, patch_labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the loss, and the share of covered patches that are named right."""
        covered = patch_labels >= 0
        logits = self.patch_head(self.stem(images)[covered]).float()
        return _own_name(logits, patch_labels[covered]), (logits.argmax(-1) == patch_labels[covered]).float().mean()


class SceneClassifier(nn.Module):
    """Classifies scenes and their patches: stage 2 and, with `background`, stage 3."""

    def __init__(self, classes: int, background: bool = False) -> None:
        super().__init__()
        self.vit = vit_micro_glyphs()
        self.patch_head = nn.Linear(128, classes)
        self.head = nn.Linear(128, classes)
        self.background = background
        self.uncovered = torch.zeros(0)
        blocks = list(self.vit.blocks)
        for index, block in enumerate(blocks):
            left = len(blocks) - index
            block.attn.register_forward_hook(partial(self._gather_late, left > CLASS_LAYERS, left > BACKGROUND_LAYERS))

    def _gather_late(self, early: bool, early_background: bool, module: nn.Module, _: object, output: Tensor) -> Tensor:
        if not module.training:
            return output
        keep = torch.ones(output.shape[:2], dtype=output.dtype)
        if early:
            keep[:, 0] = (torch.rand(len(output)) >= EARLY_DROP).to(output.dtype)
        if early_background and self.background:
            dropped = (torch.rand(len(output), 1) < EARLY_DROP) & self.uncovered
            keep[:, 1:] = (~dropped).to(output.dtype)
        return output * keep[..., None]

    def forward(self, images: Tensor, labels: Tensor, patch_labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the loss, and the share of scenes for which [CLS] first names one of their glyphs."""
        covered = patch_labels >= 0
        self.uncovered = ~covered
        tokens = self.vit.forward_features(images)
        scene_logits = self.head(tokens[:, 0]).float()
        loss = _all_names(scene_logits, labels)
        loss = loss + PATCH_LOSS * _own_name(self.patch_head(tokens[:, 1:][covered]).float(), patch_labels[covered])
        if self.background:
            chosen = (torch.rand(patch_labels.shape) * self.uncovered).topk(BACKGROUND_PATCHES, dim=1).indices
            gathered = torch.take_along_dim(tokens[:, 1:], chosen[..., None], 1)
            names = labels[:, None].expand(-1, BACKGROUND_PATCHES, -1).flatten(0, 1)
            loss = loss + BACKGROUND_LOSS * _all_names(self.head(gathered.flatten(0, 1)).float(), names)
        return loss, (scene_logits.argmax(-1, keepdim=True) == labels).any(1).float().mean()


def _own_name(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, label_smoothing=0.05)


def _all_names(logits: Tensor, labels: Tensor) -> Tensor:
    return -logits.log_softmax(-1).gather(1, labels).mean()


def train(
    model: nn.Module, stage: str, style: Style, scenes: int, cycle: int, batch: int, rate: float, out: Path, seed: int
) -> None:
    """Trains for `scenes` scenes of a one-cycle schedule over `cycle`; goes on from out/{stage}.pt if it is there."""
    fast = [p for p in model.parameters() if p.ndim > 1]
    slow = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": fast, "weight_decay": 0.05}, {"params": slow, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.98)
    )
    steps = scenes // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=cycle // batch + 1, pct_start=0.08)
    checkpoint, done = out / f"{stage}.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        done = saved["done"]
    model.to(memory_format=torch.channels_last).train()
    loader = iter(DataLoader(BaseScenes(batch, seed + done, style), batch_size=None, num_workers=1, prefetch_factor=8))
    started, mean_right, mean_loss = time.monotonic(), 0.0, 0.0
    for step in range(done, steps):
        images, labels, patch_labels = next(loader)
        with torch.autocast("cpu", torch.bfloat16):
            loss, right = model(normalise(images).contiguous(memory_format=torch.channels_last), labels, patch_labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean_right += 0.02 * (right.item() - mean_right)
        mean_loss += 0.02 * (loss.item() - mean_loss)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            rate_now = (step + 1 - done) * batch / (time.monotonic() - started)
            print(
                f"{stage} scenes {(step + 1) * batch} loss {mean_loss:.3f} right {mean_right:.3f} {rate_now:.0f}/s",
                flush=True,
            )
        if (step + 1) % 250 == 0 or step + 1 == steps:
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**state, "schedule": schedule.state_dict(), "done": step + 1}, checkpoint)
    del loader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and weights")
    parser.add_argument("--scenes", type=int, nargs=3, default=(256_000, 128_000, 192_000), help="of each stage")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    out, batch = arguments.out, arguments.batch
    stem_scenes, scenes, focus_scenes = arguments.scenes
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)
    classes = len(characters("base"))
    stem = StemClassifier(classes)
    train(stem, "stem", LARGE, stem_scenes, stem_scenes, batch, 4e-3, out, 1)
    model = SceneClassifier(classes)
    model.vit.patch_embed.load_state_dict(stem.stem.state_dict())
    # The rate need not come down to nothing here: it goes up again in the next stage.
    train(model, "scenes", LARGE, scenes, 2 * scenes, batch, 1.5e-3, out, 2)
    model.background = True
    train(model, "focus", MEDIUM, focus_scenes, focus_scenes, batch, 1.5e-3, out, 3)
    weights = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in model.vit.state_dict().items()
    }
    save_file(weights, out / "vit_micro_glyphs.safetensors")


if __name__ == "__main__":
    main()
