"""Sets from the archive's home on Zenodo, by aeon's list of records, into the user's cache.

Not aeon's own function: it takes whatever file names and sizes the server sends, checks no checksum and shows no
progress. Here only the two files that we name are taken, of bounded size, and moved into place when their checksums are
right.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from vlm_tsc.errors import InputError
from vlm_tsc.terminal import bar

SERVER = "https://zenodo.org/"
MAX_BYTES = 4 << 30  # both files of one set; the archive's largest have about 1 GiB
TIMEOUT = 60.0  # s without a byte
CHUNK = 1 << 20
NO_NETWORK = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)


def cache_dir() -> Path:
    """Where downloaded sets are kept: `$XDG_CACHE_HOME/vlm-tsc/sets`, or that in `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "vlm-tsc" / "sets"


def known() -> dict[str, int]:
    """Zenodo record of every set that aeon can name."""
    from aeon.datasets.tsc_datasets import tsc_zenodo

    return tsc_zenodo


def fetch(name: str) -> Path:
    """Download both parts of a set that `known()` lists; the folder that holds them, all or nothing.

    The variants are the originals (aeon's `load_equal_length=False, load_no_missing=False`).

    Raises
    ------
    InputError
        No network, a server that answers otherwise than expected, files too large, or a wrong checksum.
    OSError
        When the cache cannot be written.
    """
    folder = cache_dir() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as temporary:
        complete = Path(temporary) / name
        complete.mkdir()
        try:
            for file in _files(name):
                _save(file, complete / file["key"])
        except NO_NETWORK as error:
            raise _offline(name, error) from error
        complete.replace(folder)  # in one step: a killed download leaves no half of a set
    return folder


def _offline(name: str, error: Exception) -> InputError:
    return InputError(
        f"{name} is not on this machine and could not be downloaded",
        where=SERVER,
        got=error,
        fix=f"connect to the network, or put {name}_TRAIN.ts and _TEST.ts into FOLDER/{name} and add --data-dir FOLDER",
    )


def _files(name: str) -> list[dict[str, Any]]:
    record = f"{SERVER}api/records/{known()[name]}"
    with urllib.request.urlopen(_request(record), timeout=TIMEOUT) as answer:
        text = answer.read(CHUNK * 16)
    try:
        wanted = [f"{name}_{part}.ts" for part in ("TRAIN", "TEST")]
        files = {file["key"]: file for file in json.loads(text)["files"]}
        files = [files[key] for key in wanted]
        size = sum(int(file["size"]) for file in files)
        links = [file["links"]["self"] for file in files]
        checksums = [file["checksum"] for file in files]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("the server's answer is not understood", where=record, got=repr(error)) from error
    if size > MAX_BYTES or not all(link.startswith(SERVER) for link in links):
        raise InputError(
            "refused to download", where=record, got=f"{size} bytes from {links}", allowed=f"{MAX_BYTES} from {SERVER}"
        )
    if not all(checksum.startswith("md5:") for checksum in checksums):
        raise InputError("no checksum to check a download by", where=record, got=checksums, allowed="md5:…")
    return files


def _request(url: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers={"User-Agent": "vlm-tsc", "Accept": "*/*"})


def _save(file: dict[str, Any], path: Path) -> None:
    size, digest = int(file["size"]), hashlib.md5(usedforsecurity=False)
    with (
        urllib.request.urlopen(_request(file["links"]["self"]), timeout=TIMEOUT) as answer,
        path.open("wb") as out,
        bar(None, path.name, total=size, unit="B", unit_scale=True) as shown,
    ):
        while chunk := answer.read(min(CHUNK, size + 1 - out.tell())):
            out.write(chunk)
            digest.update(chunk)
            shown.update(len(chunk))
    if f"md5:{digest.hexdigest()}" != file["checksum"]:
        got = f"{path.stat().st_size} bytes, md5:{digest.hexdigest()}"
        raise InputError(
            "the download is damaged", where=file["links"]["self"], got=got, allowed=f"{size} bytes, {file['checksum']}"
        )
