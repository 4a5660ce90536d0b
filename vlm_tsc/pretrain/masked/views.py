"""TimeCLR's augmentations (Yeh et al., arXiv 2310.03916): a view of a series is the series with one of ten changes.

The ten and their strengths are those of the code that belongs to the paper. It differs in this:

- It takes series of one channel. Of several, all get the same change of time, mask, place of a spike or step, and each
  its own noise and sizes: channels are recorded together.
- It multiplies the strength of `magnitude_warping` by the series' deviation, which is 1 in its z-normalised series. A
  factor has no unit, so here it is 1 in every series.
- Its smallest part of a very short series may be empty. Here `cropping` and `add_step` keep one value at least.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import resample

from vlm_tsc.pretrain.curves import Rng


def view(points: np.ndarray, random: Rng) -> np.ndarray:
    """A changed copy of `(n_channels, n_points)`: one of CHANGES, all equally likely."""
    return CHANGES[random.integers(len(CHANGES))](points, random)


def jittering(points: np.ndarray, random: Rng) -> np.ndarray:
    """Noise of a tenth of the deviation."""
    return points + 0.1 * _spread(points) * random.standard_normal(points.shape)


def smoothing(points: np.ndarray, random: Rng) -> np.ndarray:
    """Resampled to 1 to 50 % of its points, and back."""
    n = points.shape[1]
    return _resampled(_resampled(points, int(np.ceil(n * random.uniform(0.01, 0.5)))), n)


def magnitude_warping(points: np.ndarray, random: Rng) -> np.ndarray:
    """Times a curve through 3 to n_points - 1 knots, normally distributed about 1 with a deviation of 1."""
    n = points.shape[1]
    knots = random.integers(3, max(4, n))
    sizes = 1 + random.standard_normal((len(points), knots))
    return points * CubicSpline(np.linspace(0, n, knots), sizes, axis=1)(np.arange(n))


def add_slope(points: np.ndarray, random: Rng) -> np.ndarray:
    """A straight line added: where it begins and how far it goes both have the deviation of the series."""
    begin, rise = random.standard_normal((2, len(points), 1))
    return points + _spread(points) * (begin + rise * np.arange(points.shape[1]) / points.shape[1])


def add_spike(points: np.ndarray, random: Rng) -> np.ndarray:
    """One value moved by about three deviations."""
    points = points.copy()
    points[:, random.integers(points.shape[1])] += 3 * _spread(points)[:, 0] * random.standard_normal(len(points))
    return points


def add_step(points: np.ndarray, random: Rng) -> np.ndarray:
    """A part of 10 to 100 % raised by one deviation."""
    part, points = _part(points.shape[1], random.uniform(0.1, 1), random, least=1), points.copy()
    points[:, part] += _spread(points)
    return points


def cropping(points: np.ndarray, random: Rng) -> np.ndarray:
    """A part of 10 to 100 %, stretched to the whole."""
    n = points.shape[1]
    return _resampled(points[:, _part(n, random.uniform(0.1, 1), random, least=1)], n)


def masking(points: np.ndarray, random: Rng) -> np.ndarray:
    """A part of 0 to 50 % set to the mean of the series."""
    part, points = _part(points.shape[1], random.uniform(0, 0.5), random), points.copy()
    points[:, part] = points.mean(axis=1, keepdims=True)
    return points


def shifting(points: np.ndarray, random: Rng) -> np.ndarray:
    """Moved in time, round the end, by a normally distributed way whose deviation is the length."""
    return np.roll(points, round(random.standard_normal() * points.shape[1]), axis=1)


def time_warping(points: np.ndarray, random: Rng) -> np.ndarray:
    """50 to 100 % of the points, drawn by chance, stretched to the whole."""
    n = points.shape[1]
    kept = np.sort(random.permutation(n)[: max(1, round(n * random.uniform(0.5, 1)))])
    return _resampled(points[:, kept], n)


CHANGES: tuple[Callable[[np.ndarray, Rng], np.ndarray], ...] = (
    *(jittering, smoothing, magnitude_warping, add_slope, add_spike),
    *(add_step, cropping, masking, shifting, time_warping),
)


def _resampled(points: np.ndarray, n_points: int) -> np.ndarray:
    """By Fourier series, as the paper's code does."""
    return np.asarray(resample(points, n_points, axis=1))


def _part(n_points: int, share: float, random: Rng, least: int = 0) -> slice:
    """Somewhere in the series, `share` of it long, both ends rounded."""
    start = random.uniform(0, n_points * (1 - share))
    first, end = round(start), round(start + n_points * share)
    return slice(min(first, n_points - least), max(end, first + least))


def _spread(points: np.ndarray) -> np.ndarray:
    """Deviation of each channel `(n_channels, 1)`; 1 of a constant one, as in the paper's code."""
    spread = points.std(axis=1, keepdims=True)
    return np.where(spread > 0, spread, 1.0)
