"""Random views of a series for contrast: what may change without its becoming another series (TimeCLR's list)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlm_tsc.pretrain.curves import Rng, smooth

MOST = 3  # changes of one view


def view(points: np.ndarray, random: Rng) -> np.ndarray:
    """A changed copy of `(n_channels, n_points)`: one to three of CHANGES, in random order."""
    chosen = random.permutation(len(CHANGES))[: random.integers(1, MOST + 1)]
    for i in chosen:
        points = CHANGES[i](points, random)
    return points


def jitter(points: np.ndarray, random: Rng) -> np.ndarray:
    """Noise."""
    return points + _spread(points) * random.uniform(0, 0.2) * random.standard_normal(points.shape)


def smoothing(points: np.ndarray, random: Rng) -> np.ndarray:
    """A moving average over up to a twentieth of the series."""
    size = 1 + 2 * int(random.integers(1, max(2, points.shape[1] // 40)))
    padded = np.pad(points, ((0, 0), (size // 2, size // 2)), mode="edge")
    sums = np.concatenate([np.zeros((len(points), 1)), padded.cumsum(1)], axis=1)
    return (sums[:, size:] - sums[:, :-size]) / size


def scaling(points: np.ndarray, random: Rng) -> np.ndarray:
    """Another size."""
    return points * np.exp(random.normal(0, 0.2, (len(points), 1)))


def magnitude_warping(points: np.ndarray, random: Rng) -> np.ndarray:
    """A size that changes slowly."""
    return points * (1 + 0.2 * smooth(random, (len(points),), _time(points), 4))


def time_warping(points: np.ndarray, random: Rng) -> np.ndarray:
    """Read along a clock that runs unevenly."""
    time = _time(points)
    moved = time + 0.03 * smooth(random, (1,), time, 4)[0]
    return np.stack([np.interp(moved, time, row) for row in points])


def shifting(points: np.ndarray, random: Rng) -> np.ndarray:
    """Moved in time by up to a tenth, round the end."""
    most = max(1, points.shape[1] // 10)
    return np.roll(points, int(random.integers(-most, most + 1)), axis=1)


def slope(points: np.ndarray, random: Rng) -> np.ndarray:
    """A straight line added."""
    return points + _spread(points) * random.normal(0, 0.3, (len(points), 1)) * (2 * _time(points) - 1)


def step(points: np.ndarray, random: Rng) -> np.ndarray:
    """A level that changes at some time."""
    return points + _spread(points) * random.normal(0, 0.3) * (_time(points) > random.random())


def spike(points: np.ndarray, random: Rng) -> np.ndarray:
    """One value far off."""
    points = points.copy()
    points[:, random.integers(points.shape[1])] += _spread(points)[:, 0] * random.normal(0, 2)
    return points


CHANGES: tuple[Callable[[np.ndarray, Rng], np.ndarray], ...] = (
    *(jitter, smoothing, scaling, magnitude_warping, time_warping),
    *(shifting, slope, step, spike),
)


def _time(points: np.ndarray) -> np.ndarray:
    return np.linspace(0, 1, points.shape[1])


def _spread(points: np.ndarray) -> np.ndarray:
    return points.std(axis=1, keepdims=True)
