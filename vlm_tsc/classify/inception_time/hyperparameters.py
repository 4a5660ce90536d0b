"""What a person may choose about InceptionTime, and two sets of choices."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from vlm_tsc.classify.hyperparameters import NetworkHyperparameters
from vlm_tsc.options import option

GROUP = "inception-time"
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # the authors' code; their paper trains five networks
    "paper": MappingProxyType({}),
    # of the SageMaker algorithm, whose other defaults are the paper's
    "seed": MappingProxyType({"epochs": 100}),
}


class Hyperparameters(NetworkHyperparameters):
    """Numbers that determine network and training; the defaults are the paper's."""

    filters: int = option(GROUP, 32, "Filters of each convolution.", ge=1)
    depth: int = option(GROUP, 6, "Blocks of each network.", ge=1)
    models: int = option(GROUP, 5, "Networks, whose probabilities are averaged.", ge=1)
    lr: float = option(GROUP, 0.001, "Learning rate; halved, down to 1e-4, when the training loss stands still.", gt=0)
    batch_size: int = option(GROUP, 64, "Cases a step.", ge=1)
    epochs: int = option(GROUP, 1500, "Passes over the training cases.", ge=1)
