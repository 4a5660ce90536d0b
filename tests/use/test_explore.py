"""The explorer's pages on a real tiny run: what they show is the run's, what the model is asked is answered by it."""

from __future__ import annotations

import json
import re
import shutil
import threading
from concurrent.futures import Future
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from tests.report.conftest import make_run
from tests.use.conftest import LENGTH
from tests.use.explorer_pages import client_of, post
from vlm_tsc.archive.store import read_splits
from vlm_tsc.classify.llava import LlavaClassifier
from vlm_tsc.conversation.records import read_records
from vlm_tsc.evaluate.predictions import read_predictions
from vlm_tsc.representation.legend import legend
from vlm_tsc.run import RunFolder
from vlm_tsc.use.explorer.model_thread import MAX_WAITING, ModelThread
from vlm_tsc.use.explorer.opened import read_case
from vlm_tsc.use.occlusion import occlusion_map
from vlm_tsc.use.scorer import open_scorer
from vlm_tsc.use.worker import Busy

REAL = "mine/r"
CASE = "test-00003"


@pytest.fixture(scope="module")
def folder(a_run, tmp_path_factory) -> Path:
    runs = tmp_path_factory.mktemp("explored") / "runs"
    shutil.copytree(a_run.path, runs / "mine" / "r")
    make_run(runs, texts=("<script>alert(1)</script>",), skill=1.0)
    make_run(runs, seed=1)
    return runs


@pytest.fixture(scope="module")
def client(folder):
    with client_of(folder) as client:
        yield client


def text_of(answer) -> str:
    """What a reader sees, on one line."""
    assert answer.status_code == 200, answer.text
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def ids_on(page: str) -> list[str]:
    return re.findall(r'<span class="name">(.*?)</span>', page)


def test_the_first_page_lists_every_run_with_its_accuracy(client, folder):
    shown = text_of(client.get("/"))
    for name in ("mine/r", "Waves/model-seed0", "Waves/model-seed1"):
        accuracy = json.loads((folder / name / "metrics.json").read_text())["accuracy"]
        assert re.search(rf"{name.split('/')[1]} .*?{accuracy:.3f}", shown)


def test_pages_of_a_filter_hold_its_cases_once(client, folder):
    rows = read_predictions(folder / "Waves/model-seed0/predictions.jsonl")
    wrong = [row.id for row in rows if row.true != row.predicted]
    assert len(wrong) > 24
    address = "/cases?run=Waves/model-seed0&show=wrong"
    found = [one for page in (1, 2) for one in ids_on(client.get(f"{address}&page={page}").text)]
    assert found == wrong[:48]
    assert f"of {len(wrong)} cases" in text_of(client.get(address))


def test_a_filter_without_cases_says_so(client):
    assert "No case passes this filter" in text_of(client.get("/cases?run=mine/r&true=nothing"))


def test_pictures_are_the_runs_files_and_are_cached(client, folder):
    picture = client.get(f"/picture?run={REAL}&id={CASE}&n=0")
    assert picture.content == (folder / REAL / "images" / f"{CASE}.png").read_bytes()
    assert picture.headers["content-type"] == "image/png" and "max-age" in picture.headers["cache-control"]
    again = client.get(f"/picture?run={REAL}&id={CASE}", headers={"If-None-Match": picture.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert client.get(f"/picture?run={REAL}&id={CASE}&n=1").status_code == 404


def test_a_case_is_shown_as_it_was_asked_and_answered(client, folder):
    shown = text_of(client.get(f"/case?run={REAL}&id={CASE}"))
    (row,) = [row for row in read_predictions(folder / REAL / "predictions.jsonl") if row.id == CASE]
    (record,) = [one for one in read_records(folder / REAL / "test.json") if one["id"] == CASE]
    assert " ".join(record["conversations"][0]["value"].removeprefix("<image>").split()) in shown
    assert f"Answer: {row.predicted} , true: {row.true}" in shown and "means over 2 views" in shown
    assert all(f"{value:.3f}" in shown for value in row.probabilities.values())
    assert f"Written by itself: {' '.join(row.generated.split())}".strip() in shown
    assert legend("line") in shown  # what its picture shows


def test_the_neighbours_of_a_case_are_those_of_the_filter(client, folder):
    rows = read_predictions(folder / "Waves/model-seed0/predictions.jsonl")
    wrong = [row.id for row in rows if row.true != row.predicted]
    page = client.get(f"/case?run=Waves/model-seed0&show=wrong&id={wrong[1]}").text
    links = {rel: unescape(href) for href, rel in re.findall(r'href="(/case[^"]+)" rel="(\w+)"', page)}
    assert f"id={wrong[0]}&show=wrong" in links["prev"] and f"id={wrong[2]}&show=wrong" in links["next"]


def test_what_a_model_wrote_cannot_run(client):
    page = client.get("/case?run=Waves/model-seed0&id=test-00000")
    assert "<script>alert" not in page.text and "&lt;script&gt;alert(1)" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe-inline" not in page.headers["content-security-policy"].split("script-src")[1].split(";")[0]


def test_tokens_are_those_the_model_reads(client, a_run):
    from vlm_tsc.answer.batch import encode_prompts
    from vlm_tsc.evaluate.evaluation import RecordedCases

    scorer = open_scorer(a_run)
    records = [one for one in read_records(a_run.test) if one["id"] == CASE]
    ids = encode_prompts(scorer.processor, [RecordedCases(records, a_run.path)[0]])["input_ids"][0].tolist()
    n_picture = ids.count(scorer.processor.image_token_id)
    answer = post(client, "/tokens", run=REAL, id=CASE)
    assert f"{len(ids)} tokens" in text_of(answer) and f"picture × {n_picture}" in answer.text and n_picture > 1
    assert answer.text.count('class="token"') == len(ids) - n_picture


def test_the_map_is_that_of_explain(client, a_run, folder):
    case = read_splits(a_run.series).test.X[3]
    made = occlusion_map(case, open_scorer(a_run).of_class("up"))
    answer = post(client, "/explain", run=REAL, id=CASE, label="up", fill="interpolate")
    assert f"most lies around timepoint {made.peak[1] + 1};" in text_of(answer)
    assert f"{made.importance.max():.2g} nats" in text_of(answer) and "<svg" in answer.text
    assert not (folder / REAL / "explain").exists()


def test_the_runs_own_question_asked_again_is_marked_as_such(client, a_run):
    page = client.get(f"/case?run={REAL}&id={CASE}").text
    typed = unescape(re.search(r"<textarea name=\"question\".*?>(.*?)</textarea>", page, re.S)[1])
    answer = post(client, "/try", run=REAL, id=CASE, question=typed)
    assert "Not the run's own answer" not in text_of(answer) and "asked again, as one view" in text_of(answer)
    one_view = LlavaClassifier.load(a_run.path, {"views": 1}).predict_proba(read_splits(a_run.series).test.X[3:4])[0]
    assert all(f"{value:.3f}" in answer.text for value in one_view)


def test_another_question_is_made_asked_and_marked(client, a_run):
    style = {"mode": "TEXT_ONLY", "limits": "train", "channels": "multiples", "factor": "3"}
    written = post(client, "/question", run=REAL, id=CASE, **style)
    assert written.headers["content-type"].startswith("text/plain") and "means of every 3 points" in written.text
    answer = post(client, "/try", run=REAL, id=CASE, question=written.text, **style)
    assert "Not the run's own answer: the question and the picture are" in text_of(answer)
    assert "Asked without a picture" in text_of(answer)
    picture = post(client, "/try", run=REAL, id=CASE, question="Up or down?", limits="train")
    assert "Not the run's own answer" in text_of(picture) and "data:image/png" in picture.text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"question": "  "}, "this is no question"),
        ({"question": "a <image> b"}, "put before it"),
        ({"question": "word " * 4000}, "do not fit the run's context"),
        ({"question": "x", "mode": "NONE"}, "there is no such mode"),
        ({"question": "x", "factor": "-1"}, "Impossible downsampling factor"),
    ],
)
def test_a_question_that_cannot_be_asked_is_told_why(client, fields, says):
    answer = post(client, "/try", run=REAL, id=CASE, **fields)
    assert answer.status_code == 400 and says in unescape(answer.text) and "Traceback" not in answer.text


def test_new_series_are_classified_as_the_classifier_does(client, a_run):
    X = read_splits(a_run.series).test.X[:2]
    expected = LlavaClassifier.load(a_run.path).predict_proba(X)
    table = "".join(",".join(map(repr, case[0].tolist())) + "\n" for case in X)
    answer = post(client, "/classify", run=REAL, table=table)
    shown = text_of(answer)
    labels = [("down", "up")[i] for i in expected.argmax(axis=1)]
    assert all(f"case {i}: {label}" in shown for i, label in enumerate(labels, 1)) and "<svg" in answer.text
    found = [float(value) for value in re.findall(r"</span></td><td>([\d.]+)</td>", answer.text)]
    np.testing.assert_allclose(sorted(found), sorted(expected.ravel()), atol=6e-4)


def test_a_table_with_its_label_is_refused_with_the_fix(client):
    answer = post(client, "/classify", run=REAL, table=",".join(["1"] * (LENGTH + 1)))
    assert answer.status_code == 400 and "without the label" in answer.text


def test_two_runs_stand_side_by_side(client, folder):
    one, two = (read_predictions(folder / f"Waves/model-seed{i}/predictions.jsonl") for i in (0, 1))
    address = "/compare?run=Waves/model-seed0&with=Waves/model-seed1"
    differ = [a.id for a, b in zip(one, two, strict=True) if a.predicted != b.predicted]
    assert ids_on(client.get(address).text) == differ[:24]
    first = [a.id for a, b in zip(one, two, strict=True) if a.predicted == a.true != b.predicted]
    page = client.get(f"{address}&kind=first").text
    assert ids_on(page) == first[:24] and f"only the first is right {len(first)}" in text_of(client.get(address))
    strangers = client.get("/compare?run=Waves/model-seed0&with=mine/r")  # same names of cases, other classes
    assert "no test case in common" in text_of(strangers)


def test_a_run_without_a_model_is_asked_in_vain(client):
    answer = post(client, "/explain", run="Waves/model-seed0", id="test-00000", label="calm")
    assert answer.status_code == 400 and "Traceback" not in answer.text


def test_a_case_is_read_from_every_part(a_run):
    splits = read_splits(a_run.series)
    for part in (splits.train, splits.test):
        np.testing.assert_array_equal(read_case(a_run.series, part.ids[2]), part.X[2])


def test_a_run_that_was_evaluated_again_is_read_again(folder, tmp_path):
    shutil.copytree(folder / "Waves", tmp_path / "runs")
    run = RunFolder(tmp_path / "runs" / "model-seed0")
    with client_of(tmp_path / "runs") as client:
        before = text_of(client.get("/cases?run=model-seed0&show=right"))
        other = RunFolder(tmp_path / "runs" / "model-seed1")
        for name in ("predictions", "metrics"):
            shutil.copy(getattr(other, name), getattr(run, name))
        assert text_of(client.get("/cases?run=model-seed0&show=right")) != before


def test_the_model_answers_one_at_a_time_and_refuses_what_is_too_much():
    entered, release, opened = threading.Event(), threading.Event(), []

    def slow(_) -> str:
        entered.set()
        release.wait(20)
        return "done"

    models = ModelThread(lambda run: opened.append(run) or "model")
    models.start()
    answers: list[Future] = [models.submit(Path("a"), slow)]
    entered.wait(20)
    answers += [models.submit(Path("a"), slow) for _ in range(MAX_WAITING)]
    with pytest.raises(Busy):
        models.submit(Path("a"), slow)
    release.set()
    assert [answer.result(20) for answer in answers] == ["done"] * (MAX_WAITING + 1)
    assert models.submit(Path("b"), lambda model: model).result(20) == "model" and opened == [Path("a"), Path("b")]
    with pytest.raises(ZeroDivisionError):
        models.submit(Path("b"), lambda model: 1 / 0).result(20)
    assert models.submit(Path("b"), lambda model: model).result(20) == "model" and len(opened) == 2
    models.stop()


def test_a_picture_of_a_number_with_noughts_before_it_is_not_there(client):
    assert client.get(f"/picture?run={REAL}&id={CASE}&n=00009").status_code == 404


def test_a_case_is_asked_with_the_pictures_that_were_ticked(client):
    answer = post(client, "/try", run=REAL, id=CASE, question="Up or down?", pictures="gasf,line")
    assert answer.text.count("data:image/png") == 2 and legend("gasf") in text_of(answer)
    page = client.get(f"/case?run={REAL}&id={CASE}").text
    assert re.findall(r'name="pictures" value="(\w+)" checked', page) == ["line"]
    refused = post(client, "/try", run=REAL, id=CASE, question="Up or down?", pictures="oil")
    assert refused.status_code == 400 and "there is no such picture" in refused.text


def test_only_runs_on_the_same_test_part_are_offered_and_compared(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "runs")
    other = tmp_path / "runs" / "Waves" / "model-seed1"
    shutil.copytree(other, tmp_path / "runs" / "Waves" / "pooled")
    metrics = tmp_path / "runs" / "Waves" / "pooled" / "metrics.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"split": "pooled"}))
    with client_of(tmp_path / "runs") as client:
        page = client.get("/cases?run=Waves/model-seed0").text
        beside = re.search(r'<select name="with">(.*?)</select>', page)[1]
        assert re.findall(r'value="([^"]+)"', beside) == ["Waves/model-seed1"]
        strangers = client.get("/compare?run=Waves/model-seed0&with=Waves/pooled")
        assert "no test case in common" in text_of(strangers) and "pooled split" in text_of(strangers)
