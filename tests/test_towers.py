"""Towers of other shapes are pre-trained alike and judged on training cases alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from benchmarks import towers
from tests.conftest import make_set
from tests.pretrain.test_stages import small_recipe


@pytest.fixture
def words(tmp_path, monkeypatch):
    """The command on a set whose training part is of two plain classes."""
    cases = make_set(14, 0)
    lines = ["\t".join(map(str, [int(label), *case[0]])) for case, label in zip(cases.X, cases.y == "up", strict=True)]
    folder = tmp_path / "data" / "Slopes"
    folder.mkdir(parents=True)
    (folder / "Slopes_TRAIN.tsv").write_text("\n".join(lines) + "\n")
    (folder / "Slopes_TEST.tsv").write_text("\n".join(lines[:2]) + "\n")
    monkeypatch.setenv("VLM_TSC_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(towers, "TOWERS", {"32/8": {}, "32/16": {"patch_size": 16}})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(small_recipe().model_dump(mode="json")))
    return f"--vlm-root {tmp_path} --sets Slopes --recipe {tmp_path}/recipe.yaml --workers 0".split()


def test_towers_are_trained_judged_and_never_twice(words, tmp_path, capsys):
    assert towers.main([*words, "--steps", "25", "--only", "32/16"]) == 0
    assert towers.main([*words, "--steps", "25"]) == 0
    out = capsys.readouterr().out
    assert out.count("32/16  Slopes: means") == 1 and out.count("32/8  Slopes: means") == 1
    document = json.loads((tmp_path / "tables" / "towers.json").read_text())
    assert [one["tower"] for one in document["towers"]] == ["32/8", "32/16"]
    few, many = (one["weights"] for one in document["towers"])
    assert many - few == 3 * 32 * (16 * 16 - 8 * 8) - 32 * (16 - 4)  # patches are larger, places fewer
    assert "32/16" in (tmp_path / "tables" / "towers.txt").read_text()
    assert towers.main([*words, "--steps", "26"]) == 2
    assert "['steps'] differ" in capsys.readouterr().err
    assert towers.main([*words, "--steps", "24"]) == 2
    assert "at least 25" in capsys.readouterr().err
    assert towers.main([*words, "--only", "7/7"]) == 2
    assert "no such tower" in capsys.readouterr().err


def test_two_plain_classes_are_told_apart(words):
    from vlm_tsc.pretrain.llava import tower_shape
    from vlm_tsc.pretrain.vision_stage import TowerWithHead

    recipe = small_recipe()
    tower = TowerWithHead(tower_shape(recipe)).tower
    assert towers.judge(tower, "Slopes", recipe) == {"means": 1.0, "tokens": 1.0}
    made = towers.features(tower, [np.arange(9.0)[None]] * 3, None, recipe)
    assert made["tokens"].shape == (3, 16 * 32) and made["means"].shape == (3, (1 + 4 + 4) * 32)
