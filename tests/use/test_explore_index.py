"""The explorer's index, filters, pages and comparison against what reading everything gives."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from tests.report.conftest import make_run
from vlm_tsc.conversation.records import read_records
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.predictions import read_predictions
from vlm_tsc.use.explorer.case_index import index_cases
from vlm_tsc.use.explorer.comparison import compared
from vlm_tsc.use.explorer.lines import Records, line_starts, read_line
from vlm_tsc.use.explorer.selection import ORDER, SHOW, View, neighbours, page_of, selected

NAMES = ("calm", "rough", "wild")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs"), skill=1.0, texts=("no\u2028idea", "C"))


@pytest.fixture(scope="module")
def rows(run):
    return read_predictions(run.predictions)


@pytest.fixture(scope="module")
def index(run):
    return index_cases(run.predictions, NAMES)


@pytest.mark.parametrize("text", ["", "a", "a\n", "\n", "a\nbb\n\nccc", "ä\nb\r\n"])
def test_lines_are_found_by_their_bytes(tmp_path, text):
    path = tmp_path / "lines"
    path.write_bytes(text.encode())
    starts = line_starts(path)
    expected = text.removesuffix("\n").split("\n") if text else []
    assert [read_line(path, starts, i).decode() for i in range(len(starts) - 1)] == [
        line.rstrip("\r") for line in expected
    ]


def test_lines_longer_than_a_chunk_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr("vlm_tsc.use.explorer.lines._CHUNK", 3)
    (tmp_path / "lines").write_bytes(b"abcdef\ngh\n\nijk")
    assert line_starts(tmp_path / "lines").tolist() == [0, 7, 10, 11, 14]


def test_every_row_is_that_of_the_file(index, rows):
    assert index.ids == [row.id for row in rows]
    assert [index.prediction(i) for i in range(len(index))] == rows
    assert [NAMES[i] for i in index.true] == [row.true for row in rows]
    np.testing.assert_allclose(index.confidence, [row.probabilities[row.predicted] for row in rows], rtol=1e-6)


def test_generated_answers_count_where_the_run_says_so(run, rows):
    index = index_cases(run.predictions, NAMES, "generate")
    assert [None if i < 0 else NAMES[i] for i in index.answered] == [row.parsed for row in rows]
    assert index.answered[0] == -1 and not index.is_right[0]


@pytest.mark.parametrize(("show", "order"), [*itertools.product(SHOW, ORDER)])
@pytest.mark.parametrize(("true", "answered"), [("", ""), ("wild", ""), ("", "calm"), ("wild", "calm")])
def test_filters_are_those_of_a_loop_over_all_cases(index, rows, show, order, true, answered):
    passes = {
        "all": lambda row: True,
        "wrong": lambda row: row.true != row.predicted,
        "right": lambda row: row.true == row.predicted,
        "unsure": lambda row: row.probabilities[row.predicted] < 0.7,
    }[show]
    wanted = [row for row in rows if passes(row) and true in ("", row.true) and answered in ("", row.predicted)]
    sign = {"file": 0, "sure": -1, "least": 1}[order]
    wanted.sort(key=lambda row: sign * row.probabilities[row.predicted])
    found = selected(index, View(show=show, order=order, true=true, answered=answered, below=0.7))
    assert [index.ids[i] for i in found] == [row.id for row in wanted]


def test_an_unknown_class_has_no_cases(index):
    assert not len(selected(index, View(true="stormy")))


@pytest.mark.parametrize("n_rows", [0, 1, 9, 10, 11, 35])
def test_pages_hold_every_row_once(n_rows):
    rows = np.arange(100, 100 + n_rows)
    n_pages = page_of(rows, 1, 10).n_pages
    pages = [page_of(rows, i + 1, 10) for i in range(n_pages)]
    assert [row for page in pages for row in page.rows] == rows.tolist()
    assert [page.first for page in pages] == [1 + 10 * i for i in range(n_pages)]
    assert page_of(rows, n_pages + 5, 10) == pages[-1] and page_of(rows, -1, 10) == pages[0]


def test_neighbours_follow_the_order_of_the_filter():
    rows = np.array([7, 3, 9])
    assert neighbours(rows, 3) == (7, 9, 2)
    assert neighbours(rows, 7) == (None, 3, 1) and neighbours(rows, 9) == (3, None, 3)
    assert neighbours(rows, 4) == (None, None, None)


def test_an_address_gives_its_view_back():
    from urllib.parse import parse_qsl

    view = View(show="wrong", true="a & b", below=0.3, order="least", page=4)
    given = dict(parse_qsl(view.query(run="x/y")))
    assert given.pop("run") == "x/y" and View.read(given) == view
    assert View.read({"show": "x", "page": "-2", "below": "nan", "order": ""}) == View()
    assert View.read({"page": "1e400", "below": "2"}) == View()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no json",
        "[1]",
        '{"id": "a"}',
        '{"id": 5, "true": "calm", "predicted": "calm", "probabilities": {"calm": 1.0}, "parsed": null}',
        '{"id": "z", "true": "stormy", "predicted": "calm", "probabilities": {"calm": 1.0}, "parsed": null}',
        '{"id": "z", "true": "calm", "predicted": "calm", "probabilities": {"calm": NaN}, "parsed": null}',
        '{"id": "z", "true": "calm", "predicted": "calm", "probabilities": null, "parsed": null}',
    ],
)
def test_a_broken_line_is_named(run, tmp_path, line):
    lines = run.predictions.read_text().split("\n")
    (tmp_path / "broken").write_text("\n".join([*lines[:4], line, *lines[5:]]))
    with pytest.raises(InputError, match="line 5"):
        index_cases(tmp_path / "broken", NAMES)


def test_a_case_that_comes_twice_is_named(run, tmp_path):
    lines = run.predictions.read_text().split("\n")
    (tmp_path / "twice").write_text("\n".join([lines[0], lines[1], lines[0]]))
    with pytest.raises(InputError, match="line 3"):
        index_cases(tmp_path / "twice", NAMES)


def test_records_are_read_one_by_one_whatever_their_order(run, tmp_path):
    wanted = read_records(run.test)
    records = Records(run.test)
    assert [records.record(i, one["id"]) for i, one in enumerate(wanted)] == wanted
    lines = run.test.read_text().splitlines()
    turned = ["[", *[line.rstrip(",") + "," for line in lines[-2:0:-1]][:-1], lines[1].rstrip(","), "]"]
    (tmp_path / "turned.json").write_text("\n".join(turned) + "\n")
    assert json.loads((tmp_path / "turned.json").read_text())[0] == wanted[-1]
    records = Records(tmp_path / "turned.json")
    assert [records.record(i, one["id"]) for i, one in enumerate(wanted)] == wanted
    with pytest.raises(InputError, match="no record"):
        records.record(0, "test-99999")


def test_runs_are_compared_as_a_loop_over_their_cases_would(run, index, rows, tmp_path):
    other = make_run(tmp_path, seed=3, skill=1.0, n_cases=40, class_names=("calm", "wild", "rough"))
    theirs = {row.id: row for row in read_predictions(other.predictions)}
    second = index_cases(other.predictions, ("calm", "wild", "rough"))
    found = compared(index, second)
    pairs = [(row, theirs[row.id]) for row in rows if row.id in theirs and theirs[row.id].true == row.true]
    assert [index.ids[i] for i in found.first] == [row.id for row, _ in pairs]
    assert [second.ids[i] for i in found.second] == [row.id for row, _ in pairs]
    assert found.n_left_out == len(rows) - len(pairs)
    expected = {
        "differ": [one.predicted != two.predicted for one, two in pairs],
        "first": [one.predicted == one.true != two.predicted for one, two in pairs],
        "second": [two.predicted == one.true != one.predicted for one, two in pairs],
        "neither": [one.true not in (one.predicted, two.predicted) for one, two in pairs],
        "both": [one.true == one.predicted == two.predicted for one, two in pairs],
        "all": [True] * len(pairs),
    }
    assert {kind: mask.tolist() for kind, mask in found.kinds.items()} == expected
    assert found.count("differ") == sum(expected["differ"])


def test_a_run_beside_itself_differs_nowhere(index):
    found = compared(index, index)
    assert found.count("differ") == 0 and found.count("all") == len(index) and found.n_left_out == 0
