"""Class rules: sparse edits of a shared template, from gross to subtle, that tell the classes of an episode apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlm_tsc.pretrain.curves import Rng, bump, chance, choose, log_uniform, rise, smooth
from vlm_tsc.pretrain.plan import Plan

# Every edit takes the plan, the classes' coefficients `v` (n_classes,), of spread about 1, and `ease` in 0..1.
Edit = Callable[[Plan, Rng, np.ndarray, float], None]


def _size(ease: float, subtle: float, gross: float) -> float:
    return subtle * (gross / subtle) ** ease


def _group(plan: Plan, rng: Rng) -> list[int]:
    group = choose(rng, plan.groups)
    plan.steady[group] *= 0.4
    return group


def scale(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """Another height of a part: peak ratios, step levels, the strength of a harmonic."""
    group, mask = _group(plan, rng), plan.some_channels(rng)
    plan.amplitude[:, :, group] *= 1 + (_size(ease, 0.25, 1.1) * v[:, None] * mask)[:, :, None]


def remove(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """A part is missing (a beat, a peak, a block)."""
    group = _group(plan, rng)
    plan.amplitude[np.ix_(v > v.min(), range(plan.amplitude.shape[1]), group)] *= 0.0 if ease > 0.3 else 0.4


def invert(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """A part with its sign turned; in one channel of several, the sign of their correlation."""
    group, mask = _group(plan, rng), plan.some_channels(rng) > 0
    plan.amplitude[np.ix_(v > v.min(), mask, np.array(group))] *= -1


def shift(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """A part at another time, or with another phase; in one channel of several, another delay between them."""
    group, mask = _group(plan, rng), plan.some_channels(rng)
    plan.shift[:, :, group] += (_size(ease, 0.02, 0.14) * v[:, None] * mask)[:, :, None]


def widen(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """A part wider or narrower: plateau lengths, peak widths, the frequency of a wave."""
    group = _group(plan, rng)
    plan.stretch[:, :, group] += (_size(ease, 0.12, 0.8) * v)[:, None, None]


def reverse(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """A new asymmetric motif that runs forwards or backwards."""
    centre, width = rng.uniform(0.15, 0.85), log_uniform(rng, 0.03, 0.15)
    skew = _size(ease, 1.6, 5)
    wave = _motif(plan.t, centre, width * skew / (1 + skew) * 2, width / (1 + skew) * 2, int(rng.integers(4)))
    new = _put(plan, rng, wave[None], centre, np.ones_like(v), _size(ease, 0.9, 2))
    plan.flip[np.ix_(v > v.min(), new)] = -1


def swap(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """Two motifs in the other order."""
    first, second = np.sort(rng.uniform(0.15, 0.85, 2)) + np.array([-0.06, 0.06])
    width = log_uniform(rng, 0.02, 0.08)
    kinds = rng.permutation(4)[:2]
    height = _size(ease, 0.7, 2)
    for kind, here, there in ((kinds[0], first, second), (kinds[1], second, first)):
        new = _put(
            plan,
            rng,
            _motif(plan.t, here, width, width, int(kind))[None],
            here,
            np.ones_like(v),
            height,
            all_channels=True,
        )
        plan.shift[np.ix_(v > v.min(), range(plan.shift.shape[1]), new)] += there - here


def _motif(t: np.ndarray, centre: float, left: float, right: float, kind: int) -> np.ndarray:
    if kind == 0:
        return bump(t, centre, left, right, 2)
    if kind == 1:
        return -bump(t, centre, left, right, 1)
    if kind == 2:
        return bump(t, centre, left, right, 6)
    return 1.6 * (t - centre) / (left + right) * 2 * bump(t, centre, left, right, 2)


def _put(
    plan: Plan, rng: Rng, parts: np.ndarray, centre: float, v: np.ndarray, height: float, all_channels: bool = False
) -> list[int]:
    mask = np.ones(plan.amplitude.shape[1]) if all_channels else plan.some_channels(rng)
    sign = choose(rng, (-1, 1))
    return plan.add(parts, centre, np.repeat((sign * height * v[:, None] * mask)[:, :, None], len(parts), 2))


def add_bump(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """A new bump that some classes have, or have higher."""
    centre, width = rng.uniform(0.08, 0.92), log_uniform(rng, 0.015, 0.15)
    wave = _motif(plan.t, centre, width, width * np.exp(rng.normal(0, 0.4)), int(rng.integers(4)))
    _put(plan, rng, wave[None], centre, v - v.min() if chance(rng, 0.6) else v, _size(ease, 0.35, 1.5))


def place_bump(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """A new bump whose place tells the class."""
    centre, width = rng.uniform(0.2, 0.8), log_uniform(rng, 0.02, 0.1)
    new = _put(
        plan,
        rng,
        _motif(plan.t, centre, width, width, int(rng.integers(4)))[None],
        centre,
        np.ones_like(v),
        _size(ease, 0.7, 2),
    )
    plan.shift[:, :, new] += (_size(ease, 0.03, 0.2) * v)[:, None, None]


def slope(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """Another slope from some time on, or between two times."""
    first, second = np.sort(rng.uniform(-0.1, 1.0, 2))
    ramp = np.clip(plan.t, first, second + 0.15) - first
    _put(plan, rng, (ramp / (second + 0.15 - first))[None], 0.5, v, _size(ease, 0.35, 1.6))


def level(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """A step of another height, or at another time."""
    at = rng.uniform(0.15, 0.85)
    wave = rise(plan.t, at, log_uniform(rng, 0.005, 0.06))[None]
    if chance(rng, 0.5):
        _put(plan, rng, wave, at, v, _size(ease, 0.35, 1.6))
    else:
        new = _put(plan, rng, wave, at, np.ones_like(v), _size(ease, 0.6, 1.5))
        plan.shift[:, :, new] += (_size(ease, 0.03, 0.2) * v)[:, None, None]


def roughen(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """A stretch that is rougher (or ripples more) in some classes."""
    centre, width = rng.uniform(0.15, 0.85), log_uniform(rng, 0.06, 0.4)
    if chance(rng, 0.5):
        texture = smooth(rng, (), plan.t, int(log_uniform(rng, 20, 120)))
    else:
        texture = np.sin(2 * np.pi * plan.t * log_uniform(rng, 6, 40) + rng.random())
    _put(plan, rng, (texture * bump(plan.t, centre, width, width, 4))[None], centre, v - v.min(), _size(ease, 0.2, 0.7))


def shape(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """A motif at the same place with another shape in every class."""
    centre, width = rng.uniform(0.12, 0.88), log_uniform(rng, 0.04, 0.15)
    skews = np.exp(rng.permutation(np.linspace(-1, 1, len(v))) * _size(ease, 0.35, 1.0))
    powers = rng.permutation(np.linspace(1, 5, len(v))) if chance(rng, 0.5) else np.full(len(v), 2.0)
    waves = bump(plan.t, centre, (width * skews)[:, None], (width / skews)[:, None], powers[:, None])
    height = _size(ease, 0.8, 2) * choose(rng, (-1, 1))
    plan.add(waves, centre, height * np.eye(len(v))[:, None, :] * plan.some_channels(rng)[None, :, None])


def blend(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """The whole shape goes some way towards another one."""
    other = smooth(rng, (plan.amplitude.shape[1],), plan.t, int(rng.integers(3, 16)))
    share = _size(ease, 0.15, 0.8) * (v - v.min())
    plan.amplitude *= (1 - np.minimum(share, 0.9) * 0.6)[:, None, None]
    plan.add(other, 0.5, share[:, None, None] * np.eye(len(other))[None])


def curve(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """Values bent: flatter or sharper peaks everywhere."""
    plan.bend = plan.bend + _size(ease, 0.25, 0.9) * v


def channel(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """Which channel carries a motif (with one channel: whether it is there)."""
    n_channels = plan.amplitude.shape[1]
    carrier = np.argsort(np.argsort(v)) % (n_channels + (n_channels < len(v)))
    amplitude = (carrier[:, None] == np.arange(n_channels)) * _size(ease, 0.5, 2)
    centre, width = rng.uniform(0.1, 0.9), log_uniform(rng, 0.02, 0.12)
    plan.add(_motif(plan.t, centre, width, width, int(rng.integers(4)))[None], centre, amplitude[:, :, None])


def delay(plan: Plan, rng: Rng, v: np.ndarray, ease: float) -> None:
    """One channel lags behind the others (with one channel: a part lags behind the rest)."""
    if plan.amplitude.shape[1] == 1:
        return shift(plan, rng, v, ease)
    plan.shift[:, int(rng.integers(plan.shift.shape[1])), :] += (_size(ease, 0.02, 0.12) * v)[:, None]


EDITS: dict[str, Edit] = {
    "scale": scale, "remove": remove, "invert": invert, "shift": shift, "widen": widen, "reverse": reverse,
    "swap": swap, "add_bump": add_bump, "place_bump": place_bump, "slope": slope, "level": level, "roughen": roughen,
    "shape": shape, "blend": blend, "curve": curve, "channel": channel, "delay": delay,
}  # fmt: skip
TWO_VALUED = {"remove", "invert", "reverse", "swap"}
_SINGLE = ["scale", "scale", "widen", "widen", "shift", "shift", *(r for r in EDITS if r not in ("channel", "delay"))]
_SEVERAL = [*_SINGLE, *("channel", "delay", "invert") * 3]


def apply_rules(plan: Plan, rng: Rng, ease: float) -> str:
    """Edit `plan` so that its classes differ; the rule's name.

    Three layouts: `graded` (one rule, a value per class), `own` (every class but the first has an edit of its own) and
    `bits` (two or three two-valued rules whose combinations are the classes).
    """
    n_classes, n_channels, _ = plan.amplitude.shape
    names = _SEVERAL if n_channels > 1 else _SINGLE
    layout = (
        choose(rng, ("graded", "graded", "own", "bits")) if n_classes > 2 else choose(rng, ("graded", "graded", "both"))
    )
    ranks = np.arange(n_classes)
    if layout in ("graded", "both"):
        name = choose(rng, names)
        if n_classes > 2 and name in TWO_VALUED:
            name = "scale"
        v = (ranks - (n_classes - 1) / 2) / max(1.0, 0.7 * (n_classes - 1))
        used = [(name, v), (choose(rng, names), v)] if layout == "both" else [(name, v)]
    elif layout == "own":
        name = choose(rng, names)
        used = [
            (choose(rng, (name, name, choose(rng, names))), (ranks == k) * choose(rng, (-1.0, 1.0))) for k in ranks[1:]
        ]
    else:
        used = [(choose(rng, names), ((ranks >> bit) & 1) - 0.5) for bit in range(int(n_classes - 1).bit_length())]
    for name, v in used:
        EDITS[name](plan, rng, v.astype(float), ease)
    return layout + ":" + "+".join(dict.fromkeys(name for name, _ in used))
