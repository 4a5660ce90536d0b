"""The registered model answers as the run does, through MLflow's own loading, and holds no pickle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import make_set
from vlm_tsc.archive.store import read_splits
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate import read_predictions
from vlm_tsc.tracking.model_table import input_names, part_of, table_of
from vlm_tsc.use.trained import Trained


@pytest.fixture
def uri(tracked, monkeypatch) -> str:
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(tracked.uri)
    mlflow.set_registry_uri(tracked.uri)
    yield f"models:/mine-{tracked.run.path.name}/1"
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


def test_the_model_answers_as_the_run_did(tracked, uri):
    import mlflow

    model = mlflow.pyfunc.load_model(uri)
    test = read_splits(tracked.run.series).test
    answers = model.predict(table_of(list(test.X), input_names(1, 30)))
    rows = read_predictions(tracked.run.predictions)
    assert list(answers["label"]) == [row.predicted for row in rows]
    for name in ("down", "up"):
        np.testing.assert_allclose(answers[f"p_{name}"], [row.probabilities[name] for row in rows], atol=1e-5)
    with pytest.raises(mlflow.exceptions.MlflowException, match="x_30"):
        model.predict(table_of([case[:, :29] for case in test.X], input_names(1, 29)))


def test_the_model_has_a_signature_and_an_example_that_fits_it(uri):
    import mlflow

    info = mlflow.models.get_model_info(uri)
    assert info.signature.inputs.input_names() == input_names(1, 30)
    assert info.signature.outputs.input_names() == ["label", "p_down", "p_up"]
    (folder,) = {Path(mlflow.artifacts.download_artifacts(uri))}
    example = mlflow.models.Model.load(folder).load_input_example(str(folder))
    assert example.shape == (2, 30)
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".bin", ".pt")]
    assert json.loads((folder / "artifacts" / "run" / "adapter" / "base.json").read_text())["name"]


@pytest.mark.long
def test_mlflow_models_predict_takes_a_csv(tracked, tmp_path):
    test = read_splits(tracked.run.series).test
    table_of(list(test.X), input_names(1, 30)).to_csv(tmp_path / "new.csv", index=False)
    command = [sys.executable, "-m", "mlflow", "models", "predict", "--env-manager", "local", "-t", "csv"]
    command += [
        "-m",
        f"models:/mine-{tracked.run.path.name}/1",
        "-i",
        tmp_path / "new.csv",
        "-o",
        tmp_path / "out.json",
    ]
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracked.uri, "PYTHONPATH": root}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    answers = json.loads((tmp_path / "out.json").read_text())["predictions"]
    assert [row["label"] for row in answers] == [row.predicted for row in read_predictions(tracked.run.predictions)]


def test_tables_hold_series_of_several_channels_and_of_unequal_length():
    two = list(make_set(3, 0, n_channels=2).X)
    for case, back in zip(two, part_of(table_of(two, input_names(2, 30))).cases, strict=True):
        np.testing.assert_array_equal(case, back)
    uneven = [make_set(1, 0, length=n).X[0] for n in (5, 3)]
    for case, back in zip(uneven, part_of(table_of(uneven, input_names(1, 5))).cases, strict=True):
        np.testing.assert_array_equal(case, back)
    gap = part_of(pd.DataFrame([[1.0, np.nan, 2.0]], columns=input_names(1, 3)))
    with pytest.raises(InputError, match="have missing values"):
        Trained(1, 3, 3).prepared(gap)
    assert Trained(1, 3, 3, missing="interpolate").prepared(gap)[0].tolist() == [[1, 1.5, 2]]
