from __future__ import annotations

import numpy as np
import pytest

from vlm_tsc.representation import number_text, values_text


@pytest.mark.parametrize("round_to", [0, 1, 2, 5, 10])
@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e4])
def test_parsing_back_equals_rounding(round_to: int, scale: float) -> None:
    case = np.random.default_rng(round_to).normal(size=(3, 50)) * scale
    lines = values_text(case, round_to).split("\n")
    assert [line.split(": ")[0] for line in lines] == ["channel 1", "channel 2", "channel 3"]
    parsed = np.array([[float(word) for word in line.split(": ")[1].split(" ")] for line in lines])
    np.testing.assert_array_equal(parsed, np.round(case, round_to))


def test_one_channel_has_no_name() -> None:
    assert values_text(np.array([[0.5, -1.24, 0.26]]), 1) == "0.5 -1.2 0.3"


@pytest.mark.parametrize("round_to", [0, 2])
def test_zero_has_no_sign_and_nothing_has_an_exponent(round_to: int) -> None:
    text = values_text(np.array([[-0.0, -1e-9, 1e-300, -0.4 * 10.0**-round_to, 123456789012.25]]), round_to)
    assert "e" not in text
    assert "-" not in text
    assert text.split()[-1] == ("123456789012" if round_to == 0 else "123456789012.25")


def test_numbers_too_large_for_decimals_stay_readable() -> None:
    text = values_text(np.array([[1e300, -2.5e20, 1.0, -0.001]]), 2)
    assert text == "1e+300 -2.5e+20 1.00 0.00"


def test_number_text_is_the_same_format() -> None:
    assert number_text(-0.001, 2) == "0.00"
    assert number_text(3.14159, 3) == "3.142"
