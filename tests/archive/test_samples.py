"""The headed layout: columns sample, feature, y_*, x_*; one channel a row."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from vlm_tsc.archive import load
from vlm_tsc.archive.formats import read, read_unlabelled
from vlm_tsc.errors import InputError

HEADED = """sample,feature,y_1,x_1,x_2,x_3
s1,acc,walk,1,2,3
s1,gyr,walk,4,5,6
s2,gyr,run,10,11,
s2,acc,run,7,8,
"""


def written(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_of_a_sample_are_its_channels(tmp_path):
    part = read(written(tmp_path, HEADED))
    assert part.labels == ["walk", "run"] and part.lines == [2, 4]
    np.testing.assert_array_equal(part.cases[0], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(part.cases[1], [[7, 8], [10, 11]])  # in the first sample's order, and shorter


def test_columns_may_stand_in_any_order_and_the_file_be_compressed(tmp_path):
    rows = [line.split(",") for line in HEADED.splitlines()]
    text = "".join(",".join(row[3:] + row[2::-1]) + "\n" for row in rows)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    plain, other = read(written(tmp_path, HEADED)), read(path)
    assert plain.labels == other.labels
    assert all(np.array_equal(a, b) for a, b in zip(plain.cases, other.cases, strict=True))


def test_a_class_may_be_one_column_each(tmp_path):
    text = "sample,feature,y_walk,y_run,x_1,x_2\n0,a,1,0,5,6\n1,a,0,1,7,8\n"
    assert read(written(tmp_path, text)).labels == ["walk", "run"]


def test_a_dataset_may_be_such_a_file(tmp_path):
    lines = [f"{i},a,{'ab'[i % 2]},{i},{i + 1}" for i in range(12)]
    path = written(tmp_path, "\n".join(["sample,feature,y_1,x_1,x_2", *lines]) + "\n")
    splits = load(str(path))
    assert splits.train.class_names == ("a", "b") and splits.train.n_channels == 1


def test_without_labels(tmp_path):
    unlabelled = "".join(",".join(line.split(",")[:2] + line.split(",")[3:]) + "\n" for line in HEADED.splitlines())
    for text in (HEADED, unlabelled):  # a y_* column does not count
        part = read_unlabelled(written(tmp_path, text))
        np.testing.assert_array_equal(part.cases[0], [[1, 2, 3], [4, 5, 6]])
    part = read_unlabelled(written(tmp_path, "1,2,3\n4,5,\n"))
    assert [case.tolist() for case in part.cases] == [[[1, 2, 3]], [[4, 5]]]
    with pytest.raises(InputError, match="no table of series"):
        read_unlabelled(tmp_path / "t.npz")


ERRORS = {
    "no class": ("sample,feature,x_1,x_2\n0,a,1,2\n", ["columns are missing", "no y_"]),
    "no value": ("sample,feature,y_1\n0,a,b\n", ["columns are missing", "no x_"]),
    "a column nobody knows": ("sample,feature,y_1,x_1,when\n0,a,b,1,2\n", ["unknown columns", "when"]),
    "a column twice": ("sample,feature,y_1,x_1,x_1\n0,a,b,1,2\n", ["twice"]),
    "a row twice": ("sample,feature,y_1,x_1,x_2\n0,a,b,1,2\n0,a,b,1,2\n", ["twice", "line 3"]),
    "two classes": ("sample,feature,y_1,x_1,x_2\n0,a,b,1,2\n0,c,d,1,2\n", ["two classes", "b and d", "line 3"]),
    "no class at all": ("sample,feature,y_1,x_1,x_2\n0,a,,1,2\n", ["no label", "line 2"]),
    "several classes": ("sample,feature,y_a,y_b,x_1,x_2\n0,a,1,1,1,2\n", ["exactly one class", "a=1, y_b=1"]),
    "other features": ("sample,feature,y_1,x_1,x_2\n0,a,b,1,2\n1,c,b,1,2\n", ["differ in their features", "sample 1"]),
    "no number": ("sample,feature,y_1,x_1,x_2\n0,a,b,1,two\n", ["not a number", "line 2, column 5"]),
    "a header alone": ("sample,feature,y_1,x_1,x_2\n", ["no case"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_is_wrong_is_named_with_its_line(tmp_path, case):
    text, says = ERRORS[case]
    with pytest.raises(InputError) as caught:
        read(written(tmp_path, text))
    assert all(word in str(caught.value) for word in [*says, "t.csv"]), str(caught.value)
