"""LLaMA-Factory's own loader reads the `sharegpt` records with their dataset_info.json.

It cannot live in this environment (it wants an older transformers), so it is asked for: make another environment,
`python -m venv other && other/bin/pip install llamafactory`, and name its Python in VLM_TSC_LLAMAFACTORY.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import dataset
from tests.conftest import make_set
from tests.test_job import only_run, write_sets

PYTHON = os.environ.get("VLM_TSC_LLAMAFACTORY")
SCRIPT = Path(__file__).with_name("llamafactory_reads.py")


@pytest.mark.long
@pytest.mark.skipif(PYTHON is None, reason="VLM_TSC_LLAMAFACTORY does not name a Python that has llamafactory")
def test_its_loader_gives_every_case_with_its_picture_and_answer(tiny_base, tmp_path):
    given = [*write_sets(tmp_path, make_set(6, 0), make_set(4, 1)), "--base", str(tiny_base), "--formats", "sharegpt"]
    assert dataset.main(given) == 0
    run = only_run(tmp_path)
    known = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    read = subprocess.run(
        [str(PYTHON), str(SCRIPT), str(run.path), str(tiny_base)],
        env=known | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")},
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert read.returncode == 0, read.stderr[-3000:]
    rows = json.loads(read.stdout.splitlines()[-1])
    records = json.loads(run.train.read_text())
    assert len(rows) == len(records) == 6
    tokens = json.loads(run.manifest.read_text())["details"]["tokens"]["image"]
    for row, record in zip(rows, records, strict=True):
        assert row["pictures"] == [str(run.path / record["image"])]
        assert row["picture_tokens"] == tokens
        question, answer = (turn["value"] for turn in record["conversations"])
        assert question.removeprefix("<image>\n") in row["text"]
        assert row["learned"].strip().startswith(answer)
