"""`--json` of the commands that answer: folders and metrics are those on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import make_set
from tests.test_docs import program
from tests.test_job import write_sets


@pytest.fixture
def said(capsys):
    def run(name: str, *words: str) -> dict:
        assert program(name).main([*words, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


def test_a_baseline_says_its_run_and_a_report_its_page(said, tmp_path):
    given = write_sets(tmp_path, make_set(12, 0), make_set(6, 1))
    said("eval/baselines.py", "majority", *given)
    (run,) = said("eval/baselines.py", "1nn-ed", *given)["runs"]  # its own, not all of the table
    assert run["metrics"] == json.loads((Path(run["folder"]) / "metrics.json").read_text())
    assert run["metrics"]["classifier"] == "1nn-ed"
    document = said("eval/report.py", str(tmp_path / "runs"))
    assert Path(document["report"]).is_file() and len(document["runs"]) == 2


def test_cross_validation_says_folds_and_their_mean(said, tiny_base, tmp_path):
    given = [*write_sets(tmp_path, make_set(8, 0), make_set(4, 1)), "--base", str(tiny_base), "--num-epochs", "0.5"]
    (seed,) = said("eval/cross_validate.py", "2", *given, "--precision", "fp32", "--views", "1")["seeds"]
    assert seed["accuracy"] == pytest.approx(sum(fold["accuracy"] for fold in seed["folds"]) / 2)
    assert len(seed["folds"]) == 2 and seed["seed"] == 0
