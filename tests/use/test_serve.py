"""The endpoint, in this process and as one of its own: the labels of batch prediction, and clear refusals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.conftest import make_set
from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier
from vlm_tsc.classify.masked_transformer.classifier import MaskedTransformerClassifier
from vlm_tsc.classify.saved import load_classifier
from vlm_tsc.use.endpoint import LIMIT, make_app
from vlm_tsc.use.serve import main
from vlm_tsc.use.worker import MAX_WAITING, Busy, Worker

ROOT = Path(__file__).parents[2]
LIMIT_S = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "model"
    train = make_set(12, 0)
    InceptionTimeClassifier(filters=2, depth=3, models=2, epochs=3, model_dir=str(folder)).fit(train.X, train.y)
    return folder


def wait_for(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def client(model):
    with TestClient(make_app(Worker(lambda: load_classifier(model)))) as client:
        wait_for(lambda: client.get("/ping").status_code == 200)
        yield client


@pytest.fixture(scope="module")
def cases():
    return make_set(10, 5).X


def as_csv(cases):
    return "".join(",".join(map(repr, map(float, case[0]))) + "\n" for case in cases)


def post(client, content, kind="text/csv", address="/invocations", **headers):
    return client.post(address, content=content, headers={"Content-Type": kind, **headers})


def test_labels_are_those_of_batch_prediction_in_every_form(client, model, cases):
    expected = InceptionTimeClassifier.load(model).predict(cases).tolist()
    assert set(expected) <= {"up", "down"}
    answer = post(client, as_csv(cases))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert answer.text.splitlines() == expected
    body = json.dumps({"instances": cases[:, 0].tolist()})
    assert post(client, body, "application/json").json() == {"labels": expected}
    assert post(client, body, "application/json", Accept="text/csv").text.splitlines() == expected
    assert post(client, as_csv(cases), Accept="application/json").json() == {"labels": expected}


def test_a_masked_transformer_answers_as_in_batch_prediction(tmp_path, cases):
    train = make_set(12, 0)
    options = {**MaskedTransformerClassifier._get_test_params(), "model_dir": str(tmp_path)}
    expected = MaskedTransformerClassifier(**options).fit(train.X, train.y).predict(cases).tolist()
    with TestClient(make_app(Worker(lambda: load_classifier(tmp_path)))) as client:
        wait_for(lambda: client.get("/ping").status_code == 200)
        assert post(client, as_csv(cases)).text.splitlines() == expected
        assert "does not fit the model" in post(client, "1,2,3\n").json()["error"]


@pytest.mark.parametrize("way", ["address", "field", "accept"])
def test_probabilities_are_those_of_batch_prediction_however_they_are_asked_for(client, model, cases, way):
    body = {"instances": cases[:, 0].tolist(), **({"output": "probabilities"} if way == "field" else {})}
    address = "/invocations" + ("?output=probabilities" if way == "address" else "")
    accept = "application/json" + ("; output=probabilities" if way == "accept" else "")
    answer = post(client, json.dumps(body), "application/json", address, Accept=accept).json()
    assert answer["classes"] == ["down", "up"]
    np.testing.assert_allclose(
        answer["probabilities"], InceptionTimeClassifier.load(model).predict_proba(cases), atol=1e-6
    )


@pytest.mark.parametrize(
    ("status", "says", "request_"),
    [
        (400, "not a number", {"content": ",".join("x" * 30)}),
        (400, "there is nothing to classify", {"content": ""}),
        (400, "the table does not fit the model", {"content": "1,2,3\n"}),
        (400, "a value is too large", {"content": "[[1e300, -1e300, 3]]", "kind": "application/json"}),
        (400, "there is no such output", {"content": "[[1, 2]]", "kind": "application/json; charset=utf-8", "q": "x"}),
        (
            400,
            "there is no such output",
            {"content": '{"instances": [[1, 2]], "output": 5}', "kind": "application/json"},
        ),
        (406, "text/csv, application/json", {"content": "1,2\n", "Accept": "text/html"}),
        (413, "6,291,456 bytes", {"content": b"1,2\n" * (LIMIT // 4) + b"1"}),
        (415, "text/csv, application/json", {"content": "1,2\n", "kind": "application/x-parquet"}),
    ],
)
def test_a_request_that_cannot_be_answered_is_told_why(client, status, says, request_):
    address = "/invocations" + (f"?output={request_.pop('q')}" if "q" in request_ else "")
    answer = post(client, address=address, **request_)
    assert answer.status_code == status
    assert says in answer.json()["error"] and "Traceback" not in answer.text
    assert client.get("/ping").status_code == 200


def test_other_addresses_are_told_what_there_is(client):
    for answer in (client.get("/"), client.get("/invocations"), client.post("/invocations?outputs=labels")):
        assert answer.status_code in (404, 405, 415)
    assert "POST /invocations" in client.get("/nothing").json()["error"]
    answer = post(client, "[[1, 2]]", "application/json", "/invocations?outputs=labels")
    assert (answer.status_code, "outputs" in answer.json()["error"]) == (400, True)


def test_before_the_model_is_loaded_it_says_so(model, cases):
    may_load = threading.Event()

    def slowly():
        may_load.wait(LIMIT_S)
        return load_classifier(model)

    with TestClient(make_app(Worker(slowly))) as client:
        assert client.get("/ping").status_code == 503
        assert "not loaded" in post(client, as_csv(cases)).json()["error"]
        may_load.set()
        wait_for(lambda: client.get("/ping").status_code == 200)


class Held:
    """A classifier that answers when it is let, the first value of a case as its probability; 13 it cannot answer."""

    def __init__(self):
        self.let, self.batches = threading.Event(), []

    def predict_proba(self, X):
        self.let.wait(LIMIT_S)
        self.batches.append(len(X))
        if any(case[0, 0] == 13 for case in X):
            raise ValueError("thirteen")
        return np.array([[case[0, 0]] for case in X])


@pytest.fixture
def held():
    classifier = Held()
    worker = Worker(lambda: classifier)
    worker.start()
    wait_for(lambda: worker.is_ready)
    yield classifier, worker
    classifier.let.set()
    worker.stop()
    assert not worker.is_ready


def case(value):
    return np.full((1, 3), float(value))


def test_requests_that_wait_are_answered_together_each_with_its_own(held):
    classifier, worker = held
    answers = [worker.submit([case(i), case(i + 0.5)]) for i in range(9)]
    classifier.let.set()
    for i, answer in enumerate(answers):
        assert answer.result(LIMIT_S).tolist() == [[i], [i + 0.5]]
    assert sum(classifier.batches) == 18 and len(classifier.batches) <= 2


def test_one_request_that_fails_fails_alone(held, caplog):
    classifier, worker = held
    answers = [worker.submit([case(value)]) for value in (1, 13, 2)]
    classifier.let.set()
    assert answers[0].result(LIMIT_S).tolist() == [[1]] and answers[2].result(LIMIT_S).tolist() == [[2]]
    with pytest.raises(ValueError, match="thirteen"):
        answers[1].result(LIMIT_S)
    assert "the model failed" in caplog.text


def test_more_than_may_wait_are_turned_away(held):
    _, worker = held
    with pytest.raises(Busy):
        for _ in range(MAX_WAITING + 2):
            worker.submit([case(0)])


def test_a_model_that_fails_is_an_error_500_without_its_traceback(held, caplog):
    classifier, _ = held
    classifier.let.set()
    classifier.classes_ = np.array(["only"])
    with TestClient(make_app(Worker(lambda: classifier))) as client:
        wait_for(lambda: client.get("/ping").status_code == 200)
        answer = post(client, "[[13, 13]]", "application/json")
        assert (answer.status_code, post(client, "[[1, 2]]", "application/json").status_code) == (500, 200)
    assert "the model failed" in answer.json()["error"] and "thirteen" not in answer.text


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "FOLDER is missing"),
        (["nowhere"], "there is no such folder"),
        (["."], "this folder holds no saved classifier"),
        ([".", "--port", "70000"], "--port"),
        ([".", ".."], "an option was expected"),
    ],
)
def test_a_wrong_command_line_is_refused(argv, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    assert says in capsys.readouterr().err


def test_it_serves_as_a_process_until_it_is_told_to_end(model, cases):
    command = [sys.executable, "-m", "vlm_tsc.use.serve"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*command, str(model), "--port", "0"], cwd=ROOT, **pipes)
    try:
        line = process.stdout.readline()
        address = line.split(" at ")[1].strip()
        assert line.startswith(f"inception-time from {model}") and "http://127.0.0.1:" in address
        busy = subprocess.run([*command, str(model), "--port", address.rsplit(":")[-1]], cwd=ROOT, **pipes)
        assert busy.returncode == 2 and "the port is taken" in busy.stderr
        wait_for(lambda: ping(address) == 200)
        started = time.monotonic()
        assert ping(address) == 200 and time.monotonic() - started < 2
        expected = InceptionTimeClassifier.load(model).predict(cases).tolist()
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda i: ask(address, cases[i % 10 :][:3]), range(200)))
        assert answers == [expected[i % 10 :][:3] for i in range(200)]
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()


def ping(address):
    try:
        with urllib.request.urlopen(f"{address}/ping", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except urllib.error.URLError:  # not listening yet
        return None


def ask(address, cases):
    request = urllib.request.Request(f"{address}/invocations", as_csv(cases).encode(), {"Content-Type": "text/csv"})
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        return answer.read().decode().splitlines()
