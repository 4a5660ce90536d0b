"""All that decides how an adapter is trained, besides the cases and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vlm_tsc.bases import Part
from vlm_tsc.finetune.mixup import MIXED


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One fine-tuning.

    Attributes
    ----------
    base : str
        Its name, for the adapter's own files.
    base_folder : Path
        Where it was loaded from.
    patterns : mapping
        Part → pattern of the full names of its linear layers.
    parts : sequence of {"language", "projector", "vision", "head"}
        What is trained.
    method : {"lora", "dora", "qlora", "qlora8", "full"}
    lora : mapping
        `r`, `alpha` and `dropout`.
    steps : int
        Of the optimiser, each over `batch_size * gradient_accumulation` cases a process.
    batch_size, gradient_accumulation, eval_batch_size : int
    learning_rate : float
        Peak of a cosine, after a linear rise over the share `warmup_ratio` of the steps.
    projector_learning_rate : float, optional
        The projector's own peak.
    label_smoothing : float
    mixup : float
        Parameter of the Beta distribution of shares; 0 mixes nothing.
    mixed : float
        Part of the draws that are mixtures.
    teacher : bool
        Whether a linear classifier on the base's tower teaches too.
    precision : torch.dtype
        In which is multiplied; what is trained is in float32.
    seed : int
    checkpoint_steps : int
        Steps between checkpoints, and between validations.
    gradient_checkpointing : bool
    deepspeed : Path, optional
        DeepSpeed's settings.
    """

    base: str
    base_folder: Path
    patterns: Mapping[Part, str]
    parts: Sequence[Part]
    method: str
    lora: Mapping[str, Any]
    steps: int
    batch_size: int
    eval_batch_size: int
    learning_rate: float
    precision: torch.dtype
    seed: int
    checkpoint_steps: int
    gradient_accumulation: int = 1
    projector_learning_rate: float | None = None
    warmup_ratio: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    mixed: float = MIXED
    teacher: bool = False
    gradient_checkpointing: bool = False
    deepspeed: Path | None = None
