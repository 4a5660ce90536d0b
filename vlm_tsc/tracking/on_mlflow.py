"""A run in MLflow: the store beside the runs, its files as artifacts, its adapter as a registered model."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping

from vlm_tsc.mlflow_store import DATABASE, Store
from vlm_tsc.tracking.facts import About, Results
from vlm_tsc.tracking.state import State

EXPERIMENT = "finetune"
PAGE = "python -m vlm_tsc.use.mlflow"


class MlflowTracker:
    """Where MLFLOW_TRACKING_URI or MLFLOW_EXPERIMENT_NAME are set, there and under that name."""

    def __init__(self, about: About, state: State):
        self.about, self.state = about, state
        self.store = Store(about.runs)
        where = self.store.uri or f"sqlite:///{self.store.runs / DATABASE}"
        if state.where == where and self._is_there():
            self.store.client.update_run(state.id, status="RUNNING")
        else:
            self._begin(where)
        run = self.store.client.get_run(state.id).info
        page = f"mlflow ui --backend-store-uri {where}" if self.store.uri else f"{PAGE} {shlex.quote(str(about.runs))}"
        state.how = f"{page}, run {run.run_name}"
        if where.startswith("http"):
            state.url = f"{where.rstrip('/')}/#/experiments/{run.experiment_id}/runs/{run.run_id}"

    def _is_there(self) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            return self.store.client.get_run(self.state.id).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False  # somebody removed the run, or the database

    def _begin(self, where: str) -> None:
        from mlflow.entities import Param

        experiment = self.store.experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT)
        run = self.store.client.create_run(experiment, run_name=self.about.name)
        self.state.begin(run.info.run_id, where)
        parameters = [Param(name, str(value)[:6000]) for name, value in self.about.parameters.items()]
        self.store.client.log_batch(self.state.id, params=parameters)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in figures.items()]
        self.store.client.log_batch(self.state.id, metrics=metrics)

    def results(self, results: Results) -> None:
        """Figures and files; the adapter is in the registered model, `model/artifacts/run/adapter`."""
        from vlm_tsc.tracking.mlflow_model import register

        self.log(results.step, results.figures)
        for path in (*results.files, results.picture, results.matrix_file):
            self.store.client.log_artifact(self.state.id, str(path))
        register(self.store, self.state.id, self.about)

    def close(self, outcome: str) -> None:
        if outcome != "training":
            self.store.client.set_terminated(self.state.id, outcome.upper())
