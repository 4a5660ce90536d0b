"""Linear probe of a frozen vision tower: how much of the classes can be read off its patch features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vlm_tsc.pretrain.vision_stage import to_pixel_values
from vlm_tsc.representation.styles import Style, draw_as


@torch.no_grad()
def patch_features(
    tower: Any, cases: Sequence[np.ndarray], limits: np.ndarray | None, layer: int, style: Style = "line"
) -> np.ndarray:
    """Mean patch feature of a hidden layer, and the mean of each column of patches (a stretch of time).

    Parameters
    ----------
    tower : CLIPVisionModel
    cases : sequence of ndarray (n_channels, n_timepoints)
    limits : ndarray (n_channels, 2), or None for each case's own
    layer : int
        Index into the tower's hidden states; -1 is the last layer.
    style : str
        The picture, as the tower was made with.

    Returns
    -------
    ndarray (n_cases, (1 + columns) · hidden_size)
    """
    size = tower.config.image_size
    side = size // tower.config.patch_size
    found = []
    for start in range(0, len(cases), 64):
        pictures = np.stack([draw_as(style, case, (size, size), limits) for case in cases[start : start + 64]])
        pixels = to_pixel_values(torch.from_numpy(pictures).permute(0, 3, 1, 2))
        hidden = tower(pixel_values=pixels, output_hidden_states=True).hidden_states[layer][:, 1:]
        grid = hidden.unflatten(1, (side, side))
        parts = [grid.mean((1, 2)), grid.mean(1).flatten(1)]
        found.append(torch.cat(parts, dim=1).float().numpy())
    return np.concatenate(found)


def cross_validated_accuracy(features: np.ndarray, y: np.ndarray, n_folds: int = 5, seed: int = 0) -> float:
    """Accuracy of a ridge classifier in stratified cross-validation; for choices, on training cases only."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = max(2, min(n_folds, int(np.unique(y, return_counts=True)[1].min())))
    model = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(-1, 5, 13)))
    return float(cross_val_score(model, features, y, cv=StratifiedKFold(folds, shuffle=True, random_state=seed)).mean())
