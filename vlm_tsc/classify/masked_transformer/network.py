"""The network of the classifier: encoder, features brought to one size, linear layer."""

from __future__ import annotations

import torch
from torch import nn

from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder, seeded
from vlm_tsc.classify.masked_transformer.patches import PatchedCases

LEAST_SPREAD = 0.05  # of a feature: what hardly varies must not be blown up


class MaskedTransformer(nn.Module):
    """An encoder and a linear head; nothing is ever masked here.

    Parameters
    ----------
    encoder : PatchEncoder
    n_channels, n_classes : int
    seed : int
        Of the head's first weights.
    """

    def __init__(self, encoder: PatchEncoder, n_channels: int, n_classes: int, seed: int = 0):
        super().__init__()
        self.encoder = encoder
        n_features = encoder.n_features(n_channels)
        with seeded(seed, 1):
            self.head = nn.Linear(n_features, n_classes)
        # of the training cases' features before training: BERT's differ little from case to case, about a large mean
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))
        self.centre: torch.Tensor
        self.spread: torch.Tensor

    def forward(self, values: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Logits (n, n_classes) of patches as `patches_of` gives them."""
        return self.classify(self.encoder.features(values, present))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (n, n_classes) of the encoder's features."""
        return self.head((features - self.centre) / self.spread)

    def learn_scale(self, features: torch.Tensor) -> None:
        """Take mean and deviation of the training cases' features."""
        self.centre.copy_(features.mean(0))
        self.spread.copy_(features.std(0, correction=0).clamp(min=LEAST_SPREAD))

    @torch.no_grad()
    def features(self, cases: PatchedCases, batch_size: int) -> torch.Tensor:
        """The encoder's features of all cases (n_cases, n_features), in evaluation mode."""
        self.eval()
        batches = torch.arange(len(cases), device=cases.values.device).split(batch_size)
        return torch.cat([self.encoder.features(*cases.select(indices)) for indices in batches])

    @torch.no_grad()
    def probabilities(self, cases: PatchedCases, batch_size: int) -> torch.Tensor:
        """(n_cases, n_classes), float64."""
        return self.classify(self.features(cases, batch_size)).double().softmax(1)
