"""Labelled synthetic episodes and an unlabelled corpus, pure functions of (seed, index) without any archive series.

The recipe follows what the literature found to matter for synthetic pre-training (CauKer, ChorusTIC): one shared
background per episode, classes told apart by a sparse rule on it, difficulty that moves margin and nuisance together,
permuted labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vlm_tsc.errors import InputError
from vlm_tsc.pretrain import parametric
from vlm_tsc.pretrain.curves import Rng, chance, choose, log_uniform
from vlm_tsc.pretrain.nuisance import add_faults, add_variation, noise_like, warped_time
from vlm_tsc.pretrain.plan import Plan, draw_cases, least_distance, standardise, widen_margins
from vlm_tsc.pretrain.processes import FAMILIES, draw_template
from vlm_tsc.pretrain.rules import add_bump, apply_rules
from vlm_tsc.pretrain.template import Template

TEMPLATE_SHARE = 0.7
CORPUS_OFFSET = 2**40  # the corpus never meets a labelled episode of the same seed


@dataclass(frozen=True)
class Episode:
    """A small classification task.

    Attributes
    ----------
    X : list of np.ndarray
        `n_cases` series `(n_channels, n_timepoints)`, float64, finite.
    y : np.ndarray
        `(n_cases,)` class of every case, 0..n_classes-1, every class at least twice.
    family, rule : str
        Names of the background and of what tells the classes apart, for reports.
    """

    X: list[np.ndarray]
    y: np.ndarray
    family: str
    rule: str


def episode(
    seed: int,
    index: int,
    *,
    n_cases: int = 8,
    max_length: int = 1000,
    max_channels: int = 3,
    difficulty: float | None = None,
) -> Episode:
    """Draw episode `index` of the stream `seed`.

    Parameters
    ----------
    seed, index : int
        Not negative; the same pair (and settings) gives the same bytes.
    n_cases : int
        At least 4 (two classes of two).
    max_length, max_channels : int
        Limits of time points (at least 8) and channels (at least 1).
    difficulty : float, optional
        0 (gross margins, little nuisance) to 1; drawn when None.

    Raises
    ------
    InputError
        If a limit is too small or `difficulty` is outside 0..1.
    """
    _check(n_cases, max_length, max_channels, difficulty)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
    hard = rng.random()
    hard = hard if difficulty is None else float(difficulty)
    from_template = chance(rng, TEMPLATE_SHARE)
    # Fresh draws differ so much within a class that five graded classes would be guesswork.
    ranks = _ranks(rng, n_cases, (2, 2, 2, 3, 3, 4, 5) if from_template else (2, 2, 2, 3))
    if from_template:
        X, family, rule = _template_cases(rng, ranks, hard, max_length, max_channels)
        cropped = False
    else:
        X, family = _parametric_cases(rng, ranks, hard, max_length, max_channels)
        rule, cropped = "parameter", True
    names = rng.permutation(int(ranks.max()) + 1)  # a rule orders the classes by rank, their numbers must not tell it
    return Episode(_finish(rng, add_faults(rng, X), cropped), names[ranks], family, rule)


def corpus(seed: int, n: int, *, max_length: int = 1000, max_channels: int = 3) -> Iterator[np.ndarray]:
    """Yield `n` unlabelled series `(n_channels, n_timepoints)`; the first k of n are the same for every n."""
    done, index = 0, CORPUS_OFFSET
    while done < n:
        cases = episode(seed, index, n_cases=4, max_length=max_length, max_channels=max_channels).X[: n - done]
        yield from cases
        done, index = done + len(cases), index + 1


def _check(n_cases: int, max_length: int, max_channels: int, difficulty: float | None) -> None:
    for name, value, least in (
        ("n_cases", n_cases, 4),
        ("max_length", max_length, 8),
        ("max_channels", max_channels, 1),
    ):
        if value < least:
            raise InputError(
                "This limit of a synthetic episode is too small.", where=name, got=value, allowed=f">= {least}"
            )
    if difficulty is not None and not 0 <= difficulty <= 1:
        raise InputError("The difficulty is out of range.", where="difficulty", got=difficulty, allowed="0 to 1")


def _ranks(rng: Rng, n_cases: int, sizes: tuple[int, ...]) -> np.ndarray:
    """Two cases of every class, the rest even or not, in random order."""
    n_classes = min(choose(rng, sizes), n_cases // 2)
    spare = n_cases - 2 * n_classes
    if chance(rng, 0.7):
        rest = np.arange(spare) % n_classes
    else:
        rest = np.searchsorted(np.cumsum(rng.dirichlet(np.full(n_classes, 1.5)))[:-1], rng.random(spare))
    return rng.permutation(np.concatenate([np.arange(n_classes), np.arange(n_classes), rest]))


def _length(rng: Rng, max_length: int, family: str) -> int:
    if family == "daily" and chance(rng, 0.7):
        length = choose(rng, (24, 24, 24, 48, 96))
    elif family == "pen":
        length = int(log_uniform(rng, 8, 51))
    else:
        kind = rng.random()
        low, high = (8, 24) if kind < 0.1 else (24, 300) if kind < 0.87 else (300, max(301, max_length))
        length = int(log_uniform(rng, low, high + 1))
    return min(length, max_length)


def _channels(rng: Rng, max_channels: int, family: str) -> int:
    several = 2 if family == "pen" else int(rng.integers(2, max(3, max_channels + 1)))
    return min(max_channels, several) if family == "pen" or chance(rng, 0.18) else 1


def _template_cases(
    rng: Rng, ranks: np.ndarray, hard: float, max_length: int, max_channels: int
) -> tuple[np.ndarray, str, str]:
    family = choose(rng, tuple(FAMILIES))
    m = _length(rng, max_length, family)
    c = _channels(rng, max_channels, family)
    template, t = draw_template(rng, family, m)
    plan, rule = _classes(rng, template, t, c, int(ranks.max()) + 1, m, 1 - hard)
    strength = (0.35 + 1.35 * hard) * log_uniform(rng, 0.5, 1.6)
    X = draw_cases(plan, ranks, warped_time(rng, len(ranks), m, strength), rng, strength)
    clear = least_distance(plan, m)
    X = add_variation(rng, X, strength)
    # Noise must leave the classes separable: ||difference|| / sigma, the matched filter's d', is at least 3..10.
    limit = clear / (10 - 7 * hard)
    sigma = min(strength * log_uniform(rng, 0.0005, 0.5), limit)
    return X + sigma * noise_like(rng, X.shape), family, rule


def _classes(rng: Rng, template: Template, t: np.ndarray, c: int, k: int, m: int, ease: float) -> tuple[Plan, str]:
    """Class prototypes that differ visibly: margins grow when the drawn edit hardly shows, or a bump is added."""
    n = len(template.parts)
    mixing = np.ones((1, n)) if c == 1 else rng.normal(0, 0.8, (c, n)) + np.where(rng.random((c, n)) < 0.3, 0, 0.3)
    delay = np.zeros(1) if c == 1 else rng.normal(0, 0.05, c) * choose(rng, (0, 1))
    plan = Plan.of(template, t, mixing, delay, k)
    rule = apply_rules(plan, rng, ease)
    least = (0.08 + 0.17 * ease) * np.sqrt(m * c)
    for _ in range(2):
        if least_distance(plan, m) >= least:
            return plan, rule
        widen_margins(plan, 1.7)
    if least_distance(plan, m) < 0.7 * least:
        add_bump(plan, rng, np.arange(k) / max(1, k - 1) ** 0.5, max(ease, 0.3))
        rule += "+add_bump"
    return plan, rule


def _parametric_cases(
    rng: Rng, ranks: np.ndarray, hard: float, max_length: int, max_channels: int
) -> tuple[np.ndarray, str]:
    family = choose(rng, tuple(parametric.FAMILIES))
    m = max(min(20, max_length), _length(rng, max_length, family))
    c = _channels(rng, max_channels, family)
    if family == "coupling" and max_channels > 1:
        c = max(c, 2)
    n_classes = int(ranks.max()) + 1
    margin = 1.5 * (0.55 / 1.5) ** hard
    v = margin * (ranks - (n_classes - 1) / 2) / max(1.0, 0.6 * (n_classes - 1))
    X = parametric.FAMILIES[family](rng, v, c, m)
    spread = X.std() + 1e-9
    if chance(rng, 0.3):
        X = add_variation(rng, X / spread, 0.5 + hard) * spread
    sigma = (0.3 + hard) * log_uniform(rng, 0.0005, 0.25) * spread
    return X + sigma * noise_like(rng, X.shape), family


def _finish(rng: Rng, X: np.ndarray, cropped: bool) -> list[np.ndarray]:
    """Unequal lengths in 15 % of the episodes; z-normalised cases in 75 %, else one scale and offset per episode."""
    together = X.shape[1] > 1 and chance(rng, 0.5)
    if chance(rng, 0.75):
        X = standardise(X, (1, 2) if together else (2,))
    else:
        size = np.exp(rng.normal(0, rng.uniform(0.02, 0.2), (len(X), 1, 1)))
        X = X / (X.std() + 1e-9) * size * log_uniform(rng, 0.1, 100) + rng.normal() * log_uniform(rng, 0.1, 100)
    cases = list(X)
    if X.shape[2] >= 12 and chance(rng, 0.15):
        lengths = np.maximum(8, (X.shape[2] * rng.uniform(rng.uniform(0.4, 0.9), 1, len(X))).astype(int))
        cases = [_to_length(rng, case, int(m), cropped) for case, m in zip(cases, lengths, strict=True)]
    return cases


def _to_length(rng: Rng, case: np.ndarray, m: int, cropped: bool) -> np.ndarray:
    if cropped:
        start = int(rng.integers(0, case.shape[1] - m + 1))
        return case[:, start : start + m].copy()
    at = np.linspace(0, case.shape[1] - 1, m)
    return np.array([np.interp(at, np.arange(case.shape[1]), channel) for channel in case])
