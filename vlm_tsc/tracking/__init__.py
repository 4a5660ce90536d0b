"""Where `--report-to` logs runs: Weights & Biases, MLflow, TensorBoard; a figure has the same name in each."""

from vlm_tsc.tracking.session import live, log_finished

__all__ = ["live", "log_finished"]
