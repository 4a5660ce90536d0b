"""A teacher for series that nobody labelled: a linear classifier on what the base's own tower sees, before training.

On few cases a linear classifier on the frozen tower generalises better than the fine-tuned model: its decoder has to
find in the tower's tokens what tells the classes apart, and learns a few dozen answers by heart before it has. So it is
told the linear classifier's answers too, for mixtures of cases, of which there are as many as it likes (function
matching, Beyer et al. 2022, arXiv:2106.05237). The teacher has seen the training cases alone, through nothing but the
base's own tower.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save

from vlm_tsc.answer.features import pooled, vision_token_batches, vision_tokens
from vlm_tsc.answer.model import computing_in
from vlm_tsc.conversation.augmented import ViewedCases
from vlm_tsc.files import write_bytes
from vlm_tsc.finetune.draws import TrainingDraws
from vlm_tsc.finetune.linear_teacher import Teacher, fit_teacher
from vlm_tsc.finetune.parts import base_of

_FILE = "teacher.safetensors"
_VIEWS = 12  # augmented ones of every case, beside the recorded one …
_MOST = 3000  # … but no more pictures than these in all, for the time and memory of the ridge …
_WIDEST = 20_000  # … and no more features of a case: of larger towers, means of their tokens alone
_READS = "reads"  # in the file
_TOKENS, _MEANS = "tokens", "means"


class TowerTeacher:
    """The teacher, and the tower that it looks through, which stays as it was while the model is trained.

    Parameters
    ----------
    model
        With an adapter, which is taken off to look; without one all its weights will be trained, and a copy is kept.
    reads : {"tokens", "means"}
        Every token, which tells where something is, or `pooled` ones, which are steadier where that varies.
    projector : sequence of str
        Full names of the projector's linear layers.
    n_pictures : int
        Of every case.
    precision : torch.dtype
        In which the tower looks, here as when the teacher was fitted.
    """

    def __init__(
        self,
        model: Any,
        teacher: Teacher,
        reads: str,
        projector: Sequence[str],
        n_pictures: int,
        precision: torch.dtype,
    ):
        self.n_pictures, self.precision = n_pictures, precision
        self.frozen = model if isinstance(model, PeftModel) else _without_decoder(model)
        self.teacher, self.reads, self.projector = teacher, reads, projector

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
                with computing_in(precision, model):
                    X, y, case = _pictures_seen(base_of(model), processor, draws, answers, projector, batch_size)
                reads, teacher = fit_teacher(X, y, case, draws.augmented.seed)
                write_bytes(path, save(vars(teacher), metadata={_READS: reads}))
            with safe_open(path, "pt") as file:
                reads = file.metadata()[_READS]
            teacher = Teacher(**load_file(path))
            n_pictures = draws.augmented.presentation.builder.n_pictures
            return cls(model, teacher, reads, projector, n_pictures, precision)

    @torch.no_grad()
    def shares(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """The teacher's answers `(n_cases, n_classes)` to the pictures of a batch."""
        n_cases = len(inputs["input_ids"])
        untrained = self.frozen.disable_adapter() if isinstance(self.frozen, PeftModel) else nullcontext()
        with untrained, computing_in(self.precision, self.frozen):
            seen = vision_tokens(base_of(self.frozen), inputs, self.projector, n_cases * self.n_pictures)
        seen = seen.float()  # all that follows was fitted to such numbers
        if self.reads == _MEANS:
            seen = pooled(seen)
        return self.teacher.shares(seen.reshape(n_cases, -1))


def _without_decoder(model: Any) -> Any:
    """A copy of what looks; of a large model the decoder would be most of it."""
    left_out = [part for part in (model.get_decoder(), model.get_output_embeddings()) if part is not None]
    return copy.deepcopy(model, {id(part): torch.nn.Identity() for part in left_out})


def _pictures_seen(
    model: Any, processor: Any, draws: TrainingDraws, answers: Sequence[str], projector: Sequence[str], batch_size: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Features, classes and cases of the pictures: as recorded and, while there are few, augmented views."""
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
    seen: dict[str, list[np.ndarray]] = {}
    for view in views:
        for name, made in _both(model, processor, view, projector, batch_size):
            seen.setdefault(name, []).append(made)
    X = {name: np.concatenate(made) for name, made in seen.items()}
    return X, np.tile(labels[chosen], len(views)), np.tile(np.arange(len(chosen)), len(views))


def _both(
    model: Any, processor: Any, view: ViewedCases, projector: Sequence[str], batch_size: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Names and features `(n_cases, n_features)` of one view, batch by batch: a wide tower's tokens are not kept."""
    for made in vision_token_batches(model, processor, view, batch_size=batch_size, projector=projector):
        tokens = made.float().cpu()
        yield _MEANS, pooled(tokens.flatten(0, 1)).reshape(len(tokens), -1).numpy()
        if tokens[0].numel() <= _WIDEST:
            yield _TOKENS, tokens.flatten(1).numpy()
