"""Template families made of waves, trends and textures that fill the whole window."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from vlm_tsc.pretrain.curves import (
    Rng,
    autoregressive,
    block,
    bump,
    chance,
    choose,
    log_uniform,
    oscillation,
    rise,
    smooth,
)
from vlm_tsc.pretrain.template import MARGIN, Template, with_base


def fourier(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """A random Fourier sum with a random spectral slope."""
    base = rng.uniform(0.4, 1.6)
    n = max(2, min(int(rng.integers(3, 11)), int(0.3 / fine / base)))
    order = np.arange(1, n + 1)
    height = (0.3 + rng.random(n)) * order ** -rng.uniform(0.2, 1.8)
    waves = np.sin(2 * np.pi * (base * order[:, None] * t + rng.random((n, 1))))
    return Template(height[:, None] * waves, rng.uniform(0.2, 0.8, n))


def kernels(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """Gaussian-process-like curves of random kernels (RBF, periodic, linear) joined by + and x."""

    def draw() -> np.ndarray:
        kind = int(rng.integers(5))
        if kind < 3:
            return smooth(rng, (), t, int(log_uniform(rng, 3, min(40, 0.4 / fine) + 3)))
        if kind == 3:
            return np.interp((t * log_uniform(rng, 1.5, 8)) % 1, *_one_cycle(rng))
        return rng.normal() * (t - rng.random()) * 2

    curves = []
    for _ in range(int(rng.integers(2, 5))):
        curve = draw()
        curves.append(curve * draw() if chance(rng, 0.35) else curve)
    return Template(np.array(curves), rng.uniform(0.2, 0.8, len(curves)))


def _one_cycle(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(0, 1, 64)
    n = int(rng.integers(1, 5))
    order = np.arange(1, n + 1)[:, None]
    weights = rng.standard_normal((n, 1)) / order
    return x, (weights * np.sin(2 * np.pi * (order * x + rng.random((n, 1))))).sum(0) / np.sqrt((weights**2).sum() / 2)


def trend(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """A linear, exponential, logistic or hinged trend under a few waves."""
    at = rng.uniform(0.2, 0.8)
    course = choose(
        rng,
        (
            2 * t,
            np.exp(rng.uniform(-3, 3) * t),
            3 * rise(t, at, log_uniform(rng, 0.03, 0.3)),
            3 * np.maximum(t - at, 0),
        ),
    )
    parts = [course * choose(rng, (-1, 1)), rng.uniform(0.1, 0.5) * smooth(rng, (), t, int(rng.integers(3, 14)))]
    parts.append(
        rng.uniform(0.05, 0.5) * oscillation(rng, t * log_uniform(rng, 1, min(12, 0.2 / fine) + 1) + rng.random())
    )
    return Template(np.array(parts), np.array([at, 0.5, 0.5]))


def seasonal(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """A season with harmonics, possibly modulated, with a slow level."""
    cycles = log_uniform(rng, 1.5, min(20, 0.15 / fine) + 2)
    n = max(1, min(int(rng.integers(2, 6)), int(0.35 / fine / cycles)))
    order = np.arange(1, n + 1)[:, None]
    waves = np.sin(2 * np.pi * (cycles * order * t + rng.random((n, 1)))) * rng.uniform(0.2, 1, (n, 1)) / order
    if chance(rng, 0.4):
        waves = waves * (1 + 0.6 * smooth(rng, (), t, 4))
    level = rng.uniform(0, 0.7) * smooth(rng, (), t, int(rng.integers(2, 5)))
    motif = rng.uniform(0.3, 1.2) * bump(t, at := rng.uniform(0.15, 0.85), 0.4 / cycles + fine, 0.4 / cycles + fine)
    parts = np.concatenate([waves, level[None], motif[None]])
    return Template(parts, np.r_[rng.uniform(0.3, 0.7, n), 0.5, at])


def chirp(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """One or two chirps under an envelope on a slow curve."""
    parts, centres = [], []
    for _ in range(int(rng.integers(1, 3))):
        at, width = rng.uniform(0.2, 0.8), log_uniform(rng, 0.1, 0.8)
        first, last = log_uniform(rng, 1, min(15, 0.2 / fine) + 1, 2)
        parts.append(
            np.sin(2 * np.pi * (first * t + (last - first) * t * np.abs(t) / 2)) * bump(t, at, width, width, 4)
        )
        centres.append(at)
    return with_base(rng, t, np.array(parts), np.array(centres), 1.5)


def regimes(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """Segments, each with its own behaviour: flat, slope, oscillation, or a rough texture."""
    n = int(rng.integers(2, 6))
    cuts = np.r_[-1.0, np.sort((np.arange(1, n) + rng.uniform(-0.3, 0.3, n - 1)) / n), 2.0]
    edge = fine if chance(rng, 0.5) else 0.03
    parts = []
    for first, last in pairwise(cuts):
        kind, length = int(rng.integers(4)), min(last, 1.3) - max(first, -0.3)
        inner = (t - first) / length
        curve = rng.normal() * np.ones_like(t)
        if kind == 1:
            curve = rng.normal(0, 1.5) * inner
        elif kind == 2:
            curve = curve + oscillation(rng, t * log_uniform(rng, 2, min(30, 0.2 / fine) + 2))
        elif kind == 3:
            curve = curve + 0.5 * smooth(rng, (), t, int(min(80, 0.8 / fine)) + 3)
        parts.append(curve * block(t, first, last, edge))
    middles = (np.maximum(cuts[:-1], 0) + np.minimum(cuts[1:], 1)) / 2
    return Template(np.array(parts), middles)


def pen(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """A stroke: a few slow waves and one turn, of which the channels see different mixtures."""
    n = int(rng.integers(2, 5))
    speed = rng.uniform(0.25, 1.6, (n, 1))
    waves = rng.uniform(0.4, 1, (n, 1)) * np.sin(2 * np.pi * (speed * t + rng.random((n, 1))))
    turn = rng.uniform(0.4, 1) * rise(t, at := rng.uniform(0.2, 0.8), 0.05 + fine)
    return Template(np.concatenate([waves, turn[None]]), np.r_[rng.uniform(0.3, 0.7, n), at])


def walk(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """A fixed realisation of a random walk or an AR process, with bumps on it."""
    step = max(1, int(0.7 * fine * len(t) / (1 + 2 * MARGIN)))
    knots = t[::step]
    if chance(rng, 0.5):
        path = np.cumsum(rng.standard_normal(len(knots)))
    else:
        path = autoregressive(rng, (len(knots),), [rng.uniform(0.6, 0.97)])
    path = np.interp(t, knots, (path - path.mean()) / (path.std() + 1e-9))
    n = int(rng.integers(1, 4))
    at, width = rng.uniform(0.1, 0.9, (n, 1)), log_uniform(rng, 0.02, 0.1, (n, 1)) + fine
    return Template(np.vstack([path, rng.normal(0, 1.2, (n, 1)) * bump(t, at, width, width)]), np.r_[0.5, at[:, 0]])
