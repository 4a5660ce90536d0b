"""Where the schedule shows every case few times, there is less augmentation, in training and in the views of a case."""

from __future__ import annotations

import json
import shutil

import pytest

import train
from tests.conftest import make_set
from tests.test_job import only_run, write_sets
from vlm_tsc.bases import load_base
from vlm_tsc.classify.llava import LlavaClassifier
from vlm_tsc.conversation import augmented
from vlm_tsc.finetune.mixup import MIXED, Mixup
from vlm_tsc.finetune.steps import augmentation_shares


def test_the_shares_grow_with_the_passes():
    assert augmentation_shares(7000, 22400, 10) == augmentation_shares(7000, 28000, 10) == (0.25, 0.0)
    assert augmentation_shares(100, 700, 10) == pytest.approx((0.625, 0.5))
    assert augmentation_shares(100, 1000, 10) == augmentation_shares(100, 9000, 10) == (1.0, 1.0)
    assert augmentation_shares(7000, 100, None) == (1.0, 1.0)


def test_as_many_draws_are_mixtures():
    cases, ids = [make_set(1, 0).X[0]] * 1000, [str(i) for i in range(1000)]
    for mixed in (0.0, 0.1, MIXED):
        whole = sum(Mixup(cases, ids, 1.0, 0, mixed).partner(i, 0)[1] == 1.0 for i in range(1000))
        assert whole == pytest.approx(1000 * (1 - mixed), abs=40)


def test_a_run_of_few_passes_says_so_and_is_asked_alike(tiny_base, tmp_path, monkeypatch):
    base = shutil.copytree(tiny_base, tmp_path / "plot-llava-mini")  # has the settings of the bundled one
    full = load_base(str(base)).full_augmentation
    words = write_sets(tmp_path, make_set(16, 0), make_set(4, 1))
    words += ["--base", str(base), "--baselines", "none", "--precision", "fp32", "--teacher", "none", "--views", "2"]
    asked = []

    def noted(*args, strength, **others):
        asked.append(strength)
        return whole(*args, strength=strength, **others)

    whole = augmented.more_views
    monkeypatch.setattr(augmented, "more_views", noted)
    assert train.main([*words, "--num-epochs", "7"]) == 0
    run = only_run(tmp_path)
    facts = json.loads((run.adapter / "base.json").read_text())
    strength, mixtures = augmentation_shares(16, 7 * 16, full)
    assert 0 < mixtures < 1
    assert facts["augment"] == pytest.approx(2.0 * strength) and facts["mixed"] == pytest.approx(MIXED * mixtures)
    LlavaClassifier.load(run.path).predict(make_set(4, 1).X)
    assert asked == [facts["augment"]] * 2
