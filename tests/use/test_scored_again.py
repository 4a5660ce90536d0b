"""`eval/score.py` with other views or another answer mode: what the run says of itself is what was measured."""

from __future__ import annotations

import json
import shutil

from tests.test_docs import program
from vlm_tsc.classify.saved import find_saved
from vlm_tsc.config import load_settings
from vlm_tsc.report.finished import read_finished
from vlm_tsc.run import RunFolder


def test_the_settings_are_those_of_the_metrics(a_run, tmp_path):
    shutil.copytree(a_run.path, tmp_path / "mine" / "r")
    run = RunFolder(tmp_path / "mine" / "r")
    before = load_settings(run.config)
    assert program("eval/score.py").main([str(run.path), "--views", "1", "--answers", "generate"]) == 0
    metrics = json.loads(run.metrics.read_text())
    assert (metrics["views"], metrics["answers"]) == (1, "generate")
    assert load_settings(run.config) == before.model_copy(update={"views": 1, "answers": "generate"})
    assert find_saved(run.path).settings["views"] == 1  # by which predict answers
    command = read_finished(run.path).command
    assert "--views" not in command and "--answers generate" in command  # one view is the usual
