"""What the explorer refuses: files outside its folder, other people's pages, names that are not its own; and what is
broken is told on a page."""

from __future__ import annotations

import json
import shutil
from html import unescape

import pytest

from tests.report.conftest import make_run
from tests.use.explorer_pages import HOST, PORT, client_of, post
from vlm_tsc.use import explore
from vlm_tsc.use.explorer.guard import host_is_ours

RUN = "Waves/model-seed0"
SECRET = "the secret outside"


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "secret.txt").write_text(SECRET)
    make_run(tmp_path / "runs", n_cases=6)
    shutil.copytree(tmp_path / "runs" / "Waves", tmp_path / "outside")
    return tmp_path / "runs"


@pytest.fixture
def client(runs):
    with client_of(runs) as client:
        yield client


@pytest.mark.parametrize(
    "name",
    [
        *("..", "../outside/model-seed0", "Waves/../../outside/model-seed0", "%2e%2e/outside/model-seed0"),
        *("..%2foutside%2fmodel-seed0", "%252e%252e%252foutside", "..\\outside", "Waves/model-seed0/images", "/etc"),
        *("//etc", "Waves//model-seed0", "Waves/./model-seed0", "Waves/model-seed0%00", "Waves/model-seed0/", "", "~"),
        *("Waves", ".", "a" * 5000, "%ff%fe", "Waves/model-seed0%0a"),
    ],
)
def test_only_runs_in_the_folder_are_opened(client, name):
    for page in ("cases", "case", "classify", "picture", "compare"):
        answer = client.get(f"/{page}?run={name}&id=test-00000&with={RUN}")
        assert answer.status_code == 404 and "Traceback" not in answer.text and SECRET not in answer.text


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/static/../secret.txt", "/static/%2e%2e%2fapp.py", "/static/x", "/a"]
)
def test_there_are_no_addresses_of_files(client, path):
    answer = client.get(path)
    assert answer.status_code == 404 and SECRET not in answer.text


def test_a_run_that_is_a_link_out_of_the_folder_is_refused(client, runs):
    (runs / "Linked").symlink_to(runs.parent / "outside", target_is_directory=True)
    answer = client.get("/cases?run=Linked/model-seed0")
    assert answer.status_code == 400 and "outside the folder of runs" in answer.text
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("name", ["predictions.jsonl", "metrics.json", "test.json", "images", "series.npz", "adapter"])
def test_a_file_of_a_run_that_is_a_link_out_is_refused(client, runs, name):
    run, outside = runs / RUN, runs.parent / "outside" / "model-seed0"
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    (run / name).symlink_to(outside / name)
    answer = client.get(f"/cases?run={RUN}")
    assert answer.status_code == 400 and "outside the folder of runs" in answer.text


def test_links_inside_the_folder_are_followed(client, runs):
    (runs / "Alias").symlink_to(runs / "Waves", target_is_directory=True)
    assert client.get("/cases?run=Alias/model-seed0").status_code == 200


@pytest.mark.parametrize(
    "image", ["../../../secret.txt", "images/../../../../secret.txt", "/etc/passwd", "config.yaml"]
)
def test_a_record_cannot_name_another_file_as_its_picture(client, runs, image):
    path = runs / RUN / "test.json"
    path.write_text(path.read_text().replace("images/test-00000.png", image))
    answer = client.get(f"/picture?run={RUN}&id=test-00000")
    assert answer.status_code in (400, 404) and SECRET not in answer.text and "root:" not in answer.text


def test_a_picture_that_is_a_link_out_is_refused(client, runs):
    picture = runs / RUN / "images" / "test-00000.png"
    (runs.parent / "other.png").write_bytes(picture.read_bytes())
    picture.unlink()
    picture.symlink_to(runs.parent / "other.png")
    assert client.get(f"/picture?run={RUN}&id=test-00000").status_code == 400
    picture.unlink()
    picture.symlink_to(picture)  # in a circle
    assert client.get(f"/picture?run={RUN}&id=test-00000").status_code in (400, 404)


@pytest.mark.parametrize(
    "host", ["evil.example:8000", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8000.evil.example", "", "[::1"]
)
def test_other_host_names_are_refused(client, host):
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == 403 and "Waves" not in answer.text


@pytest.mark.parametrize(
    ("bound", "header", "ours"),
    [
        ("127.0.0.1", "127.0.0.1:8000", True),
        ("127.0.0.1", "localhost:8000", True),
        ("127.0.0.1", "LOCALHOST:8000", True),
        ("::1", "[::1]:8000", True),
        ("localhost", "127.0.0.1:8000", True),
        ("127.0.0.1", "192.168.1.5:8000", False),
        ("192.168.1.5", "192.168.1.5:8000", True),
        ("192.168.1.5", "localhost:8000", False),
        ("0.0.0.0", "192.168.1.5:8000", True),
        ("0.0.0.0", "evil.example:8000", False),
        ("my.machine", "my.machine:8000", True),
        ("my.machine", "other.machine:8000", False),
    ],
)
def test_host_names_are_those_of_the_address(bound, header, ours):
    assert host_is_ours(header, bound, PORT) is ours


def test_the_model_runs_only_for_pages_of_this_explorer(client):
    fields = {"run": RUN, "id": "test-00000"}
    assert client.post("/tokens", json=fields).status_code == 403
    assert client.post("/tokens", json=fields, headers={"X-Explorer-Token": "guessed"}).status_code == 403
    for origin in ("http://evil.example", "null", f"https://{HOST}:{PORT}", f"http://{HOST}:1"):
        assert post(client, "/tokens", {"Origin": origin}, **fields).status_code == 403
    assert post(client, "/tokens", {"Origin": f"http://{HOST}:{PORT}"}, **fields).status_code == 400  # it has no model


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"run": 5}', b"\xff", b"[" * 100000])
def test_a_request_of_another_form_is_refused(client, body):
    from tests.use import explorer_pages

    token = explorer_pages.re.search(r'explorer-token" content="([^"]+)"', client.get("/").text)[1]
    answer = client.post("/tokens", content=body, headers={"X-Explorer-Token": token})
    assert answer.status_code == 400 and "Traceback" not in answer.text


def test_an_empty_folder_says_how_to_begin(tmp_path):
    with client_of(tmp_path) as client:
        page = client.get("/")
        assert page.status_code == 200 and "There is no run" in page.text and "python train.py" in page.text


def test_a_run_of_its_own_is_explored_too(runs):
    with client_of(runs / RUN) as client:
        assert "run=." in client.get("/").text
        assert client.get("/cases?run=.").status_code == 200
        assert client.get("/picture?run=.&id=test-00000").status_code == 200


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("predictions.jsonl", "{broken", "line 1"),
        ("predictions.jsonl", "", "empty"),
        ("predictions.jsonl", None, "not finished"),
        ("metrics.json", "{", "no JSON"),
        ("metrics.json", "[]", "incomplete"),
        ("metrics.json", None, "not finished"),
        ("manifest.json", "{", "no JSON"),
        ("manifest.json", '{"details": {"presentation": {"limits": 1}}}', "how cases are shown"),
        ("test.json", None, "records are missing"),
        ("test.json", "[\n\n]", "no record"),
    ],
)
def test_a_broken_run_gets_a_page_that_says_what_is_wrong(client, runs, name, content, says):
    path = runs / RUN / name
    path.unlink() if content is None else path.write_text(content)
    answer = client.get(f"/case?run={RUN}&id=test-00000")
    assert says in unescape(answer.text) and "Traceback" not in answer.text
    assert answer.status_code == (200 if name == "test.json" else 400)
    assert "Waves" in client.get("/").text and client.get("/").status_code == 200


def test_a_run_that_answered_other_cases_than_its_figures_is_refused(client, runs):
    path = runs / RUN / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n_cases": 7}))
    assert "different evaluations" in client.get(f"/cases?run={RUN}").text


def test_a_fault_that_nobody_foresaw_gets_a_calm_page(client, monkeypatch):
    monkeypatch.setattr("vlm_tsc.use.explorer.read.facts_of", lambda run: 1 / 0)
    answer = client.get(f"/cases?run={RUN}")
    assert answer.status_code == 500 and "ZeroDivisionError" in answer.text and "Traceback" not in answer.text


def test_a_folder_that_is_not_there_is_refused_before_anything_listens(tmp_path, capsys):
    assert explore.main([str(tmp_path / "none")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
