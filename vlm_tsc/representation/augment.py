"""Augmentation in the series' domain: a case as it might have been recorded another time."""

from __future__ import annotations

import zlib

import numpy as np
from scipy.interpolate import CubicSpline


def case_rng(seed: int, epoch: int, case_id: str, *purpose: int) -> np.random.Generator:
    """The generator of one case in one epoch: the same in every worker, on every rank, after every resume.

    Another `purpose` has another generator, so that what one draws changes nothing for the other.
    """
    entropy = [seed, epoch, zlib.crc32(case_id.encode()), *purpose]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def augment(case: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A randomly jittered, scaled, shifted, bent and time-warped copy; same shape.

    All but the noise is smooth, because pictures show first and second differences too: a kink, or noise that a plot
    of the values hides, would be the most conspicuous thing in them.

    Parameters
    ----------
    case : ndarray (n_channels, n_timepoints), float
    strength : float
        0 changes nothing. At 1 the scale changes by up to 10 % and the level by up to 5 % of the case's standard
        deviation, both again by as much along the series, slowly; time is displaced by up to 3 % of the length; and the
        noise is up to 5 % of the standard deviation, but no more than a quarter of the usual step between neighbours
        and a tenth of the usual change of that step: a smooth series stays smooth.
    """
    n_channels, n_timepoints = case.shape
    spread = case.std(axis=1, keepdims=True)
    level = case.mean(axis=1, keepdims=True)
    warped = _warp(case, 0.03 * strength, rng) if n_timepoints > 3 else case
    scale = 1 + 0.1 * strength * (rng.uniform(-1, 1, (n_channels, 1)) + _slow(n_channels, n_timepoints, rng))
    offset = 0.05 * strength * spread * (rng.uniform(-1, 1, (n_channels, 1)) + _slow(n_channels, n_timepoints, rng))
    noise = strength * rng.uniform() * _noise(case, spread) * rng.standard_normal(case.shape)
    return (warped - level) * scale + level + offset + noise


def _slow(n_channels: int, n_timepoints: int, rng: np.random.Generator) -> np.ndarray:
    """Random slow curves (n_channels, n_timepoints) within -1..1: one and a half periods at most."""
    time = np.linspace(0, np.pi, n_timepoints)
    waves = np.stack([np.cos(k * time) / k for k in (1, 2, 3)])
    return rng.uniform(-1, 1, (n_channels, 3)) @ waves / (1 + 1 / 2 + 1 / 3)


def _noise(case: np.ndarray, spread: np.ndarray) -> np.ndarray:
    most = 0.05 * spread
    for order, share in ((1, 0.25), (2, 0.1)):
        if case.shape[1] > order:
            differences = np.diff(case, n=order, axis=1)
            most = np.minimum(most, share * np.sqrt(np.mean(differences**2, axis=1, keepdims=True)))
    return most


def _warp(case: np.ndarray, displacement: float, rng: np.random.Generator) -> np.ndarray:
    """Read the case along a smoothly displaced time axis: `displacement` is the largest shift, as share of the length.

    Both ends may move, so that misalignments between cases are covered too; beyond an end the case goes on as its
    mirror image turned upside down, which keeps value and slope.
    """
    n_timepoints = case.shape[1]
    shift = displacement * (n_timepoints - 1) * (0.5 * rng.uniform(-1, 1) + 0.5 * _slow(1, n_timepoints, rng)[0])
    most = min(n_timepoints - 1, int(np.ceil(np.abs(shift).max())) + 1)
    left = 2 * case[:, :1] - case[:, most:0:-1]
    right = 2 * case[:, -1:] - case[:, -2 : -2 - most : -1]
    known = np.arange(-most, n_timepoints + most)
    return CubicSpline(known, np.concatenate([left, case, right], axis=1), axis=1)(np.arange(n_timepoints) + shift)
