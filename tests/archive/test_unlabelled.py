"""Files without labels: every format, read a chunk at a time where one case is a row."""

from __future__ import annotations

import gzip
import tracemalloc
from types import GeneratorType

import numpy as np
import pytest

from vlm_tsc.archive.unlabelled import table_width, unlabelled_parts

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
