"""Stage 0: the vision tower learns to tell plots apart by the rules that define the classes of synthetic episodes.

Supervised contrastive loss (Khosla et al. 2020, eq. 2): plots of one class of one episode attract each other, all
others repel. The hard negatives are the other classes of the same episode: the same background, one sparse rule apart.
So the tower is not made blind to small differences, as two augmented views of one series would make it, but has to find
which of them recur.

Contrast alone teaches which series is meant, not what it looks like: a linear probe of such a tower read the order of
highest and lowest point little better than chance. So a second head reads the curve itself back from the patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPVisionModel

from vlm_tsc.answer.attention import use_attention_for_training
from vlm_tsc.answer.model import device
from vlm_tsc.pretrain.loop import run_stage
from vlm_tsc.pretrain.synthetic import episode
from vlm_tsc.representation.limits import case_limits, train_limits
from vlm_tsc.representation.line import ChannelLayout
from vlm_tsc.representation.styles import Style, draw_as

CURVE_POINTS = 32  # of each channel's curve that are read back
CURVE_CHANNELS = 3
_CURVE_WEIGHT = 1.0
_CURVE_VARIANCE = 0.07  # of heights 0..1 within a plot: makes the error a share of what there is to explain


class TowerWithHead(nn.Module):
    """The tower and the two heads that only this stage needs.

    The heads keep every patch apart (32 numbers each, flattened), so that *where* something happens must be readable
    from the patch features that the projector will get.
    """

    def __init__(self, config: Any, embedding_size: int = 128, per_patch: int = 32):
        super().__init__()
        self.tower = CLIPVisionModel(config)
        n_patches = (config.image_size // config.patch_size) ** 2
        self.patch = nn.Linear(config.hidden_size, per_patch)
        self.embed = nn.Sequential(
            nn.Linear(n_patches * per_patch + config.hidden_size, 512), nn.GELU(), nn.Linear(512, embedding_size)
        )
        self.curve = nn.Sequential(
            nn.Linear(n_patches * per_patch, 512), nn.GELU(), nn.Linear(512, CURVE_CHANNELS * CURVE_POINTS)
        )
        self.log_scale = nn.Parameter(torch.tensor(np.log(10.0)))

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, height, width) pixels in -1..1 -> (n, embedding_size) unit vectors, (n, channels, points) heights."""
        out = self.tower(pixel_values=pixel_values)
        patches = self.patch(out.last_hidden_state[:, 1:]).flatten(1)
        embeddings = F.normalize(self.embed(torch.cat([patches, out.pooler_output], dim=1)).float(), dim=1)
        return embeddings, self.curve(patches).float().unflatten(1, (CURVE_CHANNELS, CURVE_POINTS))


def make_batch(
    seed: int, step: int, *, image_size: int, n_episodes: int, n_cases: int, style: Style = "line"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels (n, 3, h, w) uint8, episode (n,), class (n,) and curves of batch `step`; pure in its arguments."""
    pictures, episodes, classes, curves = [], [], [], []
    for i in range(n_episodes):
        index = step * n_episodes + i
        made = episode(seed, index, n_cases=n_cases)
        limits, channels = drawing_of(made.X, index)
        pictures += [draw_as(style, case, (image_size, image_size), limits, channels) for case in made.X]
        curves += [curve_of(case, limits) for case in made.X]
        episodes += [i] * n_cases
        classes += made.y.tolist()
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return pixels, torch.tensor(episodes), torch.tensor(classes), torch.from_numpy(np.stack(curves))


def drawing_of(cases: Sequence[np.ndarray], index: int) -> tuple[np.ndarray | None, ChannelLayout]:
    """Limits and layout of channels of episode `index`; as in fine-tuning, limits are shared where level and size mean
    something, else each case's own."""
    return train_limits(cases) if index % 3 == 0 else None, "multiples" if index % 5 == 0 else "auto"


def curve_of(case: np.ndarray, limits: np.ndarray | None) -> np.ndarray:
    """Height in the picture, 0 to 1, at 32 times of every channel: (3, 32) float32, NaN where there is no channel.

    Where several values share one of the 32 stretches of time, their mean.
    """
    low, high = (case_limits(case) if limits is None else limits).T
    span = np.where(high > low, high - low, 1.0)
    heights = np.clip((case - low[:, None]) / span[:, None], 0, 1)
    heights[high <= low] = 0.5
    n_timepoints = case.shape[1]
    sums = np.concatenate([np.zeros((len(case), 1)), heights.cumsum(1)], axis=1)  # of the first 0, 1, 2 … values
    edges = np.linspace(0, n_timepoints, CURVE_POINTS + 1)
    at_edges = np.stack([np.interp(edges, np.arange(n_timepoints + 1), one) for one in sums])
    curve = np.full((CURVE_CHANNELS, CURVE_POINTS), np.nan, np.float32)
    curve[: len(case)] = np.diff(at_edges, axis=1) / np.diff(edges)
    return curve


def curve_loss(read: torch.Tensor, curves: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the heights over the channels that are there, as a share of their variance."""
    there = ~curves.isnan()
    return ((read - curves.nan_to_num())[there] ** 2).mean() / _CURVE_VARIANCE


def contrastive_loss(
    embeddings: torch.Tensor, episodes: torch.Tensor, classes: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """The supervised contrastive loss against the whole batch, plus the same against the own episode only."""
    n = len(embeddings)
    same_episode = episodes[:, None] == episodes[None]
    itself = torch.eye(n, dtype=torch.bool, device=embeddings.device)
    positive = same_episode & (classes[:, None] == classes[None]) & ~itself
    logits = (scale * embeddings @ embeddings.T).masked_fill(itself, -torch.inf)
    within = logits.masked_fill(~same_episode, -torch.inf)
    losses = []
    for candidates in (logits, within):
        log_p = candidates - torch.logsumexp(candidates, dim=1, keepdim=True)
        # a class may have a single case in the batch's draw: it has no positive and no say
        per_anchor = -(log_p.masked_fill(~positive, 0.0)).sum(1) / positive.sum(1).clamp(min=1)
        losses.append(per_anchor[positive.any(1)].mean())
    nearest = within.argmax(1)
    figures = {
        "batch_loss": losses[0].item(),
        "episode_loss": losses[1].item(),
        "nearest_same_class": positive.gather(1, nearest[:, None]).float().mean().item(),
    }
    return losses[0] + losses[1], figures


def vision_loss(model: Any, made: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, dict[str, float]]:
    """The stage's loss and figures of a `TowerWithHead` on what `make_batch` returns."""
    where = next(model.parameters()).device
    pixels, episodes, classes, curves = (part.to(where) for part in made)
    embeddings, read = model(to_pixel_values(pixels))
    loss, figures = contrastive_loss(embeddings, episodes, classes, model.log_scale.exp().clamp(max=50.0))
    unread = curve_loss(read, curves)
    return loss + _CURVE_WEIGHT * unread, figures | {"curve_unread": unread.item()}


def to_pixel_values(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 0..255 -> float -1..1, as the bundled processor does."""
    return pixels.float() / 127.5 - 1.0


def run_vision_stage(
    config: Any,
    folder: Path,
    *,
    seed: int,
    steps: int,
    n_episodes: int,
    n_cases: int,
    learning_rate: float,
    warmup_steps: int,
    workers: int,
    style: Style = "line",
) -> CLIPVisionModel:
    """Train (or resume) stage 0 and return the tower, in fp32."""
    torch.manual_seed(seed)
    model = TowerWithHead(config)
    model.to(device())
    use_attention_for_training(model.tower)

    def batch(step: int) -> tuple[torch.Tensor, ...]:
        size = config.image_size
        return make_batch(seed, step, image_size=size, n_episodes=n_episodes, n_cases=n_cases, style=style)

    run_stage(
        model,
        batch,
        vision_loss,
        folder=folder,
        steps=steps,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        workers=workers,
        plots_per_batch=n_episodes * n_cases,
        has_one_shape=True,
    )
    return model.tower.cpu()
