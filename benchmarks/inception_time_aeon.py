"""The other side of `inception_time`: aeon's InceptionTime, run by a Python that has aeon and TensorFlow.

Reads a file of X and y, trains for each number of epochs that is named, and prints the seconds of each as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(file: str, *epochs: str) -> None:
    """Five networks with aeon's defaults, which are the paper's."""
    import aeon
    import tensorflow
    from aeon.classification.deep_learning import InceptionTimeClassifier

    with np.load(file) as data:
        X, y = data["X"], data["y"]
    seconds = {}
    for n in epochs:
        classifier = InceptionTimeClassifier(n_epochs=int(n), batch_size=64, random_state=0, verbose=False)
        start = time.perf_counter()
        classifier.fit(X, y)
        seconds[n] = time.perf_counter() - start
    versions = {"aeon": aeon.__version__, "tensorflow": tensorflow.__version__}
    print(json.dumps({"seconds": seconds, **versions}))


if __name__ == "__main__":
    main(*sys.argv[1:])
