"""Families without a shared template: every case is a fresh draw, and the classes differ in a parameter.

Every function takes the random generator, `v` `(n_cases,)` (the class's value, of spread about 1 and mean near 0), the
number of channels and time points, and returns `(n_cases, n_channels, n_timepoints)`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlm_tsc.pretrain.curves import Rng, autoregressive, block, bump, chance, choose, log_uniform, skewed_wave, smooth


def _time(n_timepoints: int) -> np.ndarray:
    return np.linspace(0, 1, n_timepoints)


def _cycles(rng: Rng, m: int) -> float:
    return log_uniform(rng, 1.5, min(16, m / 10) + 1.6)


def _phase(rng: Rng, v: np.ndarray, c: int, loose: float = 1.0) -> np.ndarray:
    """Random phases per case; channels keep a fixed lag."""
    return loose * rng.random((len(v), 1, 1)) + rng.random((1, c, 1)) * 0.5


def frequency(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """The frequency of a wave of one random waveform."""
    rate = _cycles(rng, m) * np.exp(0.45 * v)[:, None, None]
    phase = rate * _time(m) + _phase(rng, v, c)
    sharp = rng.uniform(0.5, 4)
    return np.tanh(sharp * (np.sin(2 * np.pi * phase) + rng.normal(0, 0.4) * np.sin(4 * np.pi * phase)))


def waveform(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """The asymmetry (rise against fall) or the flatness of a wave at a random phase."""
    phase = _cycles(rng, m) * np.exp(rng.normal(0, 0.05, (len(v), 1, 1))) * _time(m) + _phase(rng, v, c)
    if chance(rng, 0.6):
        return skewed_wave(phase, np.clip(0.5 + 0.45 * v, 0.06, 0.94)[:, None, None])
    wave = np.sin(2 * np.pi * phase)
    return np.sign(wave) * np.abs(wave) ** np.exp(1.2 * v)[:, None, None]


def harmonic(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """The strength or the phase of the second or third harmonic."""
    phase = _cycles(rng, m) * _time(m) + _phase(rng, v, c)
    k, strength, lag = int(rng.integers(2, 4)), 0.5, 0.0
    if chance(rng, 0.5):
        strength = np.clip(0.5 + 0.5 * v, 0, None)[:, None, None]
    else:
        lag = 0.25 * v[:, None, None]
    return np.sin(2 * np.pi * phase) + strength * np.sin(2 * np.pi * (k * phase + lag))


def ar(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """AR(1) or AR(2) coefficients."""
    out = np.empty((len(v), c, m))
    radius, angle = rng.uniform(0.6, 0.97), rng.uniform(0.1, 1.6)
    kind = int(rng.integers(3))
    for value in np.unique(v):
        rows = np.flatnonzero(v == value)
        r = np.clip(radius + (0.25 * value if kind == 1 else 0), 0, 0.985)
        a = angle * np.exp(0.5 * value if kind == 2 else 0)
        phi = [np.clip(0.5 + 0.5 * value, -0.9, 0.97)] if kind == 0 else [2 * r * np.cos(a), -r * r]
        out[rows] = autoregressive(rng, (len(rows), c, m), phi)
    return out


def spectral_slope(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """The roughness of power-law noise."""
    size = 2 * m
    f = np.arange(1, size // 2 + 2)
    slope = rng.uniform(0.6, 1.6) + 0.6 * v
    noise = rng.standard_normal((len(v), c, len(f))) + 1j * rng.standard_normal((len(v), c, len(f)))
    series = np.fft.irfft(noise * f ** -np.maximum(slope, 0)[:, None, None], size)[..., :m]
    return series / (series.std(-1, keepdims=True) + 1e-9)


def length_scale(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """How fast smooth curves vary."""
    out = np.empty((len(v), c, m))
    knots = log_uniform(rng, 4, min(40, m / 6) + 4)
    for value in np.unique(v):
        rows = np.flatnonzero(v == value)
        out[rows] = smooth(rng, (len(rows), c), _time(m), max(2, round(knots * np.exp(0.6 * value))))
    return out


def _slots(rng: Rng, n: int, k: int) -> np.ndarray:
    """`(n, k)` ordered random times, apart from each other."""
    return (np.arange(k) + rng.uniform(0.15, 0.85, (n, k))) / k


def _per_channel(x: np.ndarray, rng: Rng, c: int) -> np.ndarray:
    """`(n, m)` seen by `c` channels with random weights."""
    weights = np.where(np.arange(c) == 0, 1.0, rng.normal(0, 0.8, c))
    return x[:, None, :] * weights[:, None]


def count(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """The number of events at random times."""
    ranks = np.unique(v, return_inverse=True)[1]
    n = int(rng.integers(1, 4)) + ranks * int(rng.integers(1, 3))
    k = int(n.max())
    times = _slots(rng, len(v), k) if chance(rng, 0.7) else rng.uniform(0.03, 0.97, (len(v), k))
    keep = np.argsort(rng.random((len(v), k)), 1) < n[:, None]
    width = log_uniform(rng, 0.01, 0.12 / k + 0.011) + 0.8 / m
    events = bump(_time(m), times[..., None], width, width * choose(rng, (1, 1, 2)), choose(rng, (1, 2, 6)))
    return _per_channel(np.einsum("nk,nkm->nm", keep * rng.uniform(0.7, 1.3, keep.shape), events), rng, c)


def _event(kind: int, t: np.ndarray, centre: np.ndarray, width: np.ndarray) -> np.ndarray:
    inner = (t - centre) / width
    box = (np.abs(inner) <= 1).astype(float)
    return (
        box,
        box * (1 + inner) / 1.4,
        box * (1 - inner) / 1.4,
        bump(inner, 0, 0.5, 0.5),
        box * np.sin(2 * np.pi * inner),
    )[kind]


def event_shape(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """The shape of one event at a random time and of random length (box, ramps, bell, wave)."""
    ranks = np.unique(v, return_inverse=True)[1]
    kinds = rng.permutation(5)[ranks]
    width = rng.uniform(0.12, 0.3, (len(v), 1)) * np.ones((1, 1))
    centre = rng.uniform(0.3, 0.7, (len(v), 1))
    t = _time(m)[None]
    shapes = np.stack([_event(k, t, centre, width) for k in range(5)])
    return _per_channel(shapes[kinds, np.arange(len(v))] * rng.uniform(0.8, 1.2, (len(v), 1)), rng, c)


def event_order(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """The order of two or three different events at random times."""
    ranks = np.unique(v, return_inverse=True)[1]
    orders = rng.permutation(np.array([[0, 1, 2], [1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0]]))[ranks]
    kinds = rng.permutation(5)[:3]
    slots, t = _slots(rng, len(v), 3), _time(m)[None]
    width = np.full((len(v), 1), log_uniform(rng, 0.05, 0.11))
    shapes = np.stack([[_event(int(kind), t, slots[:, [s]], width) for s in range(3)] for kind in kinds])
    chosen = shapes[orders, np.arange(3)[None], np.arange(len(v))[:, None]]
    return _per_channel(chosen.sum(1) * choose(rng, (-1, 1)), rng, c)


def duty(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """How long, or how high, a device is on at random times."""
    k = int(rng.integers(1, 5))
    starts = (np.arange(k) + rng.uniform(0, 0.45, (len(v), k))) / k
    length, height = np.full((len(v), 1), 0.3 / k), np.ones((len(v), k))
    kind = int(rng.integers(3))
    if kind == 0:
        length = length * np.exp(0.5 * v)[:, None]
    elif kind == 1:
        height[:, 0] += 0.7 * (v - v.min())
    decay = log_uniform(rng, 0.02, 0.2) * np.exp((1.0 if kind == 2 else 0) * v)[:, None, None]
    t = _time(m)
    blocks = block(t, starts[..., None], (starts + length * rng.uniform(0.9, 1.1, (len(v), k)))[..., None], 0.5 / m)
    tail = np.exp(-np.maximum(t - starts[..., None], 0) / decay) * (1.2 if kind == 2 else choose(rng, (0, 0.6)))
    return _per_channel((height[..., None] * blocks * (1 + tail)).sum(1), rng, c)


def volatility(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """Noise whose spread changes: by how much, when, or for how long."""
    t, base = _time(m), autoregressive(rng, (len(v), c, m), [rng.uniform(-0.3, 0.8)])
    at, width, gain = rng.uniform(0.3, 0.7) + rng.normal(0, 0.03, len(v)), np.full(len(v), 0.15), np.full(len(v), 2.0)
    kind = int(rng.integers(3))
    if kind == 0:
        at = at + 0.25 * v
    elif kind == 1:
        width = width * np.exp(0.8 * v)
    else:
        gain = gain * np.exp(0.8 * v)
    return base * (1 + (gain[:, None] * bump(t, at[:, None], width[:, None], width[:, None], 4))[:, None, :])


def switching(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """How often a two-state process switches; the states differ in level or in roughness."""
    rate = log_uniform(rng, 3, min(12, m / 8) + 3) * np.exp(0.6 * v) / m
    state = np.cumsum(rng.random((len(v), m)) < rate[:, None], 1) % 2
    texture = autoregressive(rng, (len(v), c, m), [rng.uniform(0, 0.7)])
    if chance(rng, 0.5):
        return 2.0 * state[:, None] + rng.uniform(0.1, 0.5) * texture
    return texture * np.where(state[:, None] == 1, 1.0, 0.15)


def change_point(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """When a stream changes its level, slope or frequency."""
    t = _time(m)
    at = (0.5 + 0.3 * v + rng.normal(0, 0.03, len(v)))[:, None, None]
    after = np.maximum(t - at, 0)
    kind = int(rng.integers(3))
    noise = autoregressive(rng, (len(v), c, m), [rng.uniform(0, 0.7)])
    if kind == 0:
        return 2.5 * (after > 0) + noise * rng.uniform(0.2, 0.8)
    if kind == 1:
        return 8 * after * choose(rng, (-1, 1)) + noise * rng.uniform(0.1, 0.5)
    return np.sin(2 * np.pi * (_phase(rng, v, c) + _cycles(rng, m) * (0.5 * t + after))) + noise * rng.uniform(
        0.02, 0.3
    )


def chirp_rate(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """How a frequency changes over time, at a random phase."""
    t = _time(m)
    rate = _cycles(rng, m) * (t + 0.8 * v[:, None, None] * (t * t - t))
    return np.sin(2 * np.pi * (rate + _phase(rng, v, c)))


def modulation(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """The depth or the rate of an amplitude modulation."""
    t, slow = _time(m), rng.uniform(1, 3)
    depth = np.full(len(v), 0.6)
    if chance(rng, 0.5):
        depth = np.clip(0.5 + 0.6 * v, 0, 1.2)
    else:
        slow = slow * np.exp(0.6 * v)
    envelope = 1 + depth[:, None] * np.sin(2 * np.pi * (np.multiply.outer(slow, t) + rng.random((len(v), 1))))
    return envelope[:, None] * np.sin(2 * np.pi * (min(24, m / 8) * t + _phase(rng, v, c)))


def pulse_train(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """The rate, the regularity, or the alternation in height of a train of pulses."""
    k = int(min(12, m / 9)) + 2
    kind = int(rng.integers(3))
    jitter = 0.02 + (0.35 * (v - v.min()) if kind == 1 else 0 * v)
    gaps = np.maximum(1 + jitter[:, None] * rng.standard_normal((len(v), 2 * k)), 0.15)
    rate = k * 0.7 * np.exp(0.4 * v if kind == 0 else 0 * v)
    times = (np.cumsum(gaps, 1) - rng.random((len(v), 1))) / rate[:, None]
    height = 1 - (0.5 * (v - v.min()) if kind == 2 else 0 * v)[:, None] * (np.arange(2 * k) % 2)
    width = 0.12 / k + 0.6 / m
    pulses = bump(_time(m), times[..., None], width, width * choose(rng, (1, 2.5)), choose(rng, (1, 2)))
    return _per_channel(np.einsum("nk,nkm->nm", height, pulses), rng, c)


def coupling(rng: Rng, v: np.ndarray, c: int, m: int) -> np.ndarray:
    """How channels hang together: their lag, or the sign and strength of their correlation (one channel: an echo)."""
    lag_limit = max(2, int(0.25 * m))
    t = np.linspace(0, 1, m + 2 * lag_limit)
    source = smooth(rng, (len(v),), t, int(log_uniform(rng, 8, min(40, m / 6) + 8)))
    own = smooth(rng, (len(v), c), t[:m], int(log_uniform(rng, 4, min(40, m / 6) + 4)))
    by_lag = chance(rng, 0.5) or c == 1
    lags = np.rint((0.5 + 0.6 * v if by_lag else 0 * v + 0.1) * 0.5 * lag_limit).astype(int).clip(0, 2 * lag_limit - 1)
    lagged = source[np.arange(len(v))[:, None], lag_limit - lags.clip(max=lag_limit)[:, None] + np.arange(m)]
    strength = np.ones(len(v)) if by_lag else np.clip(1.6 * v, -1, 1)
    out = 0.3 * own
    out[:, 0] += source[:, lag_limit : lag_limit + m]
    out[:, -1] += strength[:, None] * lagged * (0.8 if c == 1 else 1)
    return out


FAMILIES: dict[str, Callable[[Rng, np.ndarray, int, int], np.ndarray]] = {
    "frequency": frequency, "waveform": waveform, "harmonic": harmonic, "ar": ar, "spectral_slope": spectral_slope,
    "length_scale": length_scale, "count": count, "event_shape": event_shape, "event_order": event_order, "duty": duty,
    "volatility": volatility, "switching": switching, "change_point": change_point, "chirp_rate": chirp_rate,
    "modulation": modulation, "pulse_train": pulse_train, "coupling": coupling,
}  # fmt: skip
