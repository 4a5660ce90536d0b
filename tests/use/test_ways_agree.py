"""One answer to a series, whichever way it came: of a run with policies, a rationale and several adapters."""

from __future__ import annotations

import csv
import json
import re
import time
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

import train
from tests.conftest import make_set
from tests.test_job import FAST, only_run, write_sets
from tests.use.conftest import LENGTH
from tests.use.explorer_pages import client_of, post
from vlm_tsc.classify.llava import LlavaClassifier
from vlm_tsc.classify.saved import find_saved, load_classifier
from vlm_tsc.conversation.records import read_records, texts_of
from vlm_tsc.run import RunFolder
from vlm_tsc.use import predict
from vlm_tsc.use.endpoint import make_app
from vlm_tsc.use.explorer import asked
from vlm_tsc.use.explorer.asking import ask_once, open_model
from vlm_tsc.use.explorer.opened import Runs
from vlm_tsc.use.payload import Expected
from vlm_tsc.use.trained import trained_on
from vlm_tsc.use.worker import Worker

NAME, CASE = "mine/r", "test-00003"


@pytest.fixture(scope="module")
def run(tiny_base, tmp_path_factory) -> RunFolder:
    folder = tmp_path_factory.mktemp("rich")
    given = [*write_sets(folder, make_set(12, 0), make_set(6, 1)), "--base", str(tiny_base), "--run-name", "r"]
    policies = ["--lengths", "resample", "--missing", "interpolate"]
    how = ["--data-repr", "WITH_RATIONALE", "--ensemble", "2", "--views", "1"]
    assert train.main([*given, *FAST, *policies, *how]) == 0
    return only_run(folder)


@pytest.fixture(scope="module")
def client(run):
    with client_of(run.path.parent.parent) as client:
        yield client


@pytest.fixture(scope="module")
def row():
    """A series of another length than the run's, with a gap."""
    row = make_set(1, 7, length=LENGTH + 1).X[0, 0]
    row[4] = np.nan
    return row


@pytest.fixture(scope="module")
def expected(run, row):
    """The answer to the series that the policies make of it, made here with numpy alone."""
    whole = row.copy()
    whole[4] = (row[3] + row[5]) / 2
    stretched = np.interp(np.linspace(0, 1, LENGTH), np.linspace(0, 1, len(row)), whole)
    return LlavaClassifier.load(run.path).predict_proba(stretched[None, None])[0]


def table_of(row: np.ndarray) -> str:
    return ",".join("" if np.isnan(value) else repr(value) for value in row.tolist()) + "\n"


def test_predict_answers_under_the_runs_policies(run, row, expected, tmp_path):
    (tmp_path / "new.csv").write_text(table_of(row))
    words = [str(run.path), "--input", str(tmp_path / "new.csv"), "--output", str(tmp_path / "out.csv")]
    assert predict.main(words) == 0
    (_, found) = csv.reader((tmp_path / "out.csv").read_text().splitlines())
    np.testing.assert_allclose(np.array(found[2:], float), expected, atol=1e-6)


def test_the_explorer_answers_under_the_runs_policies(client, row, expected):
    answer = post(client, "/classify", run=NAME, table=table_of(row))
    assert answer.status_code == 200, answer.text
    found = [float(value) for value in re.findall(r"</span></td><td>([\d.]+)</td>", answer.text)]
    np.testing.assert_allclose(sorted(found), sorted(expected), atol=6e-4)


def test_the_endpoint_answers_under_the_runs_policies(run, row, expected):
    worker = Worker(lambda: load_classifier(run.path))
    with TestClient(make_app(worker, Expected.of(trained_on(find_saved(run.path))))) as client:
        deadline = time.monotonic() + 60
        while client.get("/ping").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        listed = json.dumps([[None if np.isnan(value) else value for value in row.tolist()]])
        for body, kind in ((table_of(row), "text/csv"), (listed, "application/json")):
            headers = {"Content-Type": kind, "Accept": "application/json"}
            answer = client.post("/invocations?output=probabilities", content=body, headers=headers)
            assert answer.status_code == 200, answer.text
            np.testing.assert_allclose(answer.json()["probabilities"][0], expected, atol=1e-6)


def recorded(run: RunFolder):
    opened = Runs(run.path.parent.parent.resolve()).get(NAME)
    return asked._recorded(opened, opened.row(CASE)), opened.index.prediction(opened.row(CASE))


def test_a_case_asked_again_is_answered_as_in_the_run(run):
    shown, row = recorded(run)
    assert shown.lead
    again = ask_once(open_model(run.path, {}), shown, CASE, row.true, None).prediction
    assert again.probabilities == pytest.approx(row.probabilities, abs=1e-5)
    assert again.parsed == row.parsed
    assert row.generated.startswith(again.generated)  # the run left room for the longest rationale of any case


def test_an_explained_answer_names_its_class(run, monkeypatch):
    from vlm_tsc.answer import ask as asking

    shown, row = recorded(run)
    for text, label in ((f"{shown.lead} B", "up"), ("B", None)):  # without its rationale it is no answer of this run
        one = asking.Asked(np.array([[0.5, 0.5]]), [text], np.zeros((1, 2)))
        monkeypatch.setattr(asking, "ask", lambda *_, one=one, **__: one)
        assert ask_once(open_model(run.path, {}), shown, CASE, row.true, None).prediction.parsed == label


def test_the_unchanged_question_is_not_marked_as_changed(client):
    page = client.get(f"/case?run={NAME}&id={CASE}").text
    typed = unescape(re.search(r"<textarea name=\"question\".*?>(.*?)</textarea>", page, re.S)[1])
    assert "asked again, as one view" in post(client, "/try", run=NAME, id=CASE, question=typed).text
    other = post(client, "/try", run=NAME, id=CASE, question=typed, mode="BASELINE")
    assert "measured lead" in other.text  # the same words, but scored without the facts


def test_what_the_classes_were_scored_behind_is_shown(client, run):
    (record,) = [one for one in read_records(run.test) if one["id"] == CASE]
    facts = " ".join(texts_of(record)[1].split())
    assert facts.endswith("Answer:")
    page = client.get(f"/case?run={NAME}&id={CASE}").text
    for html in (page, run.report.read_text()):
        assert facts in " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
    assert "means over 2 adapters" in page


def test_a_resampled_run_takes_one_value_more_than_it_was_trained_on(run):
    trained_on(find_saved(run.path)).check_columns(Path("new.csv"), LENGTH + 1)
