"""The classifier as scikit-learn knows classifiers: fit, predict, predict_proba, score, and parameters to search."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from fpt import defaults
from fpt.backbones.backbone import Backbone
from fpt.backbones.loading import best_device, load_backbone
from fpt.backbones.precision import best_precision, use_precision
from fpt.classifier.calibration import CALIBRATED, Calibration, calibration_of, check_is_of
from fpt.classifier.fitted import Fitted, digest_of_support
from fpt.classifier.opening import opened_classifier
from fpt.classifier.saving import plain, save
from fpt.classifier.transform import Transform, in_batches, listed
from fpt.interface import setting_of
from fpt.pictures.resizing import resize_of, resize_of_pretraining
from fpt.problems.learning import check_learnable, learn
from fpt.problems.problem import Setting
from fpt.registry import check_name
from fpt.registry import load as load_by_name
from fpt.solvers.contract import IMAGES_A_PASS

OF_BACKBONE = ("backbone", "weights", "image_size", "mean", "std", "precision", "device", "resize", "depth")
OF_CHANCE = ("seed", "index")


class FewShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifies pictures by a backbone and a solver that is fitted to a few labelled ones of each class, prompts
    included; classes may have unequal numbers of them.

    Parameters are a configuration's. `backbone` is a timm name or a loaded Backbone; `weights`, `image_size`, `mean`
    and `std` are as in `load_backbone`; `precision` is auto, float32, tf32 or bfloat16; `device` is auto, cpu or cuda.
    `resize` is crop or squash; pictures use `depth` of the 16 bits that a pixel may have. The others are those of
    `fpt.solve`; `ensemble` are settings, each as far as it differs, whose mean probabilities classify. What is random
    comes from (`seed`, `index`). `calibration` is what a sweep leaves in its calibration.json: how far probabilities
    may be relied on.

    Pictures are paths, bytes of files, PIL images or uint8 arrays; an array of the backbone's own size is taken as it
    is, everything else is decoded, turned upright and resized as a sweep does it.
    """

    def __init__(
        self,
        backbone: str | Backbone = "vit_micro_glyphs",
        solver: str = defaults.SOLVER,
        *,
        weights: bool | str | Path | None = True,
        image_size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        precision: str = "auto",
        device: str = "auto",
        resize: str = "crop",
        depth: int = 16,
        variant: str = defaults.VARIANT,
        contrast: float = defaults.CONTRAST,
        order: str | None = defaults.ORDER,
        lam: float = defaults.LAM,
        alpha: float = defaults.ALPHA,
        tau: float = defaults.TAU,
        patches: int = defaults.PATCHES,
        layers: int = defaults.LAYERS,
        rows: str | None = defaults.ROWS,
        heads: str = defaults.HEADS,
        head: str = defaults.HEAD,
        temperature: float = defaults.TEMPERATURE,
        head_multiplier: float = defaults.HEAD_MULTIPLIER,
        lr: float = defaults.LR,
        epochs: int = defaults.EPOCHS,
        batch: int = defaults.BATCH,
        blocks: int = defaults.BLOCKS,
        rank: int = defaults.RANK,
        tokens: int = defaults.TOKENS,
        deep: bool = defaults.DEEP,
        embeddings: bool = defaults.EMBEDDINGS,
        ensemble: Sequence[Mapping[str, Any]] = (),
        calibration: Mapping[str, Any] | None = None,
        seed: int = defaults.SEED,
        index: int = 0,
    ) -> None:
        self.backbone = backbone
        self.solver = solver
        self.weights = weights
        self.image_size = image_size
        self.mean = mean
        self.std = std
        self.precision = precision
        self.device = device
        self.resize = resize
        self.depth = depth
        self.variant = variant
        self.contrast = contrast
        self.order = order
        self.lam = lam
        self.alpha = alpha
        self.tau = tau
        self.patches = patches
        self.layers = layers
        self.rows = rows
        self.heads = heads
        self.head = head
        self.temperature = temperature
        self.head_multiplier = head_multiplier
        self.lr = lr
        self.epochs = epochs
        self.batch = batch
        self.blocks = blocks
        self.rank = rank
        self.tokens = tokens
        self.deep = deep
        self.embeddings = embeddings
        self.ensemble = ensemble
        self.calibration = calibration
        self.seed = seed
        self.index = index

    def fit(self, X: Any, y: Any) -> "FewShotClassifier":
        """Learns pictures and their labels, at least two classes. Raises ValueError for what cannot be learnt."""
        names = _labels(y)
        pictures = listed(X)
        if len(pictures) != len(names):
            raise ValueError(f"y must have a label for each picture, {len(pictures)}, but has {len(names)}")
        classes, numbers = np.unique(names, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y must name at least 2 classes but names {len(classes)} class")
        settings = self.settings_for(len(classes))
        calibration = self._calibrated()
        precision, backbone = self._loaded()
        for setting in settings:
            check_learnable(setting, backbone)
        transform = self._transform(backbone)
        images = np.concatenate(list(in_batches(pictures, transform, IMAGES_A_PASS)))
        labels = torch.from_numpy(numbers.astype(np.int64))
        pixels = torch.from_numpy(images)
        self.classes_ = classes
        self.fitted_ = Fitted(
            backbone,
            precision,
            transform,
            settings,
            [learn(backbone, pixels, labels, setting, self.index) for setting in settings],
            np.bincount(numbers, minlength=len(classes)).tolist(),
            digest_of_support(images, numbers),
            calibration,
        )
        return self

    def predict_proba(self, X: Any) -> Float[np.ndarray, "images way"]:
        """Returns the probability of each class, a row for each picture, some pictures at a time."""
        check_is_fitted(self)
        pictures, transform = listed(X), self.fitted_.transform
        parts = [self.probabilities(images) for images in in_batches(pictures, transform, IMAGES_A_PASS)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes_)))

    def probabilities(self, images: UInt8[np.ndarray, "images size size 3"]) -> Float[np.ndarray, "images way"]:
        """Returns the probability of each class for pixels that have gone through the transform."""
        check_is_fitted(self)
        return self.fitted_.probabilities(torch.from_numpy(np.ascontiguousarray(images))).cpu().numpy()

    def predict(self, X: Any) -> Shaped[np.ndarray, " images"]:
        """Returns the most probable class of each picture."""
        check_is_fitted(self)
        chosen: Shaped[np.ndarray, " images"] = self.classes_[self.predict_proba(X).argmax(-1)]
        return chosen

    def predict_set(self, X: Any) -> Bool[np.ndarray, "images way"]:
        """Returns which classes are in the set of each picture, which holds the true one as often as the calibration
        says. Raises ValueError where there is no calibration.
        """
        check_is_fitted(self)
        if self.fitted_.calibration is None:
            raise ValueError(f"calibration must be given to fit for sets of classes but is None; {CALIBRATED}")
        return np.asarray(self.predict_proba(X) >= self.fitted_.calibration.in_set)

    def save(self, path: str | Path) -> Path:
        """Writes the fitted classifier into a folder of safetensors and JSON, which must not be there yet, or hold
        another classifier. Returns the folder.
        """
        check_is_fitted(self)
        return save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> "FewShotClassifier":
        """Returns the classifier that a folder holds. Nothing in the folder is run. Raises ValueError, in a sentence,
        for a folder that is not what `save` writes, whatever is wrong with it.
        """
        opened: FewShotClassifier = opened_classifier(cls, Path(path), device)
        return opened

    @classmethod
    def from_run(cls, run: str, home: str | None = None) -> "FewShotClassifier":
        """Returns the classifier, not fitted yet, of a finished sweep's winner: by the sweep's ID in a home (FPT_HOME,
        or runs/), by an MLflow run, or by the path of its best.yaml.

        Raises ValueError where there is none.
        """
        # The method knows no sweeps: what does is found by its name, where it is installed.
        parameters: Mapping[str, Any] = load_by_name("sweeps.lookup.winner:parameters_of_run")(run, home)
        return cls(**parameters)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.classifier_tags.poor_score = True  # on anything but pictures
        return tags

    def settings_for(self, way: int) -> list[Setting]:
        """Returns the settings by which so many classes are learnt, one for each member of an ensemble."""
        chosen = self.get_params(deep=False)
        common = {
            name: value
            for name, value in chosen.items()
            if name not in (*OF_BACKBONE, *OF_CHANCE, "solver", "ensemble", "calibration")
        }
        members = [dict(member) for member in self.ensemble] or [{}]
        return [setting_of(self.solver, way, self.seed, plain({**common, **member})) for member in members]

    def _calibrated(self) -> Calibration | None:
        if self.calibration is None:
            return None
        check_is_of(self.calibration, self.get_params(deep=False))
        return calibration_of(self.calibration)

    def _loaded(self) -> tuple[str, Backbone]:
        if isinstance(self.backbone, Backbone):
            held = str(self.backbone.dtype).removeprefix("torch.")
            return held, self.backbone
        device = best_device() if self.device == "auto" else self.device
        precision = best_precision(device) if self.precision == "auto" else self.precision
        return precision, load_backbone(
            self.backbone,
            weights=self.weights or None,
            image_size=self.image_size,
            device=device,
            dtype=use_precision(precision, device),
            mean=self.mean,
            std=self.std,
        )

    def _transform(self, backbone: Backbone) -> Transform:
        check_name("resize", self.resize, ("crop", "squash"))
        how = resize_of(
            cast(Literal["crop", "squash"], self.resize), resize_of_pretraining(backbone.model.pretrained_cfg)
        )
        return Transform(backbone.image_size, how, self.depth)


def _labels(y: Any) -> Shaped[np.ndarray, " images"]:
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    names = np.asarray(y)
    if names.ndim != 1:
        raise ValueError(f"y must be one label for each picture but is an array of shape {names.shape}")
    if names.dtype == object:
        names = np.asarray([str(name) for name in names]) if all(isinstance(name, str) for name in names) else names
    if names.dtype.kind == "f" and not (np.isfinite(names).all() and (names == names.round()).all()):
        raise ValueError("y must be labels, text or whole numbers. Unknown label type: continuous")
    return names
