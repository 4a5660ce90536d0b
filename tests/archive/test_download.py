"""The download against a server that is played: what it sends is not trusted."""

from __future__ import annotations

import hashlib
import io
import json
import urllib.error
import urllib.request

import pytest

from vlm_tsc.archive import download, load
from vlm_tsc.errors import InputError

NAME = "TwoLeadECG"  # in aeon's list, not inside aeon
TRAIN = b"@classLabel true 1 2\n@data\n1,2,3:1\n3,2,1:2\n"
TEST = b"@classLabel true 1 2\n@data\n1,2,4:1\n"


def listed(key: str, content: bytes, **changes) -> dict:
    url = f"{download.SERVER}api/{key}"
    return {
        "key": key,
        "size": len(content),
        "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
        "links": {"self": url},
    } | changes


FILES = [listed(f"{NAME}_TRAIN.ts", TRAIN), listed(f"{NAME}_TEST.ts", TEST)]


@pytest.fixture
def server(monkeypatch):
    """Answers by address; `server["record"]` is the record's list of files."""
    answers = {
        f"{download.SERVER}api/{NAME}_TRAIN.ts": TRAIN,
        f"{download.SERVER}api/{NAME}_TEST.ts": TEST,
        "asked": [],
    }
    answers["record"] = [listed("../../evil.ts", b"x"), listed(f"{NAME}_eq_TRAIN.ts", b"x"), *FILES]

    def urlopen(request, timeout):
        answers["asked"].append(request.full_url)
        if request.full_url == f"{download.SERVER}api/records/{download.known()[NAME]}":
            return io.BytesIO(json.dumps({"files": answers["record"]}).encode())
        answer = answers[request.full_url]
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return answers


def test_a_set_is_downloaded_once_and_nothing_else_is_taken(server, tmp_path):
    splits = load(NAME)
    assert (splits.train.n_cases, splits.test.n_cases) == (2, 1)
    sets = tmp_path / "cache" / "vlm-tsc" / "sets"
    assert sorted(path.name for path in sets.rglob("*")) == [NAME, f"{NAME}_TEST.ts", f"{NAME}_TRAIN.ts"]
    assert len(server["asked"]) == 3
    assert load(NAME).train.ids == splits.train.ids and len(server["asked"]) == 3


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("Name or service not known"), TimeoutError("timed out"), ConnectionResetError()]
)
@pytest.mark.parametrize("moment", ["record", "second file"])
def test_no_network_says_what_to_do_and_leaves_nothing(server, monkeypatch, tmp_path, error, moment):
    def refuse(*_, **__):
        raise error

    if moment == "record":
        monkeypatch.setattr(urllib.request, "urlopen", refuse)
    server[FILES[1]["links"]["self"]] = error
    with pytest.raises(
        InputError, match=rf"(?s){NAME} is not on this machine.*zenodo.*{NAME}_TRAIN\.ts.*--data-dir FOLDER"
    ):
        load(NAME)
    assert list((tmp_path / "cache" / "vlm-tsc" / "sets").iterdir()) == []


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ([], "not understood"),
        (FILES[:1], "not understood"),
        ("nonsense", "not understood"),
        ([FILES[0] | {"size": download.MAX_BYTES}, FILES[1]], "refused"),
        ([FILES[0] | {"links": {"self": "https://elsewhere.org/x"}}, FILES[1]], "refused"),
        ([FILES[0] | {"links": {"self": "file:///etc/passwd"}}, FILES[1]], "refused"),
        ([FILES[0] | {"checksum": "none"}, FILES[1]], "checksum"),
        ([FILES[0] | {"checksum": "md5:00"}, FILES[1]], "damaged"),
        ([FILES[0] | {"size": 5}, FILES[1]], "damaged"),
    ],
)
def test_a_server_that_sends_something_else_is_refused(server, tmp_path, record, words):
    server["record"] = record
    with pytest.raises(InputError, match=words):
        load(NAME)
    assert list((tmp_path / "cache" / "vlm-tsc" / "sets").iterdir()) == []


def test_no_more_is_read_than_was_announced(server):
    server[FILES[0]["links"]["self"]] = TRAIN * 1000
    with pytest.raises(InputError, match=rf"(?s)damaged.*got:\s+{len(TRAIN) + 1} bytes"):
        load(NAME)
