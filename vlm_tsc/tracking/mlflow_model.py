"""A finished run as a registered model of MLflow, which `mlflow models predict` and `mlflow models serve` take."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.archive.store import read_splits
from vlm_tsc.mlflow_store import Store
from vlm_tsc.tracking.facts import About
from vlm_tsc.tracking.model_table import input_names, table_of

MODEL = "model"  # the folder among the run's artifacts
CODE = Path(__file__).with_name("mlflow_code.py")
EXAMPLES = 2  # test cases that the model carries as its example
_HASH = "sha256"  # tag: of all that determines the answers of a version


def register(store: Store, run_id: str, about: About) -> int:
    """Log the adapter of a finished run as a pyfunc model and enter it under the run's name; its version.

    One that is there already, of the same adapter and settings, is not entered again.
    """
    from vlm_tsc.classify.saved import find_saved, run_digest

    tags = {_HASH: run_digest(find_saved(about.run.path))}
    client = store.client
    if not client.search_registered_models(f"name = '{about.name}'"):
        client.create_registered_model(about.name)
    known = client.search_model_versions(f"name = '{about.name}'")
    same = [int(one.version) for one in known if one.run_id == run_id and one.tags.get(_HASH) == tags[_HASH]]
    if same:
        return max(same)
    with tempfile.TemporaryDirectory() as folder:
        client.log_artifacts(run_id, str(save_model(about, Path(folder), run_id)), MODEL)
    source = f"{client.get_run(run_id).info.artifact_uri}/{MODEL}"
    return int(client.create_model_version(about.name, source, run_id, tags=tags).version)


def save_model(about: About, folder: Path, run_id: str | None = None) -> Path:
    """Write the model into `folder`: the run's settings and adapter, one file of code, signature and example.

    The code is a file that MLflow runs when it loads the model; no pickle is written.
    """
    mlflow = _mlflow()
    kept = folder / "run"
    kept.mkdir()
    shutil.copytree(about.run.adapter, kept / "adapter")
    shutil.copy(about.run.config, kept / "config.yaml")
    splits = read_splits(about.run.series)
    names = input_names(splits.train.n_channels, max(int(splits.train.lengths.max()), 1))
    mlflow.pyfunc.save_model(
        str(folder / MODEL),
        python_model=str(CODE),
        artifacts={"run": str(kept)},
        signature=_signature(names, splits.train.n_channels, splits.train.class_names),
        input_example=table_of([np.asarray(case) for case in splits.test.X[:EXAMPLES]], names),
        # this project is on no index, so it is installed by hand where the model is used: --env-manager local
        pip_requirements=[f"mlflow=={mlflow.__version__}"],
        mlflow_model=mlflow.models.Model(run_id=run_id, artifact_path=MODEL),
    )
    return folder / MODEL


def _mlflow() -> Any:
    """MLflow with its part for models, which at its import warns, in yellow, of type hints of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.pyfunc
    return mlflow


def _signature(names: list[str], n_channels: int, classes: tuple[str, ...]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    kind = DataType.double if n_channels == 1 else Array(DataType.double)
    outputs: list[Any] = [
        ColSpec(DataType.string, "label"),
        *(ColSpec(DataType.double, f"p_{name}") for name in classes),
    ]
    inputs: list[Any] = [ColSpec(kind, name) for name in names]
    return ModelSignature(Schema(inputs), Schema(outputs))
