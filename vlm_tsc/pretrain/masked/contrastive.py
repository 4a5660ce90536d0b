"""TimeCLR (Yeh et al., arXiv 2310.03916): two views of a series are alike, views of two series are not.

The loss is SimCLR's, at the temperature of the paper's code, which adds to it 1 minus about half the mean probability
of the partner.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder, seeded
from vlm_tsc.classify.masked_transformer.patches import patches_of
from vlm_tsc.pretrain.masked.config import Pretraining
from vlm_tsc.pretrain.masked.views import view


class Contrast(nn.Module):
    """The encoder, and the two layers between its features and what is compared."""

    def __init__(self, config: Pretraining):
        super().__init__()
        self.temperature = config.temperature
        self.encoder = PatchEncoder(config.shape, config.seed)
        width = config.shape.width
        with seeded(config.seed, 1):
            self.project = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))

    def loss(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        """InfoNCE between the two halves of the batch."""
        vectors = self.project(self.encoder.features(batch["values"], batch["present"])).float()
        first, second = vectors.chunk(2)
        loss, right = info_nce(first, second, self.temperature)
        return loss, {"found": right}


def info_nce(first: torch.Tensor, second: torch.Tensor, temperature: float) -> tuple[torch.Tensor, float]:
    """Cross-entropy of finding each view's partner among all other views, by cosine over `temperature`.

    Parameters
    ----------
    first, second : Tensor (n, width)
        Row i of both are views of one series.

    Returns
    -------
    Tensor, float
        Mean loss, and the share of views whose nearest other view is their partner. (Chen et al. 2020, equation 1.)
    """
    vectors = F.normalize(torch.cat([first, second]), dim=1)
    n = len(vectors)
    itself = torch.eye(n, dtype=torch.bool, device=vectors.device)
    with torch.autocast(vectors.device.type, enabled=False):  # bfloat16 knows three digits, over a small temperature
        logits = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf)
    partner = torch.arange(n, device=vectors.device).roll(n // 2)
    return F.cross_entropy(logits, partner), (logits.argmax(1) == partner).float().mean().item()


def paired_batch(points: list[np.ndarray], config: Pretraining, random: np.random.Generator) -> dict[str, Any]:
    """Patches of a first view of every series, then of a second."""
    views = [view(one, random) for _ in range(2) for one in points]
    values, present = patches_of(views, config.shape.patch)
    return {"values": values, "present": present}
