"""Building blocks of synthetic series: random smooth curves, bumps, blocks. All are vectorised over leading axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.signal import lfilter

Rng = np.random.Generator


def choose(rng: Rng, options: Sequence[Any]) -> Any:
    """One of `options`, all equally likely (`Generator.choice` is ten times slower on short lists)."""
    return options[int(rng.integers(len(options)))]


def chance(rng: Rng, p: float) -> bool:
    return rng.random() < p


def log_uniform(rng: Rng, low: float, high: float, size: Any = None) -> Any:
    """Draws whose logarithm is uniform between `low` and `high` (both above 0)."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def smooth(rng: Rng, shape: tuple[int, ...], t: np.ndarray, knots: int) -> np.ndarray:
    """Random smooth curves of unit variance: white noise on a coarse grid, raised to `t` by a uniform cubic B-spline.

    It stands in for a Gaussian process with a length scale of about `1 / knots` of the span, at a fraction of the cost.

    Returns
    -------
    np.ndarray
        `(*shape, len(t))`; `t` must rise.
    """
    x = (t - t[0]) / (t[-1] - t[0]) * knots
    cell = np.minimum(x.astype(np.intp), knots - 1)
    f = x - cell
    weights = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3)
    noise = rng.standard_normal((*shape, knots + 3))
    curve = np.stack([noise[..., cell + j] * w for j, w in enumerate(weights)]).sum(0)
    return curve / (6 * 0.69)  # 0.69: spread of a spline of white noise


def bump(t: np.ndarray, centre: Any, left: Any, right: Any, power: Any = 2.0) -> np.ndarray:
    """Peaks of height 1 at `centre`, with a width each side; power 1 is pointed, 2 Gaussian, 6 flat-topped."""
    distance = t - centre
    return np.exp(-(np.abs(distance / np.where(distance < 0, left, right)) ** power))


def block(t: np.ndarray, start: Any, end: Any, edge: Any) -> np.ndarray:
    """Plateaus of height 1 between `start` and `end` with soft edges of width `edge`."""
    return 0.5 * (np.tanh((t - start) / edge) - np.tanh((t - end) / edge))


def rise(t: np.ndarray, at: Any, edge: Any) -> np.ndarray:
    """A soft step from 0 to 1."""
    return 0.5 * (1 + np.tanh((t - at) / edge))


def autoregressive(rng: Rng, shape: tuple[int, ...], coefficients: Sequence[float], burn_in: int = 50) -> np.ndarray:
    """AR series of unit variance along the last axis: x[t] = sum of coefficients[k] x[t-1-k] + noise."""
    noise = rng.standard_normal((*shape[:-1], shape[-1] + burn_in))
    series = np.asarray(lfilter([1.0], [1.0, *(-float(c) for c in coefficients)], noise, axis=-1))[..., burn_in:]
    return series / (series.std() + 1e-12)


def oscillation(rng: Rng, phase: np.ndarray) -> np.ndarray:
    """One of several waveforms (sine, soft square, triangle, saw, pulse) of a phase in cycles; range about -1..1."""
    kind = int(rng.integers(5))
    angle = 2 * np.pi * phase
    if kind == 0:
        return np.sin(angle)
    if kind == 1:
        return np.tanh(rng.uniform(2, 6) * np.sin(angle))
    if kind == 2:
        return skewed_wave(phase, rng.uniform(0.3, 0.7))
    if kind == 3:
        return skewed_wave(phase, rng.uniform(0.05, 0.15))
    return 2 * np.exp(rng.uniform(2, 8) * (np.cos(angle) - 1)) - 1


def skewed_wave(phase: np.ndarray, skew: Any) -> np.ndarray:
    """A triangle wave that rises during the share `skew` of its period and falls during the rest; range -1..1."""
    inside = phase - np.floor(phase)
    return 2 * np.where(inside < skew, inside / skew, (1 - inside) / (1 - skew)) - 1
