"""A worker holds backbone, images and caches for as long as the session lasts, and solves orders."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fpt.backbones.backbone import Backbone
from fpt.backbones.fingerprint import backbone_fingerprint
from fpt.backbones.loading import best_device, load_backbone
from fpt.backbones.memory import keep_for_caches, tune_allocator
from fpt.backbones.precision import best_precision, use_precision, use_repeatable_kernels
from fpt.problems.ensemble import mean_softmax
from fpt.problems.frozen import Frozen, reads_frozen_queries
from fpt.problems.keeping import kept_scores
from fpt.problems.problem import EpisodeBatch, Outcome, Setting
from fpt.problems.solving import solve
from fpt.prompts.localisation import key_patches
from fpt.registry import SOLVERS, rows_of
from fpt.solvers import Training
from fpt.switches import COMPILED, turned
from pipeline.config import Episodes, Run, members_of
from pipeline.data.sampler import EpisodeSampler, sampler_of
from pipeline.data.store import ImageStore
from pipeline.identity import Found
from pipeline.orders import WorkOrder
from pipeline.storage.ledger import Ledger, Row
from pipeline.workers.features import FrozenImages, KeptEvidence

CACHES = 2  # of images and of evidence, each of compute.cache_megabytes


class Worker:
    """A worker lives in a process by itself (process.py). `home` is the ledger's URI, `store` the packed images on its
    node.
    """

    def __init__(self, name: str, run: Run, store: Path, home: str, device: str | None = None) -> None:
        tune_allocator()
        torch.set_num_threads(run.compute.threads_per_worker)
        self.name, self.compute, self.small_classes = name, run.compute, run.dataset.small_classes
        device = device or best_device()
        use_repeatable_kernels(run.compute.repeatable, device)
        keep_for_caches(CACHES * run.compute.cache_megabytes * 2**20)
        self.precision, self.backbone = backbone_of(run, device)
        self.store = ImageStore(store)
        if self.store.side != (self.backbone.image_size, self.backbone.image_size):
            raise ValueError(
                f"backbone.name must take images of side {self.store.side[0]} but {run.backbone.name} takes "
                f"{self.backbone.image_size}"
            )
        self.ledger = Ledger(home)
        self.frozen = FrozenImages(self.backbone, self.store, run.compute.cache_megabytes)
        self.evidence = KeptEvidence(run.compute.cache_megabytes)
        self.samplers: dict[Episodes, EpisodeSampler] = {}
        self.turned = [COMPILED] if run.compute.compile else []
        self.device = ", ".join([device_name(self.backbone.device), *self.turned])

    def found(self) -> Found:
        """Returns what only the loaded backbone and images can tell."""
        return Found(
            dataset_fingerprint=self.store.fingerprint,
            backbone_fingerprint=backbone_fingerprint(self.backbone),
            precision=self.precision,
            device=self.device,
            patches=self.backbone.most_patches,
            depth=self.backbone.depth,
            masks=self.store.has_masks and not self.backbone.pyramid,
            classes={split: len(self.store.classes(split)) for split in self.store.splits},
        )

    def solve(self, order: WorkOrder, attempt: int, smaller: int = 0) -> list[Row]:
        """Returns the rows of an order, which are in the ledger already; its stacks are halved `smaller` times."""
        started = time.monotonic()
        hashes, runs = list(order.configurations), list(order.configurations.values())
        members = [[setting(member) for member in members_of(run)] for run in runs]
        settings = list(dict.fromkeys(one for several in members for one in several))  # each is solved once
        adapted = max(run.solver.adapted for run in runs)
        if any(run.solver.adapted != adapted for run in runs):
            raise ValueError("configurations of one order must adapt the same blocks")
        whole = any(reads_frozen_queries(one.solver, self.store.has_masks) for one in settings)
        episodes = self._tensors(runs[0].episodes, order.episodes, adapted, whole)
        gathered = self.evidence.of(runs[0].episodes, order.episodes)
        with turned(self.turned):
            solved = solve(self.backbone, episodes, settings, self.compute.stack, gathered, smaller)
        of_setting = dict(zip(settings, solved, strict=True))
        outcomes = [_together([of_setting[one] for one in several], episodes.query_labels) for several in members]
        seconds = (time.monotonic() - started) / (len(runs) * len(order.episodes))
        rows = [
            row(config_hash, outcome, seconds, self.name, attempt, self.device, runs[0].episodes.scores)
            for config_hash, of_run in zip(hashes, outcomes, strict=True)
            for outcome in of_run
        ]
        self.ledger.write(order.name, rows)
        return rows

    def _tensors(self, wanted: Episodes, indices: tuple[int, ...], adapted: int, whole: bool) -> EpisodeBatch:
        sampler = self.samplers.get(wanted)
        if sampler is None:
            sampler = sampler_of(self.store.classes(wanted.split), wanted, self.small_classes)
            self.samplers[wanted] = sampler
        drawn = [sampler[index] for index in indices]
        outsiders = np.stack([sampler.outsiders(index) for index in indices]) if wanted.scores else None
        return episode_tensors(self.backbone, self.store, self.frozen, drawn, adapted, whole, outsiders)


def _together(members: list[list[Outcome]], labels: torch.Tensor) -> list[Outcome]:
    """Returns the outcomes of a configuration on each episode, from those of its members."""
    if len(members) == 1:
        return members[0]
    return [mean_softmax(list(episode), own) for *episode, own in zip(*members, labels, strict=True)]


def device_name(device: torch.device) -> str:
    """Returns what its maker calls a GPU, and the kind of any other device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def backbone_of(run: Run, device: str) -> tuple[str, Backbone]:
    """Returns the precision that a run's backbone is in, and the backbone."""
    named = run.backbone
    precision = best_precision(device) if named.precision == "auto" else named.precision
    backbone = load_backbone(
        named.name,
        weights=None if named.weights is False else named.weights,
        image_size=named.image_size,
        device=device,
        dtype=use_precision(precision, device),
        mean=named.mean,
        std=named.std,
    )
    return precision, backbone


def episode_tensors(
    backbone: Backbone,
    store: ImageStore,
    frozen: FrozenImages,
    episodes: list[Any],
    adapted: int,
    whole: bool = True,
    outsiders: np.ndarray | None = None,
) -> EpisodeBatch:
    """Returns images, frozen features, labels and masks of some episodes, stacked. If `whole`, queries have features
    too. `outsiders` are rows of images that are asked after an episode's queries.
    """
    support = np.stack([episode.support for episode in episodes])
    query = np.stack([episode.query for episode in episodes])
    asked = query if outsiders is None else np.concatenate([query, outsiders], axis=1)

    def stacked(rows: np.ndarray, whole: bool) -> Frozen:
        return frozen(rows.ravel(), adapted, whole).change(lambda part: part.unflatten(0, rows.shape))

    def key(rows: np.ndarray) -> torch.Tensor | None:
        masks = None if backbone.pyramid else store.masks(rows.ravel())
        if masks is None:
            return None
        return key_patches(torch.from_numpy(masks).view(*rows.shape, *store.side), backbone.grid).to(backbone.device)

    pixels = torch.from_numpy(store.images(support.ravel())).view(*support.shape, *store.side, 3)
    return EpisodeBatch(
        indices=[episode.index for episode in episodes],
        support_images=pixels,
        support=stacked(support, True),
        labels=torch.from_numpy(np.stack([episode.labels for episode in episodes])).to(backbone.device),
        query=stacked(asked, whole),
        query_labels=torch.from_numpy(np.stack([episode.query_labels for episode in episodes])).to(backbone.device),
        support_key=key(support),
        query_key=key(query),
    )


def setting(run: Run) -> Setting:
    """Returns a configuration as the method's own plain values."""
    solver, prompts = run.solver, run.prompts
    return Setting(
        solver=solver.name,
        training=Training(
            way=run.episodes.way,
            blocks=solver.blocks,
            epochs=solver.epochs,
            batch=solver.batch,
            head=solver.head,
            temperature=solver.temperature,
            head_multiplier=solver.head_multiplier,
            rank=solver.rank,
            tokens=solver.tokens,
            deep=solver.deep,
            embeddings=solver.embeddings,
            layers=prompts.layers,
            rows=rows_of(prompts.variant, prompts.rows),
            heads=prompts.heads,
        ),
        variant=prompts.variant,
        order=prompts.order,
        lam=prompts.lam,
        alpha=prompts.alpha if SOLVERS[solver.name].steered else 0.0,
        tau=prompts.tau,
        patches=prompts.patches,
        contrast=prompts.contrast,
        lr=solver.lr,
        seed=run.episodes.seed,
    )


def row(
    config_hash: str, outcome: Outcome, seconds: float, worker: str, attempt: int, device: str, scores: bool = False
) -> Row:
    """Returns an outcome as the ledger keeps it, with the scores, unless it has failed, if they are wanted."""
    return {
        "config_hash": config_hash,
        "episode": outcome.episode,
        "accuracy": outcome.accuracy,
        "correct": sum(outcome.hits),
        "queries": outcome.queries,
        "class_hits": list(outcome.hits),
        "failed": outcome.failed,
        "prompt_precision": outcome.prompt_precision,
        "prompt_chance": outcome.prompt_chance,
        "attention_on_key_before": outcome.attention_on_key_before,
        "attention_on_key_after": outcome.attention_on_key_after,
        "seconds": seconds,
        "worker": worker,
        "attempt": attempt,
        "device": device,
        "scores": kept_scores(outcome.logits.float().cpu().numpy()) if scores and not outcome.failed else None,
    }
