"""The training view: a pure function of (seed, epoch, case), and exactly the recorded view without augmentation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from torch.utils.data import DataLoader

from tests.conftest import make_set
from vlm_tsc.answer.batch import encode_prompts
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.augmented import Augmented, more_views
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.processor import load_processor
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.finetune.draws import TrainingDraws
from vlm_tsc.finetune.steps import choose_steps
from vlm_tsc.representation.augment import augment, case_rng

PRESENTATION = Presentation(PromptBuilder(AnswerMap(("down", "up")), round_to=1), (32, 32))
WITH_VALUES = Presentation(PromptBuilder(AnswerMap(("down", "up")), mode="BASELINE", round_to=1), (32, 32))
CASES = make_set(6, 0)


def draws(strength: float, seed: int = 0, **options) -> TrainingDraws:
    augmented = Augmented(PRESENTATION, strength, seed, **options)
    return TrainingDraws(list(CASES.X), CASES.ids, list(CASES.y), augmented, n_draws=18, seed=seed)


def test_without_augmentation_a_draw_is_the_recorded_view():
    recorded = {id: PRESENTATION.show(case) for id, case in zip(CASES.ids, CASES.X, strict=True)}
    for draw in (draws(0.0)[i] for i in range(18)):
        match = [id for id, shown in recorded.items() if shown.question == draw.shown.question]
        assert len(match) == 1
        np.testing.assert_array_equal(draw.shown.pictures[0], recorded[match[0]].pictures[0])


def test_what_nothing_changes_is_drawn_once(monkeypatch):
    drawn, pictures = [], Presentation.pictures
    monkeypatch.setattr(Presentation, "pictures", lambda self, case: drawn.append(case) or pictures(self, case))
    for strength, expected in ((0.0, 6), (1.0, 18)):
        drawn.clear()
        made = draws(strength)
        for i in range(18):
            made[i]
        assert len(drawn) == expected


def test_every_epoch_has_every_case_once_in_another_order():
    questions = [draws(0.0)[i].shown.question for i in range(18)]
    epochs = [questions[0:6], questions[6:12], questions[12:18]]
    assert all(sorted(epoch) == sorted(epochs[0]) and len(set(epoch)) == 6 for epoch in epochs)
    assert epochs[0] != epochs[1] or epochs[1] != epochs[2]


def uneven(strength: float, step: int) -> TrainingDraws:
    """Draws with values in their text, of cases of 5 to 30 points."""
    cases = [case[:, :n] for case, n in zip(CASES.X, (5, 30, 10, 25, 15, 20), strict=True)]
    augmented = Augmented(WITH_VALUES, strength, 0)
    return TrainingDraws(cases, CASES.ids, list(CASES.y), augmented, n_draws=24, seed=0, step=step)


def test_a_step_takes_the_same_draws_from_the_shortest_to_the_longest():
    shuffled, grouped = uneven(1.0, 1), uneven(1.0, 4)
    for first in range(0, 24, 4):
        as_shuffled = [shuffled[i].shown.question for i in range(first, first + 4)]
        as_grouped = [grouped[i].shown.question for i in range(first, first + 4)]
        assert sorted(as_shuffled) == sorted(as_grouped)
        lengths = [len(question) for question in as_grouped]
        assert all(after - before > -5 for before, after in pairwise(lengths)), "a minus sign more or less"
    assert grouped[13].shown.question == uneven(1.0, 4)[13].shown.question


def test_parts_of_a_grouped_step_have_less_padding(tiny_base):
    processor = load_processor(tiny_base)

    def padding(draws: TrainingDraws) -> int:
        parts = [[draws[i + k].shown for k in range(2)] for i in range(0, 24, 2)]
        return sum(int((encode_prompts(processor, part)["attention_mask"] == 0).sum()) for part in parts)

    assert 0 < padding(uneven(0.0, 4)) < 0.7 * padding(uneven(0.0, 1))


def test_draws_are_the_same_in_a_worker_and_differ_by_epoch_and_seed():
    here = [draws(1.0)[i] for i in range(18)]
    there = list(DataLoader(draws(1.0), batch_size=None, num_workers=1))
    for a, b in zip(here, there, strict=True):
        assert a.shown.question == b.shown.question
        np.testing.assert_array_equal(a.shown.pictures[0], b.shown.pictures[0])
    assert {draw.shown.question for draw in here[:6]}.isdisjoint(draw.shown.question for draw in here[6:12])
    assert here[0].shown.question != draws(1.0, seed=1)[0].shown.question


def test_a_draw_over_the_budget_falls_back_to_the_original():
    original = {PRESENTATION.question(case) for case in CASES.X}
    assert all(draws(1.0, fits=lambda question: False)[i].shown.question in original for i in range(18))


def test_augmentation_keeps_shape_and_grows_with_strength():
    case = CASES.X[0]
    assert np.allclose(augment(case, 0.0, case_rng(0, 0, "a")), case)
    weak, strong = (np.abs(augment(case, s, case_rng(0, 0, "a")) - case).mean() for s in (0.1, 1.0))
    assert 0 < weak < strong < 0.5
    assert augment(np.ones((2, 5)), 1.0, case_rng(0, 0, "a")).shape == (2, 5)


def test_a_smooth_series_stays_smooth():
    """Noise of a fixed share of the spread would hide slope and bend, which the `differences` picture shows."""
    smooth = np.sin(np.linspace(0, 6, 200))[None]
    changed = np.stack([augment(smooth, 1.0, case_rng(0, 0, str(i)))[0] for i in range(50)])
    bend = np.abs(np.diff(changed, n=2, axis=1)).mean()
    assert bend < 0.7 * np.abs(np.diff(smooth)).mean()
    assert np.abs(changed - smooth).mean() > 0.02


def test_steps():
    schedule = {"epochs": 40, "min_steps": 200, "max_steps": 1000}
    assert choose_steps(23, 16, num_epochs=None, **schedule) == 200
    assert choose_steps(200, 16, num_epochs=None, **schedule) == 500
    assert choose_steps(7494, 16, num_epochs=None, **schedule) == 1000
    assert choose_steps(23, 16, num_epochs=2, **schedule) == 3


def test_views_do_not_depend_on_the_company_and_the_order_of_the_cases(tiny_base):
    options = {"context_length": 2048, "strength": 1.0, "seed": 0}
    processor = load_processor(tiny_base)
    views = more_views(CASES.X, CASES.ids, PRESENTATION, processor, 2, **options)
    assert len(views) == 2 and all(len(view) == len(CASES.X) for view in views)
    assert views[0][3].question != views[1][3].question != PRESENTATION.show(CASES.X[3]).question
    alone = more_views(CASES.X[3:4], CASES.ids[3:4], PRESENTATION, processor, 2, **options)
    for view, one in zip(views, alone, strict=True):
        assert view[3].question == one[0].question
        np.testing.assert_array_equal(view[3].pictures[0], one[0].pictures[0])
    tight = more_views(CASES.X, CASES.ids, PRESENTATION, processor, 1, **(options | {"context_length": 1}))
    assert tight[0][3].question == PRESENTATION.show(CASES.X[3]).question
