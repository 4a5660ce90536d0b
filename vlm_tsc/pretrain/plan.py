"""How every class draws the parts of a template, and cases drawn from such a plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlm_tsc.pretrain.curves import Rng, chance, log_uniform
from vlm_tsc.pretrain.template import Template


@dataclass
class Plan:
    """How every class draws the parts of a template.

    Attributes
    ----------
    t : np.ndarray
        `(n_grid,)` time grid of the parts' tables.
    parts, centres : np.ndarray
        `(n_parts, n_grid)` and `(n_parts,)`.
    amplitude, shift, stretch : np.ndarray
        `(n_classes, n_channels, n_parts)`: factor, time shift (shares of the window), log of the width factor.
    flip : np.ndarray
        `(n_classes, n_parts)`, -1 where a part runs backwards in time.
    bend : np.ndarray
        `(n_classes,)` log of an exponent on the standardised values (curvature).
    steady : np.ndarray
        `(n_parts,)` factor on the nuisance of a part: below 1 where a rule sits, so that nuisance does not drown it.
    """

    t: np.ndarray
    parts: np.ndarray
    centres: np.ndarray
    groups: list[list[int]]
    amplitude: np.ndarray
    shift: np.ndarray
    stretch: np.ndarray
    flip: np.ndarray
    bend: np.ndarray
    steady: np.ndarray

    @classmethod
    def of(cls, template: Template, t: np.ndarray, mixing: np.ndarray, delay: np.ndarray, n_classes: int) -> Plan:
        """All classes alike: `mixing` `(n_channels, n_parts)` of the parts, `delay` `(n_channels,)`."""
        shape = (n_classes, *mixing.shape)
        return cls(
            t, template.parts, template.centres, template.groups,
            np.broadcast_to(mixing, shape).copy(), np.broadcast_to(delay[:, None], shape).copy(), np.zeros(shape),
            np.ones((n_classes, shape[2])), np.zeros(n_classes), np.ones(shape[2]),
        )  # fmt: skip

    def add(self, parts: np.ndarray, centre: float, amplitude: np.ndarray) -> list[int]:
        """Append new parts `(k, n_grid)` at `centre` with `amplitude` `(n_classes, n_channels, k)`; their indices."""
        k, (n_classes, n_channels, n) = len(parts), self.amplitude.shape
        self.parts = np.concatenate([self.parts, parts])
        self.centres = np.concatenate([self.centres, np.full(k, centre)])
        self.amplitude = np.concatenate([self.amplitude, amplitude], 2)
        self.shift = np.concatenate([self.shift, np.repeat(self.shift[:, :, :1] * 0, k, 2)], 2)
        self.stretch = np.concatenate([self.stretch, np.zeros((n_classes, n_channels, k))], 2)
        self.flip = np.concatenate([self.flip, np.ones((n_classes, k))], 1)
        self.steady = np.concatenate([self.steady, np.full(k, 0.4)])
        return list(range(n, n + k))

    def some_channels(self, rng: Rng) -> np.ndarray:
        """`(n_channels,)` mask of the channels a rule touches: one, or all."""
        n_channels = self.amplitude.shape[1]
        if chance(rng, 0.4):
            return np.ones(n_channels)
        return (np.arange(n_channels) == rng.integers(n_channels)).astype(float)


def draw_cases(plan: Plan, y: np.ndarray, u: np.ndarray, rng: Rng | None = None, strength: float = 0.0) -> np.ndarray:
    """Cases `(n_cases, n_channels, n_timepoints)` of classes `y` at times `u` `(n_cases, n_timepoints)`.

    With `rng`, the parts of every case vary a little in height, time and width.
    """
    amplitude, shift, stretch, flip = plan.amplitude[y], plan.shift[y], plan.stretch[y], plan.flip[y]
    if plan.shift.shape[1] == 1 or (np.ptp(shift, 1).max() == 0 and np.ptp(stretch, 1).max() == 0):
        shift, stretch = shift[:, :1], stretch[:, :1]
    if rng is not None:
        size = strength * log_uniform(rng, 0.02, 0.25) * plan.steady
        amplitude = amplitude * (1 + size * rng.standard_normal((len(y), 1, len(size))))
        shift = shift + strength * log_uniform(rng, 0.0005, 0.008) * plan.steady * rng.standard_normal(
            (len(y), 1, len(size))
        )
        stretch = stretch + 0.5 * size * rng.standard_normal((len(y), 1, len(size)))
    centre = plan.centres[:, None]
    factor = (flip[:, None] * np.exp(-stretch))[..., None]
    n_grid = plan.parts.shape[1]
    to_grid = (n_grid - 1) / (plan.t[-1] - plan.t[0])
    # position on the grid = a * u + b, with a and b per case, channel and part
    offset = (centre - (centre + shift[..., None]) * factor - plan.t[0]) * to_grid
    position = (factor * to_grid) * u[:, None, None, :]
    position += offset
    np.clip(position, 0, n_grid - 1.001, out=position)
    cell = position.astype(np.int32)
    position -= cell
    cell += (np.arange(len(centre), dtype=np.int32) * n_grid)[:, None]
    table = plan.parts.ravel()
    left = table[cell]
    cell += 1
    value = left + (table[cell] - left) * position
    if shift.shape[1] == 1:
        X = amplitude @ value[:, 0]
    else:
        X = np.einsum("ncp,ncpt->nct", amplitude, value)
    if plan.bend.any():
        z = standardise(X)
        X = np.sign(z) * np.abs(z) ** np.exp(plan.bend[y])[:, None, None]
    return X


def least_distance(plan: Plan, m: int) -> float:
    """Least Euclidean distance between two classes' noise-free, standardised prototypes of `m` points."""
    k = len(plan.bend)
    few = min(m, 128)
    flat = standardise(draw_cases(plan, np.arange(k), np.broadcast_to(np.linspace(0, 1, few), (k, few)))).reshape(k, -1)
    gaps = np.sqrt(((flat[:, None] - flat[None]) ** 2).sum(-1))
    return float(gaps[np.triu_indices(k, 1)].min()) * np.sqrt(m / few)


def widen_margins(plan: Plan, factor: float) -> None:
    """Move the classes' values apart by `factor` about their mean."""
    for name in ("amplitude", "shift", "stretch"):
        values = getattr(plan, name)
        middle = values.mean(0, keepdims=True)
        setattr(plan, name, middle + factor * (values - middle))
    plan.bend = plan.bend * factor


def standardise(X: np.ndarray, axes: tuple[int, ...] = (2,)) -> np.ndarray:
    """Mean 0 and spread 1 over `axes`; a constant stays constant."""
    centred = X - X.mean(axes, keepdims=True)
    spread = np.sqrt((centred * centred).mean(axes, keepdims=True))
    return centred / np.where(spread < 1e-9, 1.0, spread)
