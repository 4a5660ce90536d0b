"""Template families made of events at certain times: bumps, blocks, beats, peaks."""

from __future__ import annotations

import numpy as np

from vlm_tsc.pretrain.curves import Rng, block, bump, chance, choose, log_uniform, rise
from vlm_tsc.pretrain.template import Template, with_base


def bumps(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """Two to seven bumps, pointed to flat-topped, symmetric or not, of either sign."""
    n = int(rng.integers(2, 8))
    centres = rng.permutation((np.arange(n) + rng.uniform(0.2, 0.8, n)) / n)
    width = log_uniform(rng, 0.02, 0.25, (n, 1)) + fine
    skew = np.exp(rng.uniform(-1, 1, (n, 1)))
    signs = np.where(rng.random((n, 1)) < rng.random(), -1, 1)
    peaks = bump(t, centres[:, None], width * skew, width / skew, choose(rng, (1, 2, 2, 2, 4)))
    parts = peaks * signs * rng.uniform(0.3, 1.2, (n, 1))
    return with_base(rng, t, parts, centres)


def steps(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """Blocks of a device that goes on and off, some with a start-up spike or a decay."""
    n = int(rng.integers(1, 6))
    start = (np.arange(n) + rng.uniform(0, 0.6, n)) / n
    length = log_uniform(rng, 0.15, 1.0, n) / n
    edge = (0.3 * fine if chance(rng, 0.6) else log_uniform(rng, 0.01, 0.06)) * np.ones((n, 1))
    level = choose(rng, (np.ones(n), rng.uniform(0.3, 1.5, n), rng.choice([0.5, 1.0, 1.5], n)))
    blocks = level[:, None] * block(t, start[:, None], (start + length)[:, None], edge)
    if chance(rng, 0.4):
        blocks = blocks * (
            1 + rng.uniform(0.2, 1.5) * np.exp(-np.maximum(t - start[:, None], 0) / log_uniform(rng, 0.01, 0.2))
        )
    parts, centres = blocks, start + length / 2
    if chance(rng, 0.4):
        spike = rng.uniform(0.3, 1.5) * bump(t, start[0] + fine, 0.6 * fine, 0.02 + fine)
        parts, centres = np.vstack([parts, spike]), np.r_[centres, start[0]]
    return with_base(rng, t, parts, centres, 0.2)


def spikes(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """Sparse narrow spikes, some with a tail, on a slow curve."""
    n = int(rng.integers(2, 10))
    centres = rng.uniform(0.04, 0.96, n)
    left = log_uniform(rng, 0.6 * fine, 0.012 + fine)
    right = left * choose(rng, (1, 1, 4))
    parts = rng.uniform(0.4, 1.5, (n, 1)) * bump(t, centres[:, None], left, right, choose(rng, (1, 2)))
    return with_base(rng, t, parts * (-1 if chance(rng, 0.2) else 1), centres, 1.0)


_WAVES = np.array([[-0.2, 0.03, 0.15], [-0.04, 0.012, -0.15], [0, 0.014, 1.0], [0.04, 0.015, -0.3], [0.27, 0.06, 0.35]])


def heartbeats(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """One to four beats, each the sum of P, Q, R, S and T waves with random times, widths and heights."""
    n_beats = choose(rng, (1, 1, 1, 2, 2, 3, 4)) if fine < 1 / 40 else 1
    period = rng.uniform(0.75, 1.3) / n_beats
    offset, width, height = (_WAVES * np.exp(rng.normal(0, 0.35, (5, 3)))).T
    starts = rng.uniform(0.25, 0.5) / n_beats + np.arange(n_beats) * period * (1 + rng.normal(0, 0.03, n_beats))
    centres = (starts[:, None] + offset * period).ravel()
    width = np.maximum(np.tile(width * period, n_beats), 0.7 * fine)[:, None]
    tail = np.exp(rng.normal(0, 0.3))
    height = np.tile(height, n_beats) * choose(rng, (1, 1, 1, -1)) * np.exp(rng.normal(0, 0.05, 5 * n_beats))
    parts = height[:, None] * bump(t, centres[:, None], width * tail, width / tail)
    waves = [list(range(w, 5 * n_beats, 5)) for w in range(5)]
    beats = [list(range(5 * b, 5 * b + 5)) for b in range(n_beats)] if n_beats > 1 else []
    template = with_base(rng, t, parts, centres, 0.4)
    template.groups = waves + beats
    return template


def outline(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """Distance from the centre along the outline of a random shape: periodic, with lobes and notches."""
    lobes = int(rng.integers(2, 9))
    angle = 2 * np.pi * (t + rng.random())
    power = log_uniform(rng, 0.4, 3)
    body = (
        np.abs(np.cos(lobes * angle / 4)) ** rng.uniform(1, 5) + np.abs(np.sin(lobes * angle / 4)) ** rng.uniform(1, 5)
    ) ** (-1 / power)
    order = np.arange(1, int(rng.integers(2, 6)) + 1)[:, None]
    waves = rng.normal(0, 0.3, order.shape) / order**0.5 * np.sin(order * angle + 2 * np.pi * rng.random(order.shape))
    n = int(rng.integers(1, 4))
    at, width = rng.random((n, 1)), log_uniform(rng, 0.01, 0.06, (n, 1)) + fine
    around = (t - at + 0.5) % 1 - 0.5
    notches = rng.normal(0, 0.4, (n, 1)) * bump(around, 0, width, width)
    body = rng.uniform(0.3, 1.5) * (body - body.mean()) / (body.std() + 1e-9) * 0.3
    return Template(np.concatenate([body[None], waves, notches]), np.r_[0.5, np.full(len(order), 0.5), at[:, 0]])


def spectrum(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """Narrow and wide peaks on a smooth baseline, as in spectroscopy."""
    n = int(rng.integers(5, 12))
    centres = np.sort(rng.uniform(0.02, 0.98, n))
    width = log_uniform(rng, 0.008, 0.12, (n, 1)) + 0.7 * fine
    parts = log_uniform(rng, 0.1, 1.2, (n, 1)) * bump(t, centres[:, None], width, width, choose(rng, (1.3, 2)))
    return with_base(rng, t, parts, centres, 1.5)


def motion(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """A limb that rests, rises, holds and goes back, with overshoot, dip and tremor."""
    up, down = rng.uniform(0.1, 0.4), rng.uniform(0.55, 0.9)
    edge = log_uniform(rng, 0.03, 0.12)
    hold = block(t, up, down, edge)
    spots = np.array(
        [up + edge * rng.uniform(0.8, 2), down - edge * rng.uniform(0.8, 2), up - 2 * edge, down + 2.2 * edge]
    )
    extra = rng.normal(0, 0.2, (4, 1)) * bump(t, spots[:, None], 0.6 * edge + fine, 0.6 * edge + fine)
    slope = rng.normal(0, 0.3) * (t - 0.5) * hold
    parts = np.concatenate([hold[None], extra, slope[None]])
    return Template(parts, np.r_[(up + down) / 2, spots, 0.5], [[0], [1], [2], [3], [4], [1, 3], [2, 4], [5]])


def daily(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """A daily load: a night valley, morning and evening peaks, a noon dip."""
    centres = np.array([0.15, 0.36, 0.54, 0.8]) + rng.normal(0, 0.03, 4)
    width = np.array([0.13, 0.09, 0.08, 0.1])[:, None] * np.exp(rng.normal(0, 0.25, (4, 1))) + 0.3 * fine
    height = np.array([-1.0, 0.8, -0.3, 1.1])[:, None] * np.exp(rng.normal(0, 0.4, (4, 1)))
    return with_base(rng, t, height * bump(t, centres[:, None], width, width), centres, 0.4)


def transient(rng: Rng, t: np.ndarray, fine: float) -> Template:
    """A level that steps at an onset and rings down, as sensors do when a plant is started."""
    at, damping = rng.uniform(0.15, 0.6), log_uniform(rng, 0.04, 0.3)
    after = np.maximum(t - at, 0)
    ringing = np.sin(2 * np.pi * after * log_uniform(rng, 2, min(14, 0.2 / fine) + 2)) * np.exp(-after / damping)
    second = rng.uniform(at + 0.1, 0.95)
    parts = np.array([
        rng.uniform(0.5, 1.5) * rise(t, at, log_uniform(rng, 0.005, 0.05) + 0.3 * fine),
        rng.uniform(0.2, 1.2) * ringing,
        rng.normal(0, 0.7) * rise(t, second, log_uniform(rng, 0.01, 0.1) + 0.3 * fine),
        rng.normal(0, 0.5) * bump(t, at * 0.6, 0.04 + fine, 0.04 + fine),
    ])  # fmt: skip
    return Template(parts, np.array([at, at, second, at * 0.6]))
