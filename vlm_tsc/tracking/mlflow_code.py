"""The code of a registered model: MLflow copies this file beside the adapter and runs it when it loads the model."""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel  # type: ignore[attr-defined]


class SavedRun(PythonModel):
    """A finished run; its base must be on the machine, as for every other use of the run."""

    def load_context(self, context: Any) -> None:
        """Open the adapter among the model's artifacts."""
        try:
            from vlm_tsc.classify.saved import load_classifier
        except ImportError as error:
            fix = "install the VLM-TSC project in this environment, and give mlflow --env-manager local"
            raise ImportError(f"{error}; {fix}") from error
        self.classifier = load_classifier(context.artifacts["run"])

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Labels and probabilities of a table of cases."""
        from vlm_tsc.tracking.model_table import answers_of, cases_of

        return answers_of(self.classifier.predict_proba(cases_of(model_input)), list(self.classifier.classes_))


set_model(SavedRun())
