"""A teacher for series that nobody labelled: a linear classifier on what the base's own tower sees, before training.

On few cases a linear classifier on the frozen tower generalises better than the fine-tuned model: its decoder has to
find in the tower's tokens what tells the classes apart, and learns a few dozen answers by heart before it has. So it is
told the linear classifier's answers too, for mixtures of cases, of which there are as many as it likes (function
matching, Beyer et al. 2022, arXiv:2106.05237). The teacher has seen the training cases alone, through nothing but the
base's own tower.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file, save

from vlm_tsc.answer.features import features, vision_features
from vlm_tsc.answer.linear import ridge_classifier
from vlm_tsc.conversation.augmented import ViewedCases
from vlm_tsc.files import write_bytes
from vlm_tsc.finetune.draws import TrainingDraws
from vlm_tsc.finetune.parts import base_of

_FILE = "teacher.safetensors"
_SHARPNESS = range(3, 13)  # of the softmax over the ridge's scores, which are about -1 and 1, and of many classes less:
_SURE = 0.9  # the least one with which the teacher is so sure of the cases it was fitted to
_VIEWS = 12  # augmented ones of every case, beside the recorded one …
_MOST = 6000  # … but no more pictures than these in all, for the time and memory of the ridge


@dataclass(frozen=True)
class Teacher:
    """`softmax((features - mean) / scale @ weights + offset)`; all tensors are float32.

    Attributes
    ----------
    mean, scale : Tensor (n_features,)
    weights : Tensor (n_features, n_classes)
    offset : Tensor (n_classes,)
    """

    mean: torch.Tensor
    scale: torch.Tensor
    weights: torch.Tensor
    offset: torch.Tensor

    def shares(self, features: torch.Tensor) -> torch.Tensor:
        """How likely each class is: `(n_cases, n_features)` -> `(n_cases, n_classes)`."""
        of = {name: tensor.to(features.device) for name, tensor in vars(self).items()}
        scores = (features - of["mean"]) / of["scale"] @ of["weights"] + of["offset"]
        return torch.softmax(scores, dim=1)


class TowerTeacher:
    """The teacher, and the tower that it looks through, which stays as it was while the model is trained.

    Parameters
    ----------
    model
        With an adapter, which is taken off to look; without one all its weights will be trained, and a copy is kept.
    projector : sequence of str
        Full names of the projector's linear layers.
    n_pictures : int
        Of every case.
    """

    def __init__(self, model: Any, teacher: Teacher, projector: Sequence[str], n_pictures: int):
        self.n_pictures = n_pictures
        self.frozen = model if isinstance(model, PeftModel) else copy.deepcopy(model)
        self.teacher, self.projector = teacher, projector

    @classmethod
    def of(
        cls,
        model: Any,
        processor: Any,
        draws: TrainingDraws,
        answers: Sequence[str],
        folder: Path,
        *,
        projector: Sequence[str],
        batch_size: int,
        precision: torch.dtype,
        first: AbstractContextManager[Any],
    ) -> TowerTeacher:
        """Fitted to the cases of `draws` before anything is trained, or as an interrupted training left it in `folder`.

        Parameters
        ----------
        answers : sequence of str
            Of the classes, in their order.
        first : context manager
            Inside it, the first process comes before all others, which then find what it wrote.
        """
        path = folder / _FILE
        with first:
            if not path.exists():
                with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
                    X, y = _pictures_seen(base_of(model), processor, draws, answers, projector, batch_size)
                write_bytes(path, save(vars(fit_teacher(X, y))))
            n_pictures = draws.augmented.presentation.builder.n_pictures
            return cls(model, Teacher(**load_file(path)), projector, n_pictures)

    @torch.no_grad()
    def shares(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """The teacher's answers `(n_cases, n_classes)` to the pictures of a batch."""
        n_cases = len(inputs["input_ids"])
        with self.frozen.disable_adapter() if isinstance(self.frozen, PeftModel) else nullcontext():
            seen = vision_features(base_of(self.frozen), inputs, self.projector, n_cases * self.n_pictures)
        return self.teacher.shares(seen.reshape(n_cases, -1).float())


def fit_teacher(X: np.ndarray, y: np.ndarray) -> Teacher:
    """Fit to features `(n_pictures, n_features)` of cases of class `y` `(n_pictures,)`, int, every class among them."""
    fitted = ridge_classifier().fit(X, y)
    scaler, ridge = fitted[0], fitted[-1]
    weights, offset = np.atleast_2d(ridge.coef_).T, np.atleast_1d(ridge.intercept_)
    if weights.shape[1] == 1:  # of two classes, only the second one's score is kept
        weights, offset = np.hstack([-weights, weights]), np.concatenate([-offset, offset])
    scores = scaler.transform(X) @ weights + offset
    sharpness = next((one for one in _SHARPNESS if _sureness(one * scores, y) >= _SURE), _SHARPNESS[-1])
    parts = (scaler.mean_, scaler.scale_, sharpness * weights, sharpness * offset)
    return Teacher(*(torch.tensor(part, dtype=torch.float32).contiguous() for part in parts))


def _sureness(scores: np.ndarray, y: np.ndarray) -> float:
    """Mean probability of the true classes `y` `(n_pictures,)` under a softmax over `(n_pictures, n_classes)`."""
    return float(torch.from_numpy(scores).softmax(1)[np.arange(len(y)), y].mean())


def _pictures_seen(
    model: Any, processor: Any, draws: TrainingDraws, answers: Sequence[str], projector: Sequence[str], batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features and classes of the cases as recorded and, while there are few, of augmented views of them."""
    augmented = draws.augmented
    labels = np.array([answers.index(answer) for answer in draws.answers])
    chosen = np.random.default_rng(augmented.seed).permutation(len(labels))
    _, firsts = np.unique(labels[chosen], return_index=True)  # however rare a class is, a case of it comes along
    chosen = [*map(int, chosen[firsts]), *map(int, np.delete(chosen, firsts))][:_MOST]
    cases = [draws.cases[i] for i in chosen]
    ids = [draws.ids[i] for i in chosen]
    n_views = min(_VIEWS, _MOST // len(cases) - 1) if augmented.strength > 0 else 0
    views = [ViewedCases(cases, ids, replace(augmented, strength=0.0), 0)]
    views += [ViewedCases(cases, ids, augmented, epoch) for epoch in range(n_views)]
    X = [features(model, processor, view, "vision", batch_size=batch_size, projector=projector) for view in views]
    return np.concatenate(X), np.tile(labels[chosen], len(views))
