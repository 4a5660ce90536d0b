"""Files without labels: every format, read a chunk at a time where one case is a row."""

from __future__ import annotations

import gzip
import tracemalloc
from types import GeneratorType

import numpy as np
import pytest

from vlm_tsc.archive.unlabelled import table_width, unlabelled_parts
from vlm_tsc.errors import InputError

X = np.array([[[1.0, 2.5, -3.0]], [[4.0, 5.0, 1e-7]], [[7.0, 8.0, 9.0]]])


def _text(separator):
    return "".join(separator.join(map(repr, case[0].tolist())) + "\n" for case in X)


FILES = {
    "a.csv": _text(","),
    "a.tsv": _text("\t"),
    "a.txt": _text("   "),
    "comma.txt": _text(","),
    "no labels.ts": "@classLabel false\n@data\n" + _text(","),
    "labels.ts": "@classLabel true a b\n@data\n" + _text(",").replace("\n", ":a\n"),
    "no labels.arff": "@relation r\n@attribute x numeric\n@data\n" + _text(","),
    "labels.arff": "@relation r\n@attribute y {a,b}\n@data\n" + _text(",").replace("\n", ",b\n"),
    "headed.csv": "sample,feature,x_1,x_2,x_3\n"
    + "".join(f"s,{i},{row}\n" for i, row in enumerate(_text(",").split())),
}


def cases(path, n_cases=2):
    return [case for part in unlabelled_parts(path, n_cases) for case in part.cases]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_values(tmp_path, name, zipped):
    path = tmp_path / (name + ".gz" * zipped)
    path.write_bytes(gzip.compress(FILES[name].encode()) if zipped else FILES[name].encode())
    found = cases(path)
    expected = [X[:, 0]] if name == "headed.csv" else X  # one sample of three channels
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    is_table = name in ("a.csv", "a.tsv", "a.txt", "comma.txt")
    assert table_width(path) == (3 if is_table else None)


@pytest.mark.parametrize("arrays", [{"X": X}, {"X": X, "y": np.array([1, 2, 3])}])
def test_an_npz_needs_no_y(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    np.testing.assert_array_equal(np.stack(cases(tmp_path / "a.npz")), X)


def test_a_part_knows_its_lines_and_the_names_of_its_cases(tmp_path):
    (tmp_path / "a.csv").write_text("\n" + FILES["a.csv"])
    first, second = unlabelled_parts(tmp_path / "a.csv", 2)
    assert (first.lines, second.lines) == ([2, 3], [4]) and second.place(0).endswith("line 4")
    (tmp_path / "h.csv").write_text(FILES["headed.csv"])
    assert next(unlabelled_parts(tmp_path / "h.csv", 2)).names == ["s"]


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Ten times the rows, the same memory: only one chunk is held."""
    peaks = []
    for n_rows in (2_000, 20_000):
        path = tmp_path / f"{n_rows}.csv"
        path.write_text("0.5,1.25,-3.5,2\n" * n_rows)
        parts = unlabelled_parts(path, 100)
        assert isinstance(parts, GeneratorType)
        tracemalloc.start()
        assert sum(len(part.cases) for part in parts) == n_rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 10_000, peaks


def _samples(n, features="ab"):
    """Lines of a headed table, the rows of a sample together."""
    return [f"s{i},{feature},{i},2.5" for i in range(n) for feature in features]


HEADERS = {
    "a.csv": (["sample,feature,x_1,x_2"], _samples(4)),
    "a.ts": (["@classLabel false", "@data"], ["1,2:3,4"] * 4),
    "a.arff": (["@relation r", "@attribute x numeric", "@data"], ["'1,2\\n3,4'"] * 4),
    "a.tsv": ([], ["1\t2"] * 4),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_case_is_given_before_the_rest_is_read(tmp_path, name):
    header, rows = HEADERS[name]
    broken = rows[-1].replace("2", "two")
    (tmp_path / name).write_text("\n".join([*header, *rows, *rows[: 2 * (name == "a.csv")], broken]) + "\n")
    parts = unlabelled_parts(tmp_path / name, 2)
    assert [len(next(parts).cases), len(next(parts).cases)] == [2, 2]
    with pytest.raises(InputError, match="two"):
        next(parts)


def test_memory_does_not_grow_with_a_table_of_several_channels(tmp_path):
    peaks = []
    for n_samples in (500, 4_000):
        path = tmp_path / f"{n_samples}.csv"
        path.write_text("\n".join([*HEADERS["a.csv"][0], *_samples(n_samples)]) + "\n")
        tracemalloc.start()
        assert sum(len(part.cases) for part in unlabelled_parts(path, 100)) == n_samples
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 10_000, peaks


def test_samples_have_the_channels_of_the_first_in_its_order_and_their_names(tmp_path):
    text = "sample,feature,x_1,x_2\np,b,1,2\np,a,3,4\n\nq,a,5,6\n\nq,b,7,8\n"
    (tmp_path / "a.csv").write_text(text)
    first, second = unlabelled_parts(tmp_path / "a.csv", 1)
    assert (first.names, first.lines, second.names, second.lines) == (["p"], [2], ["q"], [5])
    np.testing.assert_array_equal([first.cases[0], second.cases[0]], [[[1, 2], [3, 4]], [[7, 8], [5, 6]]])


APART = {
    "feature by feature": (["p,a", "q,a", "p,b", "q,b"], "sample p in lines 4 and 2"),
    "one row further down": (["p,a", "p,b", "q,a", "r,a", "r,b", "q,b"], "sample q in lines 4 and 7"),
    "a row missing": (["p,a", "p,b", "q,a"], "line 4, sample q"),
    "a row twice": (["p,a", "p,a"], "there twice"),
}


@pytest.mark.parametrize("case", APART)
def test_rows_of_a_sample_that_are_apart_are_refused_with_their_lines(tmp_path, case):
    keys, says = APART[case]
    (tmp_path / "a.csv").write_text("\n".join(["sample,feature,x_1,x_2", *(f"{key},1,2" for key in keys)]) + "\n")
    with pytest.raises(InputError) as caught:
        list(unlabelled_parts(tmp_path / "a.csv", 100))
    assert says in str(caught.value)
    assert ("sort the table by its column sample" in str(caught.value)) == ("in lines" in says)


def test_a_case_with_other_channels_than_the_first_of_the_file_is_refused_in_any_part(tmp_path):
    (tmp_path / "a.ts").write_text("@classLabel false\n@data\n1,2\n3,4\n5,6:7,8\n")
    with pytest.raises(InputError, match=r"line 5\n.*2 channels"):
        list(unlabelled_parts(tmp_path / "a.ts", 2))
