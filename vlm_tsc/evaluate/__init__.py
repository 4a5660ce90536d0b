"""Answers → predictions.jsonl → metrics.json."""

from vlm_tsc.evaluate.baseline import NotRun, run_baseline
from vlm_tsc.evaluate.metrics import metrics, metrics_document, read_metrics
from vlm_tsc.evaluate.predictions import Prediction, predictions_of, read_predictions, write_predictions
from vlm_tsc.evaluate.published import published

__all__ = [
    "NotRun",
    "Prediction",
    "metrics",
    "metrics_document",
    "predictions_of",
    "published",
    "read_metrics",
    "read_predictions",
    "run_baseline",
    "write_predictions",
]
