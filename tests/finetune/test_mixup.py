"""Mixup: a pure function of (seed, epoch, case), series of one shape alone, and a plot of the mixture."""

from __future__ import annotations

import numpy as np

from tests.conftest import make_set
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.augmented import Augmented
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.finetune.draws import TrainingDraws
from vlm_tsc.finetune.mixup import Mixup

PLOT = Presentation(PromptBuilder(AnswerMap(("down", "up")), mode="IMAGE_ONLY"), (32, 32))
CASES = make_set(8, 0)


def draws(mixup: float, fits=None, presentation=PLOT) -> TrainingDraws:
    augmented = Augmented(presentation, 0.0, 0, fits)
    return TrainingDraws(list(CASES.X), CASES.ids, list(CASES.y), augmented, n_draws=80, seed=0, mixup=mixup)


def test_the_same_partner_and_share_whoever_asks_and_others_in_another_epoch():
    once, again = (Mixup(list(CASES.X), CASES.ids, 1.0, 0) for _ in range(2))
    assert [once.partner(i, 3) for i in range(8)] == [again.partner(i, 3) for i in reversed(range(8))][::-1]
    assert [once.partner(i, 3) for i in range(8)] != [once.partner(i, 4) for i in range(8)]


def test_shares_are_those_of_the_larger_part_of_a_beta_distribution():
    cases = [np.zeros((1, 5))] * 2000
    ids = [str(i) for i in range(2000)]
    drawn = [Mixup(cases, ids, 1.0, 0).partner(i, 0) for i in range(2000)]
    whole = [i for i, (j, share) in enumerate(drawn) if share == 1.0]
    assert 900 < len(whole) < 1100 and all(drawn[i][0] == i for i in whole)
    partners, shares = zip(*(one for i, one in enumerate(drawn) if i not in whole), strict=True)
    assert min(shares) >= 0.5 and max(shares) <= 1
    np.testing.assert_allclose(np.quantile(shares, [0.25, 0.5, 0.75]), [0.625, 0.75, 0.875], atol=0.03)
    assert len(set(partners)) > 500
    rare = [Mixup(cases, ids, 0.1, 0).partner(i, 0)[1] for i in range(2000)]
    assert np.mean(rare) > np.mean(shares) + 0.1


def test_only_series_of_one_shape_are_mixed():
    cases = [np.zeros((1, 5)), np.zeros((1, 6)), np.zeros((1, 5)), np.zeros((2, 5))]
    mixup = Mixup(cases, list("abcd"), 1.0, 0)
    seen = [{mixup.partner(i, epoch)[0] for epoch in range(40)} for i in range(4)]
    assert seen == [{0, 2}, {1}, {0, 2}, {3}]


def test_a_draw_is_the_plot_of_the_mixture_and_names_both_classes():
    made = draws(1.0)
    several = set()
    for k in range(80):
        epoch, i = made._case(k)
        j, share = Mixup(list(CASES.X), CASES.ids, 1.0, 0).partner(i, epoch)
        draw = made[k]
        expected = PLOT.show(share * CASES.X[i] + (1 - share) * CASES.X[j])
        np.testing.assert_array_equal(draw.shown.pictures[0], expected.pictures[0])
        assert (draw.answer, draw.other, draw.share) == (CASES.y[i], CASES.y[j], share)
        several.add((draw.answer, draw.other))
    assert len(several) == 4


def test_a_mixture_over_the_token_budget_is_not_shown():
    values = Presentation(PromptBuilder(AnswerMap(("down", "up")), mode="BASELINE", round_to=1), (32, 32))
    recorded = {values.question(case) for case in CASES.X}
    made = draws(1.0, lambda shown: shown.question in recorded, values)
    for draw in (made[k] for k in range(80)):
        assert draw.shown.question in recorded and (draw.share == 1.0 or draw.other == draw.answer)
