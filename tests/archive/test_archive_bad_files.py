"""What is wrong with a file is said once: what, where with its line, got and allowed."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from vlm_tsc.archive.formats import read
from vlm_tsc.errors import InputError

TS = "@classLabel true a b\n@equalLength true\n@data\n"
ARFF = "@relation t\n@attribute x numeric\n@attribute y numeric\n"


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


CASES = {
    "empty": ("t.csv", "", ["empty", "t.csv"]),
    "empty ts": ("t.ts", "", ["empty", "t.ts"]),
    "empty npz": ("t.npz", b"", ["empty", "t.npz"]),
    "only blank lines": ("t.tsv", "\n\n", ["no case", "t.tsv"]),
    "no case after the header": ("t.ts", TS, ["no case", "t.ts"]),
    "ragged csv": ("t.csv", "a,1,2,3\n\nb,4,5\n", ["number of cells", "line 3", "3 cells", "4, as in the first row"]),
    "ragged tsv": ("t.tsv", "a\t1\t2\nb\t4\t5\t6\n", ["line 2", "4 cells"]),
    "a word among the values": ("t.csv", "a,1,2\nb,3,oops\n", ["not a number", "line 2, column 3", "'oops'"]),
    "a header line": ("t.csv", "label,t0,t1\na,1,2\n", ["line 1, column 2", "'t0'", "no header line"]),
    "semicolons": ("t.csv", "a;1;2\nb;3;4\n", ["without values", "line 1", "commas"]),
    "an open quote": ("t.csv", 'a,1,2\n"b,3,4\n', ["quotes", "line 2"]),
    "spaces in tsv": ("t.tsv", "a 1 2\n", ["line 1", "tabs"]),
    "label column missing": ("t.csv", "0.12,0.5,0.7\n0.33,0.1,0.2\n-0.7,0.4,0.2\n", ["label column", "0.12, 0.33"]),
    "label missing": ("t.csv", "a,1,2\n,3,4\n", ["no label", "line 2"]),
    "label unknown": ("t.ts", TS + "1,2:a\n3,4:?\n", ["no label", "line 5"]),
    "no label in ts": ("t.ts", TS + "1,2:a\n3,4\n", ["no label", "line 5"]),
    "no label in multivariate ts": ("t.ts", TS + "1,2:3,4:a\n3,4:5,6\n", ["no label", "line 5"]),
    "unlabelled ts": ("t.ts", "@classLabel false\n@data\n1,2\n", ["no label", "@classLabel false"]),
    "regression ts": ("t.ts", "@targetlabel true\n@data\n1,2:0.5\n", ["regression", "@targetlabel true"]),
    "time stamps": (
        "t.ts",
        "@timeStamps true\n@classLabel true a\n@data\n(0,1):a\n",
        ["time stamps", "@timestamps true"],
    ),
    "no @data": ("t.ts", "1,2,3:a\n", ["@data"]),
    "a word in ts": ("t.ts", TS + "1,x:a\n", ["not a number", "line 4, channel 1, column 2"]),
    "lengths differ in ts of equal length": (
        "t.ts",
        TS + "1,2:a\n1,2,3:b\n",
        ["differ in length", "line 5", "3 values"],
    ),
    "channels of unequal length": ("t.ts", TS + "1,2:1,2,3:a\n", ["channels", "line 4", "2, 3"]),
    "channels differ": ("t.ts", TS + "1,2:1,2:a\n1,2:b\n", ["number of channels", "line 5", "1 channels", "2, as"]),
    "no class in arff": ("t.arff", ARFF + "@data\n1,2\n", ["label column is missing", "@attribute y numeric"]),
    "ragged arff": ("t.arff", ARFF + "@attribute c {a,b}\n@data\n1,2,a\n1,b\n", ["line 7", "1 values"]),
    "not text": ("t.csv", b"\xff\xfe\x00a", ["not text", "UTF-8"]),
    "not gzip": ("t.csv.gz", b"a,1,2\n", ["gzip", "t.csv.gz"]),
    "half a gzip": ("t.csv.gz", gzip.compress(b"a,1,2\n" * 9999)[:-20], ["gzip"]),
    "half a gzipped npz": ("t.npz.gz", gzip.compress(npz(X=np.ones((2, 5)), y=[1, 2]))[:-20], ["gzip"]),
    "foreign format": ("t.xlsx", b"PK", ["format", ".xlsx", ".tsv"]),
    "no npz": ("t.npz", b"nonsense", ["npz"]),
    "npy": ("t.npz", b"\x93NUMPY\x01\x00", ["npz"]),
    "npz without y": ("t.npz", npz(X=np.ones((2, 5))), ["missing", "X", "y"]),
    "npz with a pickle": ("t.npz", npz(X=np.array([[1], [1, 2]], dtype=object), y=[1, 2]), ["plain arrays"]),
    "npz of four axes": ("t.npz", npz(X=np.ones((2, 1, 1, 5)), y=[1, 2]), ["X", "(2, 1, 1, 5)", "n_timepoints"]),
    "npz of text": ("t.npz", npz(X=np.array([["a", "b"]]), y=[1]), ["X", "<U1"]),
    "npz with too few labels": ("t.npz", npz(X=np.ones((2, 5)), y=[1]), ["y", "(1,)", "(2,)"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_refused_with_its_place(own_file, case):
    name, content, words = CASES[case]
    with pytest.raises(InputError) as error:
        read(Path(own_file(name, content)))
    for word in [name, *words]:
        assert word in str(error.value)


def test_integers_and_few_fractions_pass_as_labels(own_file):
    assert read(Path(own_file("t.csv", "1,2,3\n2,3,4\n3,4,5\n"))).labels == ["1", "2", "3"]
    assert read(Path(own_file("u.csv", "0.5,2,3\n1.5,3,4\n0.5,4,5\n1.5,2,2\n"))).labels == ["0.5", "1.5", "0.5", "1.5"]
