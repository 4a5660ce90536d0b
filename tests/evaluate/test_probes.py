"""Linear probes as runs: the files of any run, done once, and untouched by the test labels."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import make_set
from vlm_tsc.archive import Splits
from vlm_tsc.evaluate.probes import run_probe
from vlm_tsc.evaluate.trained import PROBES, run_named

ROOT = Path(__file__).parents[2]


def splits() -> Splits:
    train, test = (replace(make_set(n, seed), name="Slopes") for n, seed in ((16, 0), (10, 1)))
    return Splits(train, None, test, "official")


@pytest.mark.parametrize("name", list(PROBES))
def test_a_probe_is_a_run_like_any_other_and_done_once(tiny_base, tmp_path, name):
    made = run_probe(name, splits(), tmp_path, str(tiny_base), {"precision": "fp32"})
    (folder,) = (tmp_path / "Slopes").iterdir()
    assert folder.name.startswith(name) and {"predictions.jsonl", "config.yaml", "metrics.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert made["classifier"] == name and made["n_cases"] == 10 and made["accuracy"] > 0.6
    before = (folder / "metrics.json").stat().st_mtime_ns
    again = run_named(
        name, splits(), tmp_path, seed=0, given={}, limit_s=None, base=str(tiny_base), shown={"precision": "fp32"}
    )
    assert again["accuracy"] == made["accuracy"] and (folder / "metrics.json").stat().st_mtime_ns == before


def test_the_test_labels_change_no_answer(tiny_base, tmp_path):
    answers = []
    for turned in (False, True):
        parts = splits()
        if turned:
            parts.test.y[:] = np.roll(parts.test.y, 1)
        run_probe("vision-probe", parts, tmp_path / str(turned), str(tiny_base), {"precision": "fp32"})
        (folder,) = (tmp_path / str(turned) / "Slopes").iterdir()
        answers.append(
            [json.loads(line)["predicted"] for line in (folder / "predictions.jsonl").read_text().splitlines()]
        )
    assert answers[0] == answers[1]


def test_the_command_shows_it_in_the_table(tiny_base, tmp_path, capsys):
    for name, cases in (("mine.npz", make_set(12, 0)), ("test.npz", make_set(6, 1))):
        np.savez(tmp_path / name, X=cases.X, y=cases.y)
    given = ["--dataset", str(tmp_path / "mine.npz"), "--test", str(tmp_path / "test.npz"), "--vlm-root", str(tmp_path)]
    main = runpy.run_path(str(ROOT / "eval" / "baselines.py"))["main"]
    assert main(["decoder-probe", *given, "--base", str(tiny_base)]) == 0
    assert "linear on decoder" in capsys.readouterr().out
