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
            from vlm_tsc.classify.saved import find_saved, load_classifier
            from vlm_tsc.use.trained import trained_on
        except ImportError as error:
            fix = "install the VLM-TSC project in this environment, and give mlflow --env-manager local"
            raise ImportError(f"{error}; {fix}") from error
        self.classifier = load_classifier(context.artifacts["run"])
        self.trained = trained_on(find_saved(context.artifacts["run"]))

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Labels and probabilities of a table of cases."""
        from vlm_tsc.tracking.model_table import answers_of, part_of
        from vlm_tsc.use.payload import refuse_unanswered

        cases = self.trained.prepared(part_of(model_input), any_length=True)
        probabilities = self.classifier.predict_proba(cases)
        refuse_unanswered(probabilities, place="the table")
        return answers_of(probabilities, list(self.classifier.classes_))


set_model(SavedRun())
