"""Fewer points of a series, for its values in the prompt. All channels of a case share one time grid."""

from __future__ import annotations

import numpy as np

from vlm_tsc.errors import InputError, nearest


def n_points(n_timepoints: int, factor: int) -> int:
    """Points left of `n_timepoints`: `ceil(n_timepoints / factor)`, but at least 2 where there are 2."""
    return max(-(-n_timepoints // factor), min(n_timepoints, 2))


def downsample(case: np.ndarray, factor: int, method: str = "mean") -> np.ndarray:
    """Keep about one point in `factor`.

    Parameters
    ----------
    case : ndarray (n_channels, n_timepoints), float
    factor : int
        At least 1, which changes nothing.
    method : {"mean", "adaptive", "lttb", "none"}
        "mean": means of blocks of `factor` points, the last block may be shorter.
        "adaptive": see `adaptive_indices`. "lttb": see `lttb_indices`. "none": refuses every factor but 1.

    Returns
    -------
    ndarray (n_channels, n_points(n_timepoints, factor)), float64

    Raises
    ------
    InputError
        For an unknown method, or a factor that is below 1 or contradicts "none".
    """
    if method not in METHODS:
        close = nearest(method, METHODS, n=1)
        fix = f"did you mean {close[0]}?" if close else None
        raise InputError("Unknown downsampling.", where="--downsampling", got=method, allowed=METHODS, fix=fix)
    if factor < 1:
        raise InputError("Impossible downsampling factor.", where="--downsample", got=factor, allowed="1, 2, 3, …")
    case = np.asarray(case, dtype=np.float64)
    if factor == 1 or case.shape[1] < 2:
        return case
    if method == "none":
        raise InputError(f"A factor of {factor} contradicts no downsampling.", where="--downsampling", got="none")
    if method == "mean":
        return _block_means(case, factor)
    chosen = adaptive_indices if method == "adaptive" else lttb_indices
    return case[:, chosen(case, n_points(case.shape[1], factor))]


METHODS = ("mean", "adaptive", "lttb", "none")


def _block_means(case: np.ndarray, factor: int) -> np.ndarray:
    n_timepoints = case.shape[1]
    size = factor if factor < n_timepoints else -(-n_timepoints // 2)  # one block would leave one point
    starts = np.arange(0, n_timepoints, size)
    return np.add.reduceat(case, starts, axis=1) / np.diff(starts, append=n_timepoints)


def adaptive_indices(case: np.ndarray, n_kept: int) -> np.ndarray:
    """Time indices that are dense where the series moves.

    Every step from one point to the next costs half its share of the time and half its share of the movement, which is
    the absolute difference, averaged over channels of equal total movement. The kept points lie at equal cost from each
    other: a steep passage gets more of them, a level one never none, and a constant series a uniform grid.

    Parameters
    ----------
    case : ndarray (n_channels, n_timepoints), n_timepoints >= 2
    n_kept : int
        From 2 to n_timepoints.

    Returns
    -------
    ndarray (n_kept,), int
        Strictly increasing; the first is 0 and the last n_timepoints - 1.
    """
    n_timepoints = case.shape[1]
    largest = np.abs(case).max(axis=1, keepdims=True)
    moves = np.abs(np.diff(case / np.where(largest > 0, largest, 1.0), axis=1))  # scaled: huge values cannot overflow
    totals = moves.sum(axis=1, keepdims=True)
    shares = (moves / np.where(totals > 0, totals, 1.0)).mean(axis=0)
    cost = np.concatenate([[0.0], np.cumsum(shares + 1 / (n_timepoints - 1))])
    order = np.arange(n_kept)
    indices = np.searchsorted(cost, np.linspace(0.0, cost[-1], n_kept) - 1e-12)
    indices = np.maximum.accumulate(indices - order) + order  # no index twice
    return np.minimum(indices, n_timepoints - n_kept + order)  # and room for those that follow


def lttb_indices(case: np.ndarray, n_kept: int) -> np.ndarray:
    """Time indices chosen by largest triangle three buckets (Steinarsson 2013), which keeps a plot's shape.

    One channel is judged as it is. Of several, the mean absolute z-score is: one shared grid is easier to read than a
    grid per channel, an extreme of any channel counts whatever its unit and sign, and opposite extremes do not cancel.

    Parameters and result as in `adaptive_indices`.
    """
    n_timepoints = case.shape[1]
    if n_kept < 3:  # the library wants three; two are the end points
        return np.array([0, n_timepoints - 1])
    from tsdownsample import LTTBDownsampler  # not needed by what is drawn alone, and not everywhere

    judged = case[0] if len(case) == 1 else np.abs(_z_scores(case)).mean(axis=0)
    return LTTBDownsampler().downsample(np.ascontiguousarray(judged), n_out=n_kept).astype(np.int64)


def _z_scores(case: np.ndarray) -> np.ndarray:
    deviation = case.std(axis=1, keepdims=True)
    return (case - case.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)
