from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vlm_tsc.archive import load
from vlm_tsc.archive.formats import read
from vlm_tsc.archive.policies import with_lengths, without_missing
from vlm_tsc.errors import InputError

GAPS = "a,,2,,4\nb,5,6,7,8\na,1,2,3\nb,1,2,3,4".replace("a,1,2,3\n", "a,1,2,3,\n")


def part_of(own_file, text, name="t.csv"):
    return read(Path(own_file(name, text)))


def test_missing_values_are_refused_with_their_place(own_file):
    part = part_of(own_file, GAPS)
    with pytest.raises(
        InputError, match=r"(?s)1 of 4 cases.*t\.csv, line 1, channel 1, timepoint 1.*--missing interpolate"
    ):
        without_missing(part, "error")


def test_interpolation_is_linear_in_time_and_flat_at_the_ends(own_file):
    part = part_of(own_file, "@classLabel true a\n@data\n?,2,?,?,5,?:1,1,1,1,1,1:a\n", "t.ts")
    np.testing.assert_allclose(without_missing(part, "interpolate")[0], [[2, 2, 3, 4, 5, 5], [1] * 6])


def test_what_is_not_missing_is_not_touched(own_file):
    part = part_of(own_file, GAPS)
    cases = without_missing(part, "interpolate")
    assert [case.shape[1] for case in cases] == [4, 4, 3, 4]
    for i in (1, 2, 3):
        assert cases[i] is part.cases[i]


@pytest.mark.parametrize("policy", ["error", "interpolate"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,1,2\nb,3,inf\n", ["1 of 2 cases have infinite values", "line 2", "timepoint 2", "inf"]),
        ("a,1,2\nb,-1e999,2\n", ["infinite", "line 2", "timepoint 1"]),
        ("a,1\nb,2\n", ["single timepoint", "line 1", "at least 2"]),
        ("a,1,2\nb,3,\n", ["single timepoint", "line 2", "length 1"]),
        ("a,1,2\nb,,NaN\n", ["empty", "line 2", "length 0"]),
    ],
)
def test_what_no_policy_mends(own_file, policy, text, words):
    with pytest.raises(InputError) as error:
        without_missing(part_of(own_file, text), policy)
    assert all(word in str(error.value) for word in words)


def test_a_channel_without_any_value_cannot_be_interpolated(own_file):
    part = part_of(own_file, "@classLabel true a\n@data\n1,2:?,?:a\n", "t.ts")
    with pytest.raises(InputError, match=r"(?s)no value.*line 3, channel 2"):
        without_missing(part, "interpolate")


def test_length_policies():
    short, long, longer = np.array([[0.0, 2.0]]), np.array([[0.0, 1.0, 2.0]]), np.array([[3.0, 0.0, 0.0, 3.0]])
    assert with_lengths([short, long], [longer], "keep") == ([short, long], [longer])
    train, test = with_lengths([short, long], [longer], "pad")
    np.testing.assert_array_equal(np.stack(train + test)[:, 0], [[0, 2, 0, 0], [0, 1, 2, 0], [3, 0, 0, 3]])
    train, test = with_lengths([short, long], [longer], "resample")
    np.testing.assert_allclose(np.stack(train + test)[:, 0], [[0, 1, 2], [0, 1, 2], [3, 0, 3]])


def test_load_applies_the_policies(own_file):
    train, test = own_file("train.csv", GAPS), own_file("test.csv", "a,1,2,3,4,5\nb,2,3,4,5,6\n")
    kept = load(train, test=test, missing="interpolate")
    assert isinstance(kept.train.X, list) and isinstance(kept.test.X, list)
    assert kept.train.lengths.tolist() == [4, 4, 3, 4] and kept.train.n_timepoints is None
    padded = load(train, test=test, missing="interpolate", lengths="pad")
    assert padded.train.X.shape == (4, 1, 5) and padded.test.X.shape == (2, 1, 5)
    resampled = load(train, test=test, missing="interpolate", lengths="resample")
    assert resampled.train.X.shape == (4, 1, 4) and resampled.test.X.shape == (2, 1, 4)


def test_a_constant_series_is_legal(own_file):
    splits = load(own_file("t.csv", "a,1,1,1\nb,2,2,2\n" * 5))
    assert splits.train.X.std(axis=-1).max() == 0


@pytest.mark.parametrize(("option", "value"), [("missing", "interpolat"), ("lengths", "crop")])
def test_an_unknown_policy_is_refused(own_file, option, value):
    with pytest.raises(InputError, match=rf"(?s)--{option}.*{value}.*allowed"):
        load(own_file("t.csv", "a,1,2\nb,1,2\n"), **{option: value})
