"""The line picture: what is drawn where, and always the same bytes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from vlm_tsc.errors import InputError
from vlm_tsc.representation.limits import choose_limits, is_z_normalised, train_limits
from vlm_tsc.representation.line import draw, panel_grid
from vlm_tsc.representation.png import png_bytes, read_png

RAMP = np.linspace(0, 1, 50)[None]


def ink_rows(picture: np.ndarray, column: int) -> np.ndarray:
    return np.flatnonzero(picture[:, column].min(axis=1) < 128)


def test_high_values_are_above_and_time_runs_to_the_right():
    picture = draw(RAMP, (100, 80))
    assert picture.shape == (80, 100, 3) and picture.dtype == np.uint8
    heights = [ink_rows(picture, column).mean() for column in (10, 50, 90)]
    np.testing.assert_allclose(heights, [80 * (0.96 - 0.92 * (c / 100 - 0.04) / 0.92) for c in (10, 50, 90)], atol=1.5)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4, 12])
@pytest.mark.parametrize("n_timepoints", [1, 2, 24, 3000])
def test_every_length_and_number_of_channels_draws_something(n_channels, n_timepoints):
    case = np.random.default_rng(0).normal(size=(n_channels, n_timepoints)).cumsum(axis=1)
    picture = draw(case, (112, 112))
    assert picture.shape == (112, 112, 3)
    if n_timepoints > 1:
        assert 0.001 < (picture < 128).any(axis=2).mean() < 0.9


def test_a_constant_series_is_a_level_line_at_half_height():
    picture = draw(np.full((1, 20), 7.0), (60, 60))
    rows = np.flatnonzero((picture < 128).any(axis=(1, 2)))
    assert rows.min() >= 28 and rows.max() <= 31


def test_bytes_do_not_depend_on_matplotlib_settings_or_order():
    import matplotlib

    case = np.sin(np.linspace(0, 9, 900))[None] + RAMP.repeat(18, axis=1)
    first = draw(case, (336, 336))
    with matplotlib.rc_context(
        {"path.simplify": False, "lines.linewidth": 9, "path.snap": True, "agg.path.chunksize": 9}
    ):
        draw(-case, (50, 50))
        assert draw(case, (336, 336)).tobytes() == first.tobytes()
    assert hashlib.sha256(png_bytes(first)).digest() == hashlib.sha256(png_bytes(draw(case, (336, 336)))).digest()


def test_simplification_of_long_series_stays_within_a_grey_level_of_the_exact_line():
    case = np.random.default_rng(1).normal(size=(1, 2709)).cumsum(axis=1)
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    from vlm_tsc.representation.limits import case_limits
    from vlm_tsc.representation.line import heights, to_pixels

    path = Path(to_pixels(np.linspace(0, 1, 2709), heights(case, case_limits(case))[0], 336, 336))
    path.should_simplify = False
    canvas = RendererAgg(336, 336, 72)
    pen = canvas.new_gc()
    pen.set_linewidth(336 / 140)
    pen.set_joinstyle("round")
    pen.set_snap(False)
    canvas.draw_path(pen, path, IdentityTransform(), None)
    exact = 255 - np.asarray(canvas.buffer_rgba())[:, :, 3].astype(int)
    assert np.abs(draw(case, (336, 336))[:, :, 0] - exact).mean() < 1.0


def test_two_channels_are_red_and_blue_and_neither_hides_the_other():
    up, down = RAMP, 1 - RAMP
    both = draw(np.concatenate([up, down]), (90, 90))
    blue_plane, red_plane = both[:, :, 2], both[:, :, 0]  # red ink darkens green and blue; blue ink red and green
    np.testing.assert_array_equal(blue_plane, draw(up, (90, 90))[:, :, 0])
    np.testing.assert_array_equal(red_plane, draw(down, (90, 90))[:, :, 0])


def test_panels():
    assert [panel_grid(n) for n in (1, 2, 3, 4, 6, 9, 10)] == [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (3, 3), (4, 3)]
    case = np.repeat(RAMP, 4, axis=0)
    colours, multiples = draw(case, (100, 100)), draw(case, (100, 100), channels="multiples")
    assert (colours[:50] != multiples[:50]).any()
    assert (multiples[:, :, 0] == multiples[:, :, 1]).all()  # black only
    np.testing.assert_array_equal(multiples[:50, :50], multiples[50:, 50:])


def test_values_outside_shared_limits_are_cut_at_the_edge():
    limits = np.array([[0.0, 1.0]])
    np.testing.assert_array_equal(
        draw(RAMP * 9 - 4, (60, 60), limits), draw(np.clip(RAMP * 9 - 4, 0, 1), (60, 60), limits)
    )


def test_auto_limits_are_shared_unless_every_case_is_z_normalised():
    cases = [np.random.default_rng(i).normal(size=(2, 40)) * 3 + 5 for i in range(4)]
    normalised = [(c - c.mean(1, keepdims=True)) / c.std(1, keepdims=True) for c in cases]
    assert is_z_normalised(normalised) and not is_z_normalised(cases)
    assert choose_limits("auto", normalised) is None and choose_limits("case", cases) is None
    limits = choose_limits("auto", cases)
    assert limits is not None and limits.shape == (2, 2)
    np.testing.assert_allclose(limits, train_limits(cases))
    values = np.concatenate(cases, axis=1)
    assert (limits[:, 0] >= values.min(1)).all() and (limits[:, 1] <= values.max(1)).all()


@pytest.mark.parametrize("n_channels", [1, 2])
def test_png_is_lossless(tmp_path, n_channels):
    picture = draw(np.repeat(RAMP, n_channels, axis=0) ** [[1], [2]][:n_channels], (64, 48))
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(picture))
    np.testing.assert_array_equal(read_png(path), picture)


def test_a_broken_or_missing_png_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(draw(RAMP, (64, 64)))[:100])
    for wrong in (path, tmp_path / "none.png"):
        with pytest.raises(InputError, match=wrong.name):
            read_png(wrong)
