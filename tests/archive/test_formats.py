"""Every format gives the same cases and the labels as written; values are compared with the loaders of aeon."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import aeon.datasets
import numpy as np
import pytest
from aeon.datasets import load_from_arff_file, load_from_ts_file, load_from_tsv_file

from vlm_tsc.archive.formats import READERS, read

AEON = Path(aeon.datasets.__file__).parent / "data"
LABELS = ["-1", "1.0", "10", "walk"]
CASES = [np.array([row]) for row in ([0.1, -2.0, 3.5e-3], [4.0, 5.0, 6.0], [7.0, 8.0], [1 / 3, 0.0, 1e9])]


def table(separator: str) -> str:
    rows = [[repr(float(value)) for value in case[0]] + ["NaN"] * (3 - case.shape[1]) for case in CASES]
    return "".join(separator.join([label, *row]) + "\n" for label, row in zip(LABELS, rows, strict=True))


def as_ts() -> str:
    rows = [",".join(repr(float(value)) for value in case[0]) for case in CASES]
    head = "# made for a test\n@problemName T\n@timeStamps false\n@univariate true\n@equalLength false\n"
    cases = "".join(f"{row}:{label}\n" for row, label in zip(rows, LABELS, strict=True))
    return head + f"@classLabel true {' '.join(LABELS)} never\n@data\n" + cases


def as_arff() -> str:
    rows = [[repr(float(value)) for value in case[0]] + ["?"] * (3 - case.shape[1]) for case in CASES]
    head = "% made for a test\n@relation T\n" + "".join(f"@attribute a{i} numeric\n" for i in range(3))
    cases = "".join(",".join([*row, label]) + "\n" for row, label in zip(rows, LABELS, strict=True))
    return head + f"@attribute target {{{','.join(LABELS)}, never}}\n@data\n" + cases


def as_npz() -> bytes:
    X = np.array([[*case[0], *[np.nan] * (3 - case.shape[1])] for case in CASES])
    file = io.BytesIO()
    np.savez(file, X=X, y=np.array(LABELS))
    return file.getvalue()


CONTENTS = {
    ".tsv": table("\t").encode(),
    ".csv": table(",").encode(),
    ".txt": table("  ").encode(),
    ".ts": as_ts().encode(),
    ".arff": as_arff().encode(),
    ".npz": as_npz(),
}


def test_the_contents_here_cover_every_format():
    assert set(CONTENTS) == set(READERS)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", CONTENTS)
def test_every_format_holds_the_same(own_file, suffix, compressed):
    content = CONTENTS[suffix]
    path = own_file(f"t{suffix}.gz", gzip.compress(content)) if compressed else own_file(f"t{suffix}", content)
    part = read(Path(path))
    assert part.labels == LABELS
    assert part.declared == ((*LABELS, "never") if suffix in (".ts", ".arff") else ())
    for case, expected in zip(part.cases, CASES, strict=True):
        assert case.dtype == np.float64
        np.testing.assert_array_equal(case, expected)


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".txt", ".ts", ".arff"])
def test_windows_line_ends_blank_lines_and_a_byte_order_mark(own_file, suffix):
    text = CONTENTS[suffix].decode().replace("\n", "\r\n\r\n") + "\r\n"
    part = read(Path(own_file(f"t{suffix}", b"\xef\xbb\xbf" + text.encode())))
    assert part.labels == LABELS
    np.testing.assert_array_equal(part.cases[3], CASES[3])


def test_separator_of_txt_is_seen(own_file):
    for separator in ("\t", ",", " ", "   "):
        assert read(Path(own_file("t.txt", table(separator)))).labels == LABELS
    assert read(Path(own_file("t.TXT", "   1.0000000e+00  -7.0e-01   2.0\n  2.0e+00   1 2\n"))).labels == [
        "1.0000000e+00",
        "2.0e+00",
    ]


def test_a_quoted_label_may_hold_the_separator(own_file):
    part = read(Path(own_file("t.csv", '"walk, fast",1,2\n"run",3,4\n')))
    assert part.labels == ["walk, fast", "run"]


def test_trailing_empty_cells_end_a_series_and_inner_ones_are_missing(own_file):
    first, second = read(Path(own_file("t.csv", "a,1,2,,\nb,,2,3,4\n"))).cases
    np.testing.assert_array_equal(first, [[1, 2]])
    np.testing.assert_array_equal(second, [[np.nan, 2, 3, 4]])


def test_a_trailing_gap_in_ts_is_missing_because_ts_can_write_a_shorter_series(own_file):
    case = read(Path(own_file("t.ts", "@classLabel true a b\n@data\n1,2,?:3,4,NaN:a\n"))).cases[0]
    np.testing.assert_array_equal(case, [[1, 2, np.nan], [3, 4, np.nan]])


def test_labels_of_ts_keep_their_case(own_file):
    part = read(Path(own_file("t.ts", "@CLASSLABEL TRUE Walk Nancy\n@data\n1,2:Walk\n3,4: Nancy \n")))
    assert part.labels == ["Walk", "Nancy"] and part.declared == ("Walk", "Nancy")


def test_npz_with_channels_numbers_as_labels_and_a_trailing_gap_of_all_channels(tmp_path):
    X = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    X[0, :, 2] = np.nan
    np.savez(tmp_path / "t.npz", X=X, y=np.array([-1, 10]))
    part = read(tmp_path / "t.npz")
    assert part.labels == ["-1", "10"]
    assert [case.shape for case in part.cases] == [(2, 2), (2, 3)]


@pytest.mark.parametrize(
    "file", ["ItalyPowerDemand_TEST", "BasicMotions_TRAIN", "JapaneseVowels_TRAIN", "PickupGestureWiimoteZ_TEST"]
)
def test_ts_against_aeon(file):
    path = AEON / file.split("_")[0] / f"{file}.ts"
    X, y = load_from_ts_file(str(path))
    part = read(path)
    for ours, theirs in zip(part.cases, X, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [label.lower() for label in part.labels] == list(y)


@pytest.mark.parametrize("file", ["ArrowHead", "GunPoint", "BasicMotions"])
def test_arff_against_aeon(file):
    path = AEON / file / f"{file}_TRAIN.arff"
    X, y = load_from_arff_file(str(path))
    part = read(path)
    np.testing.assert_array_equal(np.stack(part.cases), X)
    assert part.labels == list(y)
    assert set(part.labels) == set(part.declared)


@pytest.mark.parametrize("name", ["ArrowHead", "GunPoint"])
def test_tsv_against_aeon(name):
    path = AEON / name / f"{name}_TRAIN.tsv"
    X, y = load_from_tsv_file(str(path))  # labels come as numbers, values rounded by pandas' faster parser
    part = read(path)
    np.testing.assert_allclose(np.stack(part.cases), X, rtol=1e-14)
    assert part.labels == [str(label) for label in y]


@pytest.mark.parametrize("name", ["ArrowHead", "GunPoint"])
def test_one_set_in_three_formats(name):
    ts, tsv, arff = (read(AEON / name / f"{name}_TRAIN.{suffix}") for suffix in ("ts", "tsv", "arff"))
    assert ts.labels == tsv.labels == arff.labels
    np.testing.assert_allclose(np.stack(tsv.cases), np.stack(ts.cases), atol=1e-6)
    np.testing.assert_allclose(np.stack(arff.cases), np.stack(ts.cases), atol=1e-6)
