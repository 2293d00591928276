"""Makes the embedded backbone's weights again: `python -m fpt.glyphs.pretrain --out FOLDER`.

Two stages, because a transformer trained from [CLS] alone learns nothing here (several entities share every image):

1. the stem alone, with a linear classifier on every patch that a glyph covers;
2. the transformer on top of it: [CLS] names every glyph of the scene, and each patch its own. The attention output of
   [CLS] in all but the last two layers is dropped most of the time, so that it gathers late, as in large ViTs.

Saves as it goes and continues from what it finds in the folder.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from fpt.glyphs.backbone import ConvolutionalStem, normalise, vit_micro_glyphs
from fpt.glyphs.characters import characters
from fpt.glyphs.scenes import compose

GLYPHS = 3  # a scene, all of them base classes
LEAST_PIXELS = 4  # a patch belongs to the glyph with the most pixels in it, if at least so many
EARLY_DROP = 0.9  # probability that [CLS] gathers nothing in an early layer
PATCH_LOSS = 0.5


class BaseScenes(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless batches: images, uint8; the glyphs of each scene; the glyph of each patch, -1 where there is none."""

    def __init__(self, batch: int, seed: int, context_share: float = 0.1) -> None:
        self.batch, self.seed, self.context_share = batch, seed, context_share

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
                scenes.append(compose([base[i] for i in drawn], key=0, random=random))
            owners = np.stack([scene.owner for scene in scenes]).reshape(self.batch, 8, 8, 8, 8)
            counts = np.stack([(owners == glyph).sum((2, 4)) for glyph in range(GLYPHS)], -1).reshape(
                self.batch, 64, GLYPHS
            )
            patches = np.take_along_axis(labels, counts.argmax(-1), 1)
            patches[counts.max(-1) < LEAST_PIXELS] = -1
            yield (
                torch.from_numpy(np.stack([scene.image for scene in scenes])),
                torch.from_numpy(labels),
                torch.from_numpy(patches),
            )


class StemClassifier(nn.Module):
    """Stage 1."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = ConvolutionalStem()
        self.patch_head = nn.Linear(128, classes)

    def forward(self, images: Tensor, covered: Tensor) -> tuple[None, Tensor]:
        return None, self.patch_head(self.stem(images)[covered])


class SceneClassifier(nn.Module):
    """Stage 2."""

    def __init__(self, classes: int, trained: StemClassifier) -> None:
        super().__init__()
        self.vit = vit_micro_glyphs()
        self.vit.patch_embed.load_state_dict(trained.stem.state_dict())
        self.patch_head = nn.Linear(128, classes)
        self.head = nn.Linear(128, classes)
        for block in list(self.vit.blocks)[:-2]:
            block.attn.register_forward_hook(self._gather_late)

    def _gather_late(self, module: nn.Module, _: object, output: Tensor) -> Tensor:
        if not module.training:
            return output
        keep = torch.ones(output.shape[:2], dtype=output.dtype)
        keep[:, 0] = (torch.rand(len(output)) >= EARLY_DROP).to(output.dtype)
        return output * keep[..., None]

    def forward(self, images: Tensor, covered: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.vit.forward_features(images)
        return self.head(tokens[:, 0]), self.patch_head(tokens[:, 1:][covered])


def losses(scene_logits: Tensor | None, patch_logits: Tensor, labels: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
    """Loss, and the share of covered patches (stage 1) or of [CLS] first guesses (stage 2) that are right."""
    patch_logits = patch_logits.float()
    patch_loss = F.cross_entropy(patch_logits, patches, label_smoothing=0.05)
    if scene_logits is None:
        return patch_loss, (patch_logits.argmax(-1) == patches).float().mean()
    log_probability = scene_logits.float().log_softmax(-1)
    named = -log_probability.gather(1, labels).mean()
    right = (scene_logits.argmax(-1, keepdim=True) == labels).any(1).float().mean()
    return named + PATCH_LOSS * patch_loss, right


def train(
    model: nn.Module, stage: str, scenes: int, batch: int, rate: float, out: Path, seed: int
) -> None:
    """Trains for `scenes` scenes under a one-cycle schedule; continues from out/{stage}.pt where there is one."""
    fast = [p for p in model.parameters() if p.ndim > 1]
    slow = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": fast, "weight_decay": 0.05}, {"params": slow, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.98)
    )
    steps = scenes // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1, pct_start=0.08)
    checkpoint, done = out / f"{stage}.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        done = saved["done"]
    model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    loader = iter(DataLoader(BaseScenes(batch, seed + done), batch_size=None, num_workers=1, prefetch_factor=8))
    started, mean_right, mean_loss = time.monotonic(), 0.0, 0.0
    for step in range(done, steps):
        images, labels, patches = next(loader)
        with torch.autocast("cpu", torch.bfloat16):
            covered = patches >= 0
            scene_logits, patch_logits = model(
                normalise(images).contiguous(memory_format=torch.channels_last), covered
            )
        loss, right = losses(scene_logits, patch_logits, labels, patches[covered])
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
        if (step + 1) % 500 == 0 or step + 1 == steps:
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**state, "schedule": schedule.state_dict(), "done": step + 1}, checkpoint)
    del loader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and weights")
    parser.add_argument("--stem-scenes", type=int, default=256_000)
    parser.add_argument("--scenes", type=int, default=256_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--stem-rate", type=float, default=4e-3)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)
    classes = len(characters("base"))
    stem = StemClassifier(classes)
    train(stem, "stem", arguments.stem_scenes, arguments.batch, arguments.stem_rate, arguments.out, 1)
    model = SceneClassifier(classes, stem)
    train(model, "vit", arguments.scenes, arguments.batch, arguments.rate, arguments.out, 2)
    weights = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in model.vit.state_dict().items()
    }
    save_file(weights, arguments.out / "vit_micro_glyphs.safetensors")


if __name__ == "__main__":
    main()
