"""The `differences` picture: each plane holds the curve it says, at its own scale."""

from __future__ import annotations

import numpy as np
import pytest

from vlm_tsc.config import settings_from
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.errors import InputError
from vlm_tsc.representation.differences import draw_differences
from vlm_tsc.representation.legend import legend
from vlm_tsc.representation.line import draw
from vlm_tsc.representation.styles import STYLES, draw_as

SIZE = (128, 128)
TIME = np.linspace(0, 1, 50)[None]


def centre(plane: np.ndarray, column: int) -> float:
    """Mean height of the ink in a pixel column, 0 at the bottom."""
    ink = 255.0 - plane[:, column]
    return float((np.arange(len(ink))[::-1] * ink).sum() / ink.sum())


def test_values_are_those_of_the_line_picture():
    case = np.sin(7 * TIME) + TIME
    np.testing.assert_array_equal(draw_differences(case, SIZE)[:, :, 0], draw(case, SIZE)[:, :, 0])
    limits = np.array([[-2.0, 4.0]])
    np.testing.assert_array_equal(draw_differences(case, SIZE, limits)[:, :, 0], draw(case, SIZE, limits)[:, :, 0])


def test_differences_are_those_of_a_line_picture_of_the_differences():
    """A line picture of n - 1 differences spans the width; here they lie between the values, half a step further in."""
    case = np.cumsum(np.random.default_rng(0).normal(size=(1, 40)), axis=1)
    first, second = np.diff(case[0]), np.diff(case[0], n=2)
    for plane, values in ((1, first), (2, second)):
        extent = min(np.abs(values).max(), 4 * np.sqrt(np.mean(values**2)))
        inside = np.arange(len(values)) + plane / 2
        padded = np.interp(np.linspace(0, 39, 4000), inside, values)[None]
        expected = draw(padded, SIZE, np.array([[-extent, extent]]))[:, :, 0]
        columns = slice(8, -8)  # the reference is held level beyond the first and last difference
        found = draw_differences(case, SIZE)[:, :, plane]
        assert np.abs(found[:, columns].astype(int) - expected[:, columns]).mean() < 3


def test_slope_is_above_the_middle_where_values_rise_and_bend_where_the_slope_does():
    picture = draw_differences(TIME**2, SIZE)
    middle = (SIZE[1] - 1) / 2
    assert middle < centre(picture[:, :, 1], 30) < centre(picture[:, :, 1], 100)
    assert centre(picture[:, :, 2], 60) > middle + 40
    falling = draw_differences(-(TIME**2), SIZE)
    assert centre(falling[:, :, 1], 60) < middle and centre(falling[:, :, 2], 60) < middle - 40


def test_scale_and_level_change_nothing_without_limits():
    case = np.sin(9 * TIME)
    np.testing.assert_array_equal(draw_differences(case, SIZE), draw_differences(1000 * case + 7, SIZE))


def test_a_jump_does_not_flatten_the_rest():
    wave = np.sin(60 * np.linspace(0, 1, 800))[None]
    jump = wave.copy()
    jump[:, 400:] += 50
    column = 20
    ratio = np.ptp(np.flatnonzero(draw_differences(jump, SIZE)[:, column, 1] < 128))
    assert ratio >= 1, "the slope of the wave is still seen beside a jump of 50 times its height"


def test_a_level_series_is_three_level_lines():
    picture = draw_differences(np.full((1, 9), 3.0), SIZE)
    for plane in range(3):
        assert centre(picture[:, :, plane], 64) == pytest.approx((SIZE[1] - 1) / 2, abs=1)


@pytest.mark.parametrize(("n_timepoints", "curves"), [(1, 1), (2, 2), (3, 3)])
def test_the_shortest_series(n_timepoints, curves):
    picture = draw_differences(np.arange(n_timepoints, dtype=float)[None] ** 2, SIZE)
    drawn = [bool((picture[:, :, plane] < 255).any()) for plane in range(3)]
    assert sum(drawn) <= curves and picture.shape == (128, 128, 3)


@pytest.mark.parametrize("channels", ["auto", "multiples"])
def test_several_channels_are_drawn_as_lines(channels):
    case = np.concatenate([TIME, TIME**2])
    expected = draw(case, SIZE, None, channels)
    np.testing.assert_array_equal(draw_differences(case, SIZE, None, channels), expected)


@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_a_setting_and_can_be_drawn(style):
    assert settings_from({"pictures": [style]}).pictures == (style,)
    assert draw_as(style, TIME, SIZE).shape == (128, 128, 3)


def test_there_are_no_other_styles():
    with pytest.raises(InputError, match="pictures") as caught:
        settings_from({"pictures": ["spiral"]})
    assert all(style in str(caught.value) for style in STYLES)


def test_the_legend_names_the_ink_of_each_curve():
    """Of a straight rise: the values rise, the slope is at the top all along, and the bend, which is none, half way."""
    column = draw_differences(np.arange(50.0)[None], SIZE)[:, 32]

    def planes_at(height: float) -> list[bool]:
        row = round((0.96 - 0.92 * height) * SIZE[1])
        return (column[row - 2 : row + 2] < 128).any(axis=0).tolist()

    red, green, blue = ([plane == dark for plane in range(3)] for dark in range(3))
    for words, height, dark in (
        ("cyan the values", (32 / 128 - 0.04) / 0.92, red),  # white without red is cyan
        ("magenta their first differences", 1.0, green),
        ("yellow their second differences", 0.5, blue),
    ):
        assert words in legend("differences") and planes_at(height) == dark


def test_every_picture_has_a_legend_and_several_are_numbered():
    assert all(legend(style, channels) for style in STYLES for channels in ("auto", "multiples"))
    builder = PromptBuilder(AnswerMap(("a", "b")), n_pictures=2)
    text = Presentation(builder, SIZE, styles=("line", "gasf")).legend()
    assert "Picture 1, line: " in text and "Picture 2, gasf: " in text and "of the case itself" in text
    assert not Presentation(PromptBuilder(AnswerMap(("a", "b")), mode="TEXT_ONLY"), SIZE).legend()
