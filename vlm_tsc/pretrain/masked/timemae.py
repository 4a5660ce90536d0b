"""TimeMAE (Cheng et al., arXiv 2303.00320): the encoder sees visible patches alone, and masks are kept out of it.

Blocks of cross-attention look from the masked positions at what the encoder made of the visible patches. What they find
is compared with two targets: the codeword of the masked patch in a learned codebook, and what a slowly following copy
of the encoder makes of the masked patches.

It differs from the authors' code (github.com/Mingyue-Cheng/TimeMAE) in two things. There the copy is of the
transformer's blocks alone, with dropout, behind the trained projection and positions; here these have their following
copies too, and there is no dropout. There a patch's codeword is the largest output of a linear layer after Gumbel noise
was added; here it is the word at the smallest angle, without noise.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn

from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder, seeded
from vlm_tsc.pretrain.masked.config import Pretraining
from vlm_tsc.pretrain.masked.masks import at, mean_over, places


class CrossBlock(nn.Module):
    """From masked positions to visible ones: attention and a feed-forward layer, each added and normalised."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, asked: torch.Tensor, visible: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """`asked` `(n, k, width)`, which may attend to `visible` `(n, v, width)` where `there` `(n, v)`."""
        found, _ = self.attention(asked, visible, visible, key_padding_mask=~there, need_weights=False)
        asked = self.norms[0](asked + self.dropout(found))
        return self.norms[1](asked + self.dropout(self.inner(asked)))


class TimeMAE(nn.Module):
    """Encoder, its follower, cross-attention blocks and codebook."""

    def __init__(self, config: Pretraining):
        super().__init__()
        shape = config.shape
        self.momentum = config.momentum
        self.weights = config.regression_weight, config.codeword_weight
        self.encoder = PatchEncoder(shape, config.seed)
        self.target = copy.deepcopy(self.encoder).requires_grad_(False)
        with seeded(config.seed, 1):
            self.blocks = nn.ModuleList(
                CrossBlock(shape.width, shape.heads, shape.dropout) for _ in range(config.cross_layers)
            )
            self.codebook = nn.Parameter(torch.randn(config.codewords, shape.width) / shape.width**0.5)

    def loss(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        """Weighted sum of both losses."""
        values, present, masked = batch["values"], batch["present"], batch["masked"]
        self.follow()
        positions, there = places(masked)
        tokens = self.encoder.tokens(values)
        codes = at(codewords(tokens.detach(), self.codebook.detach()), positions)
        predicted = self.predict(tokens, present & ~masked, positions).float()
        wanted = self.target_of(values, positions, there)
        regression = mean_over((predicted - wanted).square().mean(2), there)
        logits = (predicted @ self.codebook.T).float()
        codeword = mean_over(F.cross_entropy(logits.transpose(1, 2), codes, reduction="none"), there)
        figures = {"regression": regression.item(), "codeword": codeword.item()}
        figures["codewords_used"] = float(codes[there].unique().numel())  # a handful would mean that the book collapsed
        figures["codeword_accuracy"] = mean_over((logits.argmax(2) == codes).float(), there).item()
        return self.weights[0] * regression + self.weights[1] * codeword, figures

    def predict(self, tokens: torch.Tensor, visible: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """What the blocks find out from the patches `visible` `(n, n_patches)` about those at `positions` `(n, k)`."""
        seen, there = places(visible)
        context = self.encoder.contextual(at(tokens, seen), there, seen)
        asked = self.encoder.mask_token + self.encoder.bert.embeddings.position_embeddings(positions)
        for block in self.blocks:
            asked = block(asked, context, there)
        return asked

    @torch.no_grad()
    def target_of(self, values: torch.Tensor, positions: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """What the follower makes of the masked patches `(n, k, width)`, which it sees alone; without dropout."""
        self.target.eval()
        some = there | (torch.arange(there.shape[1], device=there.device) == 0)  # attention to nothing is no number
        return self.target.contextual(at(self.target.tokens(values), positions), some, positions).float()

    @torch.no_grad()
    def follow(self) -> None:
        """Bring the target a step nearer to the encoder: target ← momentum * target + (1 - momentum) * encoder."""
        for mine, theirs in zip(self.target.parameters(), self.encoder.parameters(), strict=True):
            mine.lerp_(theirs, 1 - self.momentum)


def codewords(tokens: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """Which word of `codebook` `(n_words, width)` each of `tokens` `(n, k, width)` points to most nearly: `(n, k)`.

    By the angle, so that no long word takes every patch.
    """
    with torch.autocast(tokens.device.type, enabled=False):  # in bfloat16 near ties would be drawn by rounding
        return (F.normalize(tokens.float(), dim=-1) @ F.normalize(codebook.float(), dim=-1).T).argmax(-1)
