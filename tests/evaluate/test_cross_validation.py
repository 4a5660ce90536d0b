"""Cross-validation inside the training split: every case is held out once, and the test split has no say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import train
from tests.conftest import make_set
from vlm_tsc.config import settings_from
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.cross_validation import cross_validate

FAST = {"batch_size": 4, "precision": "fp32", "num_epochs": 1, "context_length": 400}


def test_every_case_is_held_out_once(tiny_base):
    cases = make_set(11, 0)
    settings = settings_from({"dataset": "Slopes", "base": str(tiny_base), **FAST})
    folds = list(cross_validate(settings, cases, 2, seed=0))
    assert sum(fold.n_held_out for fold in folds) == 11
    assert all(fold.n_train + fold.n_held_out == 11 and fold.log_loss > 0 for fold in folds)
    assert all((fold.accuracy * fold.n_held_out) % 1 == pytest.approx(0, abs=1e-9) for fold in folds)


def test_more_folds_than_cases_of_a_class_are_refused(tiny_base):
    settings = settings_from({"dataset": "Slopes", "base": str(tiny_base), **FAST})
    with pytest.raises(InputError, match="2 to 5"):
        next(cross_validate(settings, make_set(11, 0), 6, seed=0))


def test_the_command_prints_every_fold(tiny_base, slopes_file, capsys):
    spec = importlib.util.spec_from_file_location("cv", Path(train.__file__).parent / "eval" / "cross_validate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given = ["--dataset", str(slopes_file), "--test", str(slopes_file.with_name("slopes_test.npz"))]
    given += ["--base", str(tiny_base), "--num-epochs", "1", "--batch-size", "4"]
    assert module.main(["2", *given]) == 0
    out = capsys.readouterr().out
    assert out.count("held out") == 2 and "all: accuracy" in out
    assert module.main(["two", *given]) == 2
    assert "how many folds" in capsys.readouterr().err
