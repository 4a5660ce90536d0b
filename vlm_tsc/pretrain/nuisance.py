"""What varies between the cases of one class: time, heights, baseline, noise, and faults of the sensor."""

from __future__ import annotations

import numpy as np

from vlm_tsc.pretrain.curves import Rng, autoregressive, bump, chance, choose, log_uniform, smooth


def warped_time(rng: Rng, n_cases: int, n_timepoints: int, strength: float) -> np.ndarray:
    """Every case's own clock `(n_cases, n_timepoints)`, about 0..1: shifted, scaled and smoothly warped."""
    t = np.linspace(0, 1, n_timepoints)
    shift = rng.uniform(0.03, 0.1) if chance(rng, 0.1) else strength * log_uniform(rng, 0.001, 0.015)
    u = t * (1 + strength * rng.uniform(0, 0.03) * rng.standard_normal((n_cases, 1))) + shift * rng.standard_normal(
        (n_cases, 1)
    )
    if chance(rng, 0.6):
        order = np.arange(1, 4)
        size = strength * log_uniform(rng, 0.001, 0.012) * rng.standard_normal((n_cases, 3)) / order
        u = u + size @ np.sin(np.pi * order[:, None] * t)
    return u


def add_variation(rng: Rng, X: np.ndarray, strength: float) -> np.ndarray:
    """Slow wander of the baseline and of the amplitude, per case; `X` `(n_cases, n_channels, n_timepoints)`."""
    t = np.linspace(0, 1, X.shape[2])
    if chance(rng, 0.4):
        X = X + strength * log_uniform(rng, 0.02, 0.3) * smooth(rng, X.shape[:2], t, int(rng.integers(1, 5)))
    if chance(rng, 0.25):
        X = X * (1 + strength * log_uniform(rng, 0.03, 0.3) * smooth(rng, X.shape[:2], t, int(rng.integers(2, 6))))
    return X


def noise_like(rng: Rng, shape: tuple[int, int, int]) -> np.ndarray:
    """Noise of unit spread: white, coloured, or louder in a part of the window."""
    kind = rng.random()
    if kind < 0.6:
        return rng.standard_normal(shape)
    if kind < 0.85:
        return autoregressive(rng, shape, [rng.uniform(0.2, 0.9)])
    width = log_uniform(rng, 0.1, 0.5)
    t = np.linspace(0, 1, shape[2])
    return rng.standard_normal(shape) * (0.3 + bump(t, rng.random(), width, width))


def add_faults(rng: Rng, X: np.ndarray) -> np.ndarray:
    """Now and then: quantised or clipped values (whole episode), bursts and held values (some cases)."""
    fault = rng.random()
    if fault > 0.2:
        return X
    low, high = X.min(), X.max()
    span = high - low + 1e-9
    if fault < 0.05:
        step = span / choose(rng, (12, 25, 50, 100))
        return np.round(X / step) * step
    if fault < 0.1:
        return np.clip(X, low + span * rng.uniform(0, 0.2), high - span * rng.uniform(0, 0.2))
    X = X.copy()
    m = X.shape[2]
    for i in np.flatnonzero(rng.random(len(X)) < 0.35):
        length = max(1, int(m * rng.uniform(0.01, 0.08)))
        start = int(rng.integers(0, m - length + 1))
        part = X[i, :, start : start + length]
        part[:] = part[:, :1] if fault < 0.15 else part + 0.25 * span * rng.standard_normal(part.shape)
    return X
