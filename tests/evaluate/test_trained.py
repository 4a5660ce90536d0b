"""InceptionTime as a run: the same files as any other, resumed, never shown the test labels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from tests.conftest import make_splits
from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier
from vlm_tsc.classify.inception_time.ensemble import Ensemble
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.classify.model_folder import write_folder
from vlm_tsc.config import settings_from
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate import read_predictions
from vlm_tsc.evaluate.baseline import LIMIT_S
from vlm_tsc.evaluate.inception_time import run_inception_time
from vlm_tsc.evaluate.trained import Search, run_name, run_named
from vlm_tsc.job import baseline_notes
from vlm_tsc.manifest import read_manifest
from vlm_tsc.report import collect, table
from vlm_tsc.run import RunFolder

SMALL = Hyperparameters(filters=2, depth=3, models=2, lr=0.01, batch_size=8, epochs=20)
NAME = "inception-time-filters2-depth3-models2-lr0.01-batch-size8-epochs20"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    return run_inception_time(make_splits(), runs, SMALL, given={"dataset": "my.csv"}), runs


def test_it_is_a_run_like_any_other(finished):
    document, runs = finished
    folder = RunFolder(runs / "Slopes" / NAME)
    assert json.loads(folder.metrics.read_text()) == document
    assert (document["classifier"], document["base"], document["accuracy"]) == ("inception-time", None, 1.0)
    assert (document["n_train"], document["n_validation"], document["seed"]) == (16, 0, 0)
    assert [row.id for row in read_predictions(folder.predictions)] == list(make_splits().test.ids)
    config = yaml.safe_load(folder.config.read_text())
    assert config["parameters"] == SMALL.model_dump() and config["dataset"] == "my.csv"
    assert "evaluation" in read_manifest(folder).finished
    X = make_splits().test.X
    loaded = InceptionTimeClassifier.load(folder.path / "model")
    assert loaded.predict(X).tolist() == [row.predicted for row in read_predictions(folder.predictions)]


def test_it_is_a_row_of_the_table(finished):
    text = table(collect(finished[1] / "Slopes", "official"))
    assert "InceptionTime" in text and "1.000*" in text


def test_a_finished_run_is_not_run_again(finished, monkeypatch):
    document, runs = finished
    monkeypatch.setattr(InceptionTimeClassifier, "fit", None)
    assert run_inception_time(make_splits(), runs, SMALL) == document


def test_labels_of_the_test_part_change_no_answer(finished, tmp_path):
    splits = make_splits()
    run_inception_time(replace(splits, test=replace(splits.test, y=splits.test.y[::-1].copy())), tmp_path, SMALL)
    files = [runs / "Slopes" / NAME / "predictions.jsonl" for runs in (tmp_path, finished[1])]
    a, b = (read_predictions(path) for path in files)
    assert [row.probabilities for row in a] == [row.probabilities for row in b]
    assert [row.true for row in a] != [row.true for row in b]


def test_other_series_replace_the_run(tmp_path):
    short = SMALL.model_copy(update={"epochs": 1})
    first = run_inception_time(make_splits(), tmp_path, short)
    splits = make_splits()
    again = run_inception_time(replace(splits, train=replace(splits.train, X=splits.train.X + 9)), tmp_path, short)
    assert again["train_seconds"] != first["train_seconds"]
    assert len(list((tmp_path / "Slopes").iterdir())) == 1


def test_the_name_says_what_is_not_the_papers():
    assert run_name(Hyperparameters(), 0) == "inception-time"
    assert run_name(Hyperparameters(epochs=100), 3) == "inception-time-epochs100-seed3"


def test_the_main_job_runs_what_is_named_for_every_seed(tmp_path, monkeypatch):
    named = []
    monkeypatch.setattr("vlm_tsc.evaluate.trained.run_named", lambda *given, **how: named.append((given, how)) or {})
    values = {"dataset": "X", "vlm_root": tmp_path, "seeds": (0, 1), "baselines": "1nn-ed,inception-time,WEASEL_V2"}
    settings, of_seed = settings_from(values), {seed: make_splits() for seed in (0, 1)}
    monkeypatch.setattr("vlm_tsc.job.load_splits", lambda _, seed: of_seed[seed])
    assert baseline_notes(settings, of_seed[1]) == []
    assert all(given[1] is of_seed[how["seed"]] for given, how in named[1:]), "each with its own validation part"
    found = [(given[0], how["seed"], how["limit_s"]) for given, how in named]
    others = [(name, seed, None) for name in ("inception-time", "WEASEL_V2") for seed in (0, 1)]
    assert found == [("1nn-ed", 0, LIMIT_S), *others]


def test_a_trained_baseline_is_run_by_its_name(tmp_path, monkeypatch):
    with_papers = []
    monkeypatch.setattr(
        "vlm_tsc.evaluate.inception_time.run_inception_time", lambda *given, **_: with_papers.append(given[2])
    )
    run_named("inception-time", make_splits(), tmp_path, seed=2, given={}, limit_s=None)
    assert with_papers == [Hyperparameters()]
    majority = run_named("majority", make_splits(), tmp_path, seed=2, given={}, limit_s=None)
    assert majority["classifier"] == "majority"


def test_seeds_are_one_row(finished, tmp_path):
    for seed in (0, 1):
        run_inception_time(make_splits(), tmp_path, SMALL.model_copy(update={"epochs": 1}), seed=seed)
    text = table(collect(tmp_path / "Slopes", "official"))
    assert text.count("InceptionTime") == 1 and "±" in text


def test_a_run_goes_on_from_another_run_and_has_a_folder_and_a_row_of_its_own(finished, tmp_path):
    first = finished[1] / "Slopes" / NAME
    still = SMALL.model_copy(update={"lr": 1e-12, "epochs": 1})
    document = run_inception_time(make_splits(), tmp_path, still, start_from=first)
    (folder,) = (tmp_path / "Slopes").iterdir()
    assert folder.name.startswith("inception-time-from-") and document["note"] in folder.name.replace("-", " ")
    weights = [load_file(run / "model" / "model.safetensors") for run in (first, folder)]
    np.testing.assert_allclose(weights[1]["head"], weights[0]["head"], atol=1e-9)
    assert yaml.safe_load((folder / "config.yaml").read_text())["start_from"] == str(first / "model")
    with pytest.raises(InputError, match="--start-from"):
        run_inception_time(make_splits(), tmp_path, still, start_from=first, search=Search(1, ("lr",)))


def test_a_model_that_was_trained_on_test_cases_is_refused_and_told_of(finished, tmp_path, caplog):
    """As one of the pooled split on the official one: its test cases are the other's training cases."""
    splits, first = make_splits(), finished[1] / "Slopes" / NAME
    swapped = replace(splits, train=splits.test, validation=splits.validation.select([]), test=splits.train)
    short = SMALL.model_copy(update={"epochs": 1})
    with pytest.raises(InputError, match="trained on 12 of the 12 test cases"):
        run_inception_time(swapped, tmp_path, short, start_from=first)
    assert not any(tmp_path.iterdir())
    document = run_inception_time(swapped, tmp_path, short, start_from=first, allow_seen=True)
    assert document["start_seen_test_cases"] == 12 and "12 of the 12" in table(collect(tmp_path / "Slopes", "official"))
    # what a model has seen goes on to those that go on from it
    (second,) = (tmp_path / "Slopes").iterdir()
    with pytest.raises(InputError, match="trained on 8 of the 8 test cases"):
        run_inception_time(splits, tmp_path / "next", short, start_from=second)
    # what train and test share anyway is nothing that the start adds
    shared = replace(splits, test=splits.train)
    assert run_inception_time(shared, tmp_path / "shared", short, start_from=first)["start_seen_test_cases"] == 0


def test_a_model_that_does_not_say_what_it_was_trained_on_is_warned_of(finished, tmp_path, caplog):
    folder = finished[1] / "Slopes" / NAME / "model"
    model = Ensemble.read(folder)
    write_folder(tmp_path / "old", replace(model, seen=None).files())
    short = SMALL.model_copy(update={"epochs": 1})
    document = run_inception_time(make_splits(), tmp_path / "runs", short, start_from=tmp_path / "old")
    assert document["start_seen_test_cases"] is None and "does not say what it was trained on" in caplog.text
