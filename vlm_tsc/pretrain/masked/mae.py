"""Mask patches and reconstruct them from the others, as BERT does with words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder, seeded
from vlm_tsc.classify.masked_transformer.patches import patches_of
from vlm_tsc.pretrain.masked.config import Pretraining
from vlm_tsc.pretrain.masked.masks import draw_masks, mean_over


class MaskedAutoencoder(nn.Module):
    """The encoder, and a layer that reads the values of a patch from its last hidden state."""

    def __init__(self, config: Pretraining):
        super().__init__()
        self.encoder = PatchEncoder(config.shape, config.seed)
        with seeded(config.seed, 1):
            self.read = nn.Linear(config.shape.width, config.shape.n_channels * config.shape.patch)

    def forward(self, values: torch.Tensor, present: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        """What it takes the patches for: `(n, n_patches, n_channels * patch)`."""
        return self.read(self.encoder(values, present, masked))

    def loss(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean squared error of the masked patches."""
        values, present, masked = batch["values"], batch["present"], batch["masked"]
        return reconstruction_loss(self(values, present, masked), values, masked), {}


def reconstruction_loss(read: torch.Tensor, values: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the patches that were masked, and no others: those need only be copied."""
    wanted = values.transpose(1, 2).flatten(2)
    return mean_over((read.float() - wanted).square().mean(2), masked)


def masked_batch(points: list[np.ndarray], config: Pretraining, random: np.random.Generator) -> dict[str, Any]:
    """Patches and the masks drawn for them."""
    values, present = patches_of(points, config.shape.patch)
    return {"values": values, "present": present, "masked": draw_masks(present, config.mask_ratio, random)}
