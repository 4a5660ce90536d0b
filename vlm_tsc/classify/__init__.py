"""Stage 6: everything that answers fit, predict and predict_proba."""
