"""Augmentation in the series' domain: a case as it might have been recorded another time."""

from __future__ import annotations

import zlib

import numpy as np


def case_rng(seed: int, epoch: int, case_id: str) -> np.random.Generator:
    """The generator of one case in one epoch: the same in every worker, on every rank, after every resume."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, zlib.crc32(case_id.encode())])))


def augment(case: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A randomly jittered, scaled, shifted and time-warped copy; same shape.

    Parameters
    ----------
    case : ndarray (n_channels, n_timepoints), float
    strength : float
        0 changes nothing; at 1 the scale changes by up to 10 % and the level by up to 5 % of the case's standard
        deviation, time is displaced by up to 3 % of the length, and the noise is up to 5 % of the standard deviation,
        but no more than a quarter of the usual step between neighbours: a smooth series stays smooth.
    """
    n_channels, n_timepoints = case.shape
    spread = case.std(axis=1, keepdims=True)
    level = case.mean(axis=1, keepdims=True)
    warped = _warp(case, 0.03 * strength, rng) if n_timepoints > 3 else case
    scale = 1 + 0.1 * strength * rng.uniform(-1, 1, (n_channels, 1))
    offset = 0.05 * strength * spread * rng.uniform(-1, 1, (n_channels, 1))
    noise = strength * rng.uniform() * _noise(case, spread) * rng.standard_normal(case.shape)
    return (warped - level) * scale + level + offset + noise


def _noise(case: np.ndarray, spread: np.ndarray) -> np.ndarray:
    if case.shape[1] < 2:
        return 0.05 * spread
    step = np.sqrt(np.mean(np.diff(case, axis=1) ** 2, axis=1, keepdims=True))
    return np.minimum(0.05 * spread, 0.25 * step)


def _warp(case: np.ndarray, displacement: float, rng: np.random.Generator) -> np.ndarray:
    """Read the case along a smoothly displaced time axis: `displacement` is the largest shift, as share of the length.

    Four knots keep the warp smooth; both ends may move, so that small misalignments between cases are covered too.
    """
    n_timepoints = case.shape[1]
    time = np.linspace(0, 1, n_timepoints)
    knots = rng.uniform(-displacement, displacement, 4)
    moved = time + np.interp(time, np.linspace(0, 1, 4), knots)
    return np.stack([np.interp(moved, time, channel) for channel in case])
