"""Synthetic episodes: a pure function of (seed, index), finite, varied, learnable yet not trivial."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from vlm_tsc.errors import InputError
from vlm_tsc.pretrain import parametric
from vlm_tsc.pretrain.plan import Plan, draw_cases
from vlm_tsc.pretrain.processes import FAMILIES, draw_template
from vlm_tsc.pretrain.rules import EDITS, TWO_VALUED
from vlm_tsc.pretrain.synthetic import Episode, corpus, episode
from vlm_tsc.pretrain.template import grid

DIGEST = """
import hashlib
from vlm_tsc.pretrain.synthetic import episode
h = hashlib.sha256()
for i in range(40):
    e = episode(3, i)
    h.update(e.y.tobytes() + e.family.encode() + e.rule.encode() + b"".join(x.tobytes() for x in e.X))
print(h.hexdigest())
"""


def _same(a: Episode, b: Episode) -> bool:
    cases = len(a.X) == len(b.X) and all(np.array_equal(x, z) for x, z in zip(a.X, b.X, strict=True))
    return cases and np.array_equal(a.y, b.y) and (a.family, a.rule) == (b.family, b.rule)


def test_the_same_seed_and_index_give_the_same_bytes_in_every_process():
    here = hashlib.sha256()
    for i in range(40):
        e = episode(3, i)
        here.update(e.y.tobytes() + e.family.encode() + e.rule.encode() + b"".join(x.tobytes() for x in e.X))
    for hash_seed in ("0", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == here.hexdigest()


def test_another_seed_or_index_gives_another_episode():
    assert _same(episode(0, 1), episode(0, 1))
    assert not _same(episode(0, 1), episode(0, 2))
    assert not _same(episode(0, 1), episode(1, 1))


@pytest.mark.parametrize("n_cases", [4, 8, 25])
def test_episodes_are_finite_and_every_class_has_two_cases(n_cases: int):
    for i in range(250):
        e = episode(11, i, n_cases=n_cases)
        counts = np.bincount(e.y)
        assert len(e.X) == len(e.y) == n_cases and 2 <= len(counts) <= 5 and counts.min() >= 2
        for x in e.X:
            assert x.dtype == np.float64 and x.ndim == 2 and x.shape[0] == e.X[0].shape[0] <= 3
            assert 8 <= x.shape[1] <= 1000 and np.isfinite(x).all()


@pytest.mark.parametrize(("max_length", "max_channels"), [(8, 1), (12, 2), (50, 1), (3000, 12)])
def test_limits_are_kept(max_length: int, max_channels: int):
    shapes = np.array(
        [x.shape for i in range(80) for x in episode(2, i, max_length=max_length, max_channels=max_channels).X]
    )
    assert shapes[:, 1].max() <= max_length and shapes[:, 0].max() <= max_channels
    assert shapes[:, 0].max() > 3 or max_channels <= 3


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_the_extremes_of_difficulty_are_finite(difficulty: float):
    assert all(np.isfinite(x).all() for i in range(100) for x in episode(4, i, difficulty=difficulty).X)


@pytest.mark.parametrize(
    "limits", [{"n_cases": 3}, {"max_length": 7}, {"max_channels": 0}, {"difficulty": 1.5}], ids=lambda d: next(iter(d))
)
def test_a_bad_limit_is_refused_by_name(limits: dict):
    with pytest.raises(InputError, match=next(iter(limits))):
        episode(0, 0, **limits)


def test_every_family_and_rule_occurs_and_the_mix_is_as_documented():
    drawn = [episode(5, i, max_length=60) for i in range(2500)]
    assert {e.family for e in drawn} == set(FAMILIES) | set(parametric.FAMILIES)
    words = {word for e in drawn if ":" in e.rule for word in e.rule.split(":")[1].split("+")}
    assert words == set(EDITS)
    assert 0.66 < np.mean([e.rule != "parameter" for e in drawn]) < 0.74
    normalised = [
        all(abs(x.mean()) < 1e-6 and abs(x.std() - 1) < 1e-6 for x in e.X)
        for e in drawn
        if len({x.shape for x in e.X}) == 1
    ]
    assert 0.7 < np.mean(normalised) < 0.8
    assert 0.08 < np.mean([len({x.shape for x in e.X}) > 1 for e in drawn]) < 0.18


def test_labels_do_not_tell_the_rank_of_a_graded_rule():
    """Over many easy `frequency` episodes the class numbered 0 is the slow one about as often as the fast one."""
    slow_first = []
    for i in range(3000):
        e = episode(9, i, max_length=100, difficulty=0.0)
        if e.family == "frequency" and e.y.max() == 1:
            crossings = np.array([np.mean(np.diff(np.sign(x[0] - x[0].mean())) != 0) for x in e.X])
            slow_first.append(crossings[e.y == 0].mean() < crossings[e.y == 1].mean())
    assert len(slow_first) > 20 and 0.25 < np.mean(slow_first) < 0.75


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("n_timepoints", [8, 24, 150])
def test_templates_have_unit_spread_and_editable_parts(family: str, n_timepoints: int):
    for seed in range(8):
        template, t = draw_template(np.random.default_rng(seed), family, n_timepoints)
        assert (
            template.parts.shape == (len(template.centres), len(t)) == (len(template.centres), len(grid(n_timepoints)))
        )
        assert np.isfinite(template.parts).all() and template.groups
        assert 0.5 < template.parts.sum(0)[(t >= 0) & (t <= 1)].std() < 1.05


@pytest.mark.parametrize("rule", sorted(EDITS))
@pytest.mark.parametrize("n_channels", [1, 3])
def test_an_edit_tells_the_classes_apart_and_nothing_else_does(rule: str, n_channels: int):
    shown = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        template, t = draw_template(rng, "bumps", 100)
        plan = Plan.of(template, t, np.ones((n_channels, len(template.parts))), np.zeros(n_channels), 2)
        u = np.broadcast_to(np.linspace(0, 1, 100), (2, 100))
        alike = draw_cases(plan, np.arange(2), u)
        assert np.array_equal(alike[0], alike[1])
        EDITS[rule](plan, rng, np.array([-0.5, 0.5]), 0.9)
        first, second = draw_cases(plan, np.arange(2), u)
        shown.append(np.abs(first - second).max())
    assert np.median(shown) > 0.1


def test_two_valued_rules_are_rules():
    assert set(EDITS) >= TWO_VALUED


def test_draw_cases_equals_plain_interpolation_of_every_part():
    rng = np.random.default_rng(0)
    template, t = draw_template(rng, "heartbeats", 90)
    n = len(template.parts)
    plan = Plan.of(template, t, rng.normal(size=(2, n)), np.array([0.0, 0.03]), 3)
    plan.stretch += rng.normal(0, 0.2, plan.stretch.shape)
    plan.shift += rng.normal(0, 0.05, plan.shift.shape)
    plan.flip[1] = -1
    u = rng.uniform(0.1, 0.9, (3, 90))
    got = draw_cases(plan, np.arange(3), u)
    for k in range(3):
        for c in range(2):
            local = [
                template.centres[p]
                + (u[k] - template.centres[p] - plan.shift[k, c, p]) * plan.flip[k, p] * np.exp(-plan.stretch[k, c, p])
                for p in range(n)
            ]
            want = sum(plan.amplitude[k, c, p] * np.interp(local[p], t, template.parts[p]) for p in range(n))
            np.testing.assert_allclose(got[k, c], want, atol=2e-3 * np.abs(want).max())


def _nearest_neighbour_accuracy(e: Episode, n_points: int = 100) -> float:
    rows = []
    for x in e.X:
        z = np.array([np.interp(np.linspace(0, 1, n_points), np.linspace(0, 1, x.shape[1]), channel) for channel in x])
        rows.append(((z - z.mean(1, keepdims=True)) / (z.std(1, keepdims=True) + 1e-9)).ravel())
    F = np.array(rows)
    distances = ((F[:, None] - F[None]) ** 2).sum(-1)
    np.fill_diagonal(distances, np.inf)
    return float((e.y[distances.argmin(1)] == e.y).mean())


def test_classes_are_learnable_but_not_trivial_and_difficulty_matters():
    accuracy = np.array([_nearest_neighbour_accuracy(episode(7, i, n_cases=24, max_length=300)) for i in range(300)])
    assert 0.7 < accuracy.mean() < 0.85
    assert (accuracy > 0.999).mean() < 0.45
    assert (accuracy < 0.4).mean() < 0.2
    easy, hard = (
        np.mean(
            [_nearest_neighbour_accuracy(episode(8, i, n_cases=24, max_length=300, difficulty=d)) for i in range(120)]
        )
        for d in (0.0, 1.0)
    )
    assert easy > hard + 0.1


def test_the_corpus_is_a_pure_function_with_a_stable_beginning():
    long, short = list(corpus(0, 203)), list(corpus(0, 101))
    assert len(long) == 203 and len(short) == 101
    assert all(np.array_equal(a, b) for a, b in zip(short, long, strict=False))
    assert not np.array_equal(next(corpus(1, 1)), long[0])
    assert all(np.isfinite(x).all() and x.ndim == 2 for x in long)
