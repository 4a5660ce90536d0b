from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import yaml

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import Splits
from vlm_tsc.classify import classical
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate import NotRun, metrics, read_predictions, run_baseline
from vlm_tsc.evaluate.baseline import baseline_command
from vlm_tsc.manifest import read_manifest
from vlm_tsc.report import collect, table
from vlm_tsc.run import RunFolder


def made_part(part, n_cases, name="Made", scale=1.0):
    rng = np.random.default_rng(len(part))
    y = np.array(["-1", "10"])[np.arange(n_cases) % 2]
    X = np.where(y == "10", 1.0, -1.0)[:, None, None] * scale + 0.1 * rng.normal(size=(n_cases, 1, 8))
    # no case is of class "2"
    return SeriesSet(X, y, ("-1", "2", "10"), name, tuple(f"{part}-{i:05d}" for i in range(n_cases)))


def made_splits(split="official", **changes):
    train = made_part("train", 10, **changes)
    return Splits(train.select(range(8)), train.select([8, 9]), made_part("test", 6, **changes), split)


@pytest.mark.parametrize("name", classical.BASELINES)
def test_a_baseline_is_a_run_like_any_other(tmp_path, name):
    splits = made_splits()
    document = run_baseline(name, splits, tmp_path)
    folder = RunFolder(tmp_path / "Made" / name)
    assert json.loads(folder.metrics.read_text()) == document
    rows = read_predictions(folder.predictions)
    assert tuple(row.id for row in rows) == splits.test.ids
    assert rows[0].probabilities["2"] == 0.0 and list(rows[0].probabilities) == ["-1", "2", "10"]
    assert document.items() >= metrics(rows, splits.test.class_names).items()
    assert document["accuracy"] == (0.5 if name == "majority" else 1.0)
    assert (document["classifier"], document["base"], document["split"]) == (name, None, "official")
    assert (document["n_train"], document["n_validation"], document["n_cases"]) == (10, 0, 6)
    assert yaml.safe_load(folder.config.read_text()).items() >= {"classifier": name, "split": "official"}.items()
    assert read_manifest(folder).counts["train"] == {"-1": 5, "2": 0, "10": 5}


def test_a_split_with_its_own_validation_part_keeps_it_out_and_has_its_own_folder(tmp_path):
    official, pooled = (run_baseline("1nn-ed", made_splits(split), tmp_path) for split in ("official", "pooled"))
    assert (pooled["n_train"], pooled["n_validation"]) == (8, 2)
    run_baseline("1nn-ed", made_splits("resample:3"), tmp_path)
    assert sorted(path.name for path in (tmp_path / "Made").iterdir()) == [
        "1nn-ed",
        "1nn-ed-pooled",
        "1nn-ed-resample-3",
    ]
    assert [run["n_train"] for run in collect(tmp_path / "Made", "official")] == [official["n_train"]]


def test_a_finished_baseline_is_not_run_again_but_other_series_are(tmp_path, monkeypatch, caplog):
    first = run_baseline("majority", made_splits(), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(classical, "probabilities_in_chunks", None)
        assert run_baseline("majority", made_splits(), tmp_path) == first
    with caplog.at_level(logging.WARNING):
        run_baseline("majority", made_splits(scale=2.0), tmp_path)
    assert "not used" in caplog.text


def test_what_would_take_too_long_is_not_run_and_its_command_is_told(tmp_path, monkeypatch):
    run_baseline("1nn-dtw", made_splits(), tmp_path)
    monkeypatch.setattr(classical, "seconds_per_case", lambda *_: 100.0)
    given = {"dataset": "my file.csv", "data_dir": "/data", "missing": "error", "lengths": "pad", "vlm_root": None}
    skipped = run_baseline("1nn-dtw", made_splits("pooled", scale=2.0), tmp_path, given=given)
    assert isinstance(skipped, NotRun) and skipped.seconds == 600
    assert "about 10 min" in str(skipped)
    assert str(skipped).endswith(
        "python eval/baselines.py 1nn-dtw --dataset 'my file.csv' --data-dir /data --split pooled --lengths pad"
    )
    assert not (tmp_path / "Made" / "1nn-dtw-pooled" / "metrics.json").exists()
    assert isinstance(run_baseline("1nn-dtw", made_splits("pooled"), tmp_path, limit_s=None), dict)

    # series that have changed since: the figures of the old ones must not stand in a table
    assert isinstance(run_baseline("1nn-dtw", made_splits(scale=2.0), tmp_path), NotRun)
    assert collect(tmp_path / "Made", "official") == []


def test_the_shortest_command():
    assert baseline_command("1nn-ed", {"dataset": "GunPoint", "split": "official"}) == (
        "python eval/baselines.py 1nn-ed --dataset GunPoint"
    )


def test_labels_of_the_test_part_change_no_answer(tmp_path):
    splits = made_splits()
    swapped = replace(splits, test=replace(splits.test, y=splits.test.y[::-1].copy()))
    for runs, one in ((tmp_path / "a", splits), (tmp_path / "b", swapped)):
        run_baseline("1nn-dtw", one, runs)
    a, b = (read_predictions(tmp_path / run / "Made" / "1nn-dtw" / "predictions.jsonl") for run in "ab")
    assert [row.probabilities for row in a] == [row.probabilities for row in b]
    assert [row.true for row in a] != [row.true for row in b]


def test_a_dataset_that_cannot_name_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot name a folder"):
        run_baseline("majority", made_splits(name="../x"), tmp_path)


def test_the_table_shows_the_baselines_together(tmp_path):
    for name in classical.BASELINES:
        run_baseline(name, made_splits(), tmp_path)
    text = table(collect(tmp_path / "Made", "official"))
    assert all(title in text for title in classical.TITLES.values())
    assert "10 train and 6 test cases" in text


def test_a_classifier_of_aeon_is_a_run_per_seed_and_one_row(tmp_path):
    splits = made_splits()
    documents = [run_baseline("SummaryClassifier", splits, tmp_path, seed=seed) for seed in (0, 1)]
    folders = sorted(path.name for path in (tmp_path / "Made").iterdir())
    assert folders == ["SummaryClassifier", "SummaryClassifier-seed1"]
    assert [document["seed"] for document in documents] == [0, 1]
    config = yaml.safe_load((tmp_path / "Made" / "SummaryClassifier-seed1" / "config.yaml").read_text())
    assert config["seed"] == 1
    text = table(collect(tmp_path / "Made", "official"))
    assert text.count("SummaryClassifier") == 1 and "±" in text


def test_series_that_a_classifier_of_aeon_does_not_take_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not take these series"):
        run_baseline("MiniRocketClassifier", made_splits(), tmp_path)  # 8 timepoints; it wants 9


def test_what_aeon_raises_while_it_answers_is_told_in_our_words(tmp_path, monkeypatch):
    def out_of_range(*_):
        raise IndexError("index 9 is out of bounds")
        yield

    monkeypatch.setattr(classical, "probabilities_in_chunks", out_of_range)
    with pytest.raises(InputError, match="does not take these series") as caught:
        run_baseline("SummaryClassifier", made_splits(), tmp_path)
    assert "SummaryClassifier, answering" in str(caught.value) and "IndexError: index 9" in str(caught.value)
    assert not (tmp_path / "Made" / "SummaryClassifier" / "metrics.json").exists()
