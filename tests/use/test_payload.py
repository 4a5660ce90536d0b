"""What a request's body may be, and how it is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vlm_tsc.errors import InputError
from vlm_tsc.use.payload import CSV, JSON, Expected, accepted, read_payload, refuse_unanswered, write_answer

THREE = Expected(n_channels=1, n_timepoints=3)


def test_csv_is_a_case_a_row():
    cases = read_payload(b"1,2,3\r\n4,5e-1,6\r\n", CSV, THREE).cases
    np.testing.assert_array_equal(cases, [[[1, 2, 3]], [[4, 0.5, 6]]])


def test_a_shorter_case_ends_in_empty_cells():
    cases = read_payload(b"1,2,3\n4,5,\n", CSV, THREE).cases
    assert [case.tolist() for case in cases] == [[[1, 2, 3]], [[4, 5]]]


def test_the_headed_layout_takes_channels():
    body = b"sample,feature,x_1,x_2\n7,a,1,2\n7,b,3,4\n8,a,5,6\n8,b,7,8\n"
    np.testing.assert_array_equal(read_payload(body, CSV, Expected(2)).cases, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]])


def test_json_is_a_list_of_cases_of_one_or_several_channels():
    bare = read_payload(b"[[1, 2, 3], [4, 5]]", JSON, THREE)
    assert ([case.tolist() for case in bare.cases], bare.output) == ([[[1, 2, 3]], [[4, 5]]], None)
    body = json.dumps({"instances": [[[1, 2], [3, 4]]], "output": "probabilities"}).encode()
    named = read_payload(body, JSON, Expected())
    assert ([case.tolist() for case in named.cases], named.output) == ([[[1, 2], [3, 4]]], "probabilities")


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (CSV, b" \n", ("there is nothing to classify",)),
        (CSV, b"1,2,3\nwalk,2,3\n", ("not a number", "the request's body, line 2, column 1", "'walk'", "numbers")),
        (CSV, b"walk,1,2,3\n", ("the table does not fit", "4 columns", "3, the values", "without the label")),
        (CSV, b"1,2\n", ("the table does not fit", "2 columns")),
        (CSV, b"1,2,3\n1,2\n", ("rows differ in their number of cells", "line 2", "2 cells")),
        (CSV, b"1,,3\n", ("a value is missing", "the request's body, line 1, channel 1, timepoint 2")),
        (CSV, b"1,1e999,3\n", ("infinite values", "line 1, channel 1, timepoint 2")),
        (CSV, b"\xff\xfe1\x00,\x002\x00", ("the file is not text", "UTF-8")),
        (CSV, b"sample,feature,x_1,x_2\n1,a,1,2\n1,b,1,2\n", ("number of channels", "got:     2", "allowed: 1")),
        (JSON, b"{", ("the body is no JSON",)),
        (JSON, b"[" * 100_000, ("the body is no JSON",)),
        (JSON, b"3", ("there are no cases", "int", "a list of cases")),
        (JSON, b'{"instances": []}', ("there are no cases", "nothing")),
        (JSON, b'{"instance": [[1, 2]]}', ("unknown fields", "'instance'", "instances, output")),
        (JSON, b"[1, 2, 3]", ("this is no series", "case 1", "int", "a list of numbers")),
        (JSON, b'[[1, 2], [1, "2"]]', ("not a number", "case 2, channel 1, timepoint 2", "'2'")),
        (JSON, b"[[1, true]]", ("not a number", "True")),
        (JSON, b"[[1, null, 3]]", ("a value is missing", "case 1, channel 1, timepoint 2")),
        (JSON, b"[[1, NaN, 3]]", ("a value is missing",)),
        (JSON, b"[[1, Infinity, 3]]", ("infinite values",)),
        (JSON, b"[[1, 1" + b"0" * 400 + b"]]", ("a number is too large",)),
        (JSON, b"[[1, 2], [1, -1e39]]", ("a value is too large", "case 2", "1.0e+39")),
        (JSON, b"[[1]]", ("a single timepoint", "case 1")),
        (JSON, b"[[]]", ("a case is empty",)),
        (JSON, b"[[[1, 2], [3]]]", ("channels of a case differ in length", "case 1")),
        (JSON, b"[[[1, 2], [3, 4]]]", ("number of channels", "got:     2", "allowed: 1")),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_its_place(kind, body, words):
    with pytest.raises(InputError) as refused:
        read_payload(body, kind, THREE)
    assert not [word for word in words if word not in str(refused.value)]
    assert "/tmp" not in str(refused.value) and "--" not in str(refused.value)


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        ("*/*", (CSV, None)),
        ("application/json", (JSON, None)),
        ("text/html, application/*;q=0.5, */*;q=0.1", (JSON, None)),
        ("text/csv;q=0.2, application/json", (JSON, None)),
        ("text/csv; output=probabilities", (CSV, "probabilities")),
        ("text/*; q=0, application/json", (JSON, None)),
        ("text/html", None),
    ],
)
def test_the_accept_header_decides(accept, found):
    assert accepted(accept, CSV) == found


def test_answers_say_labels_or_probabilities():
    probabilities, classes = np.array([[0.25, 0.75], [1.0, 0.0]]), ["a", "b,c"]
    assert write_answer(probabilities, classes, CSV, "labels") == '"b,c"\na\n'
    assert write_answer(probabilities, classes, CSV, "probabilities") == 'a,"b,c"\n0.25,0.75\n1.0,0.0\n'
    assert json.loads(write_answer(probabilities, [1, 2], JSON, "labels")) == {"labels": [2, 1]}
    assert json.loads(write_answer(probabilities, classes, JSON, "probabilities")) == {
        "labels": ["b,c", "a"],
        "classes": ["a", "b,c"],
        "probabilities": [[0.25, 0.75], [1.0, 0.0]],
    }


def test_an_answer_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="case 2"):
        refuse_unanswered(np.array([[0.5, 0.5], [np.nan, 0.5]]))
