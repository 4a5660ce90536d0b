"""The encoder: patches, projected to the width of a BERT, as its `inputs_embeds`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from transformers import BertConfig, BertModel

from vlm_tsc.answer.attention import use_attention_for_training
from vlm_tsc.classify.masked_transformer.shape import Shape


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Within, torch draws from a stream of these numbers; its random state outside stays as it was."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))
        yield


class PatchEncoder(nn.Module):
    """Projection of patches, a token that stands for a masked one, and a BertModel.

    Parameters
    ----------
    shape : Shape
    seed : int
        Of the first weights.
    """

    def __init__(self, shape: Shape, seed: int = 0):
        super().__init__()
        self.shape = shape
        with seeded(seed):
            self.embed = nn.Linear(shape.n_channels * shape.patch, shape.width)
            self.mask_token = nn.Parameter(0.02 * torch.randn(shape.width))
            self.bert = BertModel(_bert_config(shape), add_pooling_layer=False)
        with torch.no_grad():  # BERT's own are so small beside a patch that order would have to be learned from nothing
            self.bert.embeddings.position_embeddings.weight.copy_(_waves(shape.n_patches, shape.width))
        use_attention_for_training(self.bert)

    def tokens(self, values: torch.Tensor) -> torch.Tensor:
        """Patches `(n, n_channels, n_patches, patch)`, projected: `(n, n_patches, width)`, without their positions."""
        return self.embed(values.transpose(1, 2).flatten(2))

    def contextual(
        self, tokens: torch.Tensor, present: torch.Tensor, positions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """BERT's last hidden state `(n, n_tokens, width)`.

        Parameters
        ----------
        tokens : Tensor (n, n_tokens, width)
        present : Tensor (n, n_tokens) bool
            What may be attended to; the outputs elsewhere mean nothing.
        positions : Tensor (n, n_tokens) of int, optional
            Which patch each token is; default: 0, 1, 2 …
        """
        return self.bert(inputs_embeds=tokens, attention_mask=present, position_ids=positions).last_hidden_state

    def forward(self, values: torch.Tensor, present: torch.Tensor, masked: torch.Tensor | None = None) -> torch.Tensor:
        """`(n, n_patches, width)` of patches `values` and `present` (see `patches_of`).

        `masked` `(n, n_patches)` bool: these are replaced by the mask token. Only pre-training gives it.
        """
        tokens = self.tokens(values)
        if masked is not None:
            tokens = torch.where(masked[..., None], self.mask_token.to(tokens.dtype), tokens)
        return self.contextual(tokens, present)

    def features(self, values: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """One vector a case: mean and largest value over its patches, `(n, 2 * width)`; nothing is masked.

        Where the encoder has one channel and the series several, each channel is a series of its own, and their vectors
        stand side by side: `(n, n_channels * 2 * width)`.
        """
        n, n_channels = values.shape[:2]
        groups = n_channels // self.shape.n_channels
        values = values.reshape(n * groups, self.shape.n_channels, *values.shape[2:])
        there = present.repeat_interleave(groups, 0)
        hidden, there = self(values, there), there[..., None]
        mean = (hidden * there).sum(1) / there.sum(1)
        return torch.cat([mean, hidden.masked_fill(~there, -torch.inf).amax(1)], dim=1).reshape(n, -1)

    def n_features(self, n_channels: int) -> int:
        """Numbers that `features` gives for a series of so many channels."""
        return n_channels // self.shape.n_channels * 2 * self.shape.width


def _bert_config(shape: Shape) -> BertConfig:
    return BertConfig(
        vocab_size=1,  # there are no words
        type_vocab_size=1,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
        max_position_embeddings=shape.n_patches,
    )


def _waves(n_positions: int, width: int) -> torch.Tensor:
    """Sines and cosines of position (Vaswani et al. 2017, section 3.5), of half the height: they are learned on."""
    angles = np.arange(n_positions)[:, None] / 10000 ** (np.arange(0, width, 2) / width)
    return torch.from_numpy(0.5 * np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :width]).float()
