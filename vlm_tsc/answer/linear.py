"""The linear classifier on a frozen base's features: the probe's, and the teacher's of a fine-tuning."""

from __future__ import annotations

from typing import Any

import numpy as np

_PENALTIES = np.logspace(-1, 5, 13)  # of the ridge; chosen by leave-one-out on the cases that it is fitted to


def ridge_classifier() -> Any:
    """scikit-learn's ridge classifier on standardised features, not fitted."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=_PENALTIES))
