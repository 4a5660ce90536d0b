"""A client of the explorer's application, as a browser on this machine would be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from vlm_tsc.use.explorer.app import make_app
from vlm_tsc.use.explorer.asking import open_model
from vlm_tsc.use.explorer.model_thread import ModelThread

HOST, PORT = "127.0.0.1", 8000


@contextmanager
def client_of(folder: Path) -> Iterator[TestClient]:
    """The application over a folder of runs; an error inside becomes a page, as it does for people."""
    app = make_app(folder.resolve(), ModelThread(lambda run: open_model(run, {})), HOST, PORT)
    with TestClient(app, base_url=f"http://{HOST}:{PORT}", raise_server_exceptions=False) as client:
        yield client


def post(client: TestClient, path: str, headers: dict[str, str] | None = None, **fields: str) -> Any:
    """As the pages' script does it."""
    token = re.search(r'explorer-token" content="([^"]+)"', client.get("/").text)
    assert token
    return client.post(path, json=fields, headers={"X-Explorer-Token": token[1], **(headers or {})})
