"""VLM-TSC fine-tunes vision-language models to classify time series, and says honestly how good they are."""

import os as _os

__version__ = "0.1.0"

# How long a thread of libgomp, which torch computes with, keeps its core while it waits for the others; read when torch
# is imported. By default thirty times as long: where another program has one of the cores, the threads of a computation
# then wait on each other's cores, and a case took 17 s to answer, not 0.3 (docs/background/speed.md).
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & _os.environ.keys():
    _os.environ["GOMP_SPINCOUNT"] = "10000"
